"""The service on Cloud Run: one in each region, all with the same revision, the same secrets and the same account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_gcp as gcp

from authsvc.config import Config
from infra.components.attempts import last_revisions, revision
from infra.components.fingerprint import fingerprint
from infra.components.secret_files import SecretFile, allow_reading
from infra.components.sidecar import Sidecar
from infra.settings import Rollout
from infra.settings import Service as ServiceSettings

ROLES = (
    "roles/logging.logWriter",  # the sidecar's own lines; those of the service need none
    "roles/monitoring.metricWriter",
)
"""What it may in the project. Of the secrets it may read those that it mounts; the database asks for a password."""
CONTAINER = "authsvc"
CANDIDATE = "candidate"
"""Tag of the newest revision: it is reached by that before it has any of the traffic."""
REQUEST_SECONDS = 30
"""Longer than the service takes to answer or to refuse: 2 s for a connection, 5 s for a statement, some for a hash."""
ALIVE, READY = "/livez", "/readyz"
"""What one instance alone can be ill with; and whether its database answers and is migrated."""
STARTUP_SECONDS = 60
"""In which a start must succeed: it takes a second or two, and waits for the database where that is slow."""
_LATEST = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
_REVISION = "TRAFFIC_TARGET_ALLOCATION_TYPE_REVISION"


@dataclass(frozen=True)
class ServiceArgs:
    """What the service is made of."""

    project: str
    regions: Sequence[str]
    """The first is gcp:region, the others those of service.extraRegions."""
    image: str
    """By digest."""
    settings: ServiceSettings
    rollout: Rollout
    behind_edge: bool
    """Whether a load balancer stands before it, and is the only way in."""
    production: bool
    """Whether it is protected against its deletion."""
    sidecar_image: str | None
    config: Config
    """What the service makes of `environment`: its ports and its times."""
    public_url: pulumi.Input[str]
    environment: Mapping[str, pulumi.Input[str]]
    """Variables, none of them a secret."""
    files: Sequence[SecretFile]
    """The secrets, where `environment` says that they are."""
    network_id: pulumi.Input[str]
    subnetwork_ids: Mapping[str, pulumi.Input[str]]
    """By region."""
    migration: pulumi.Resource
    """What must have succeeded before a revision starts."""


class Service(pulumi.ComponentResource):
    """A service on Cloud Run in each region.

    Whoever reaches it needs no permission from Google's IAM, on purpose. Its callers are people without an account
    there, the load balancer calls without a credential, and where IAM is asked, it takes the signature out of the very
    header that access tokens are in. With an edge nobody else reaches it: neither directly nor by an address of its
    own.

    Attributes:
        url: what people see.
        names: of the service, by region.
        service_account_email: whom it acts as.
        latest_revision: the one that this update makes; `infra.rollout` names it when it goes back.
        candidate_url: where the newest is reached by its tag; empty behind an edge, which has a way of its own.
    """

    def __init__(self, name: str, args: ServiceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("authsvc:components:Service", name, None, opts)
        self._name, self._args = name, args
        account = gcp.serviceaccount.Account(
            f"{name}-service",
            account_id=f"{name}-service",
            display_name="authsvc serve",
            opts=pulumi.ResourceOptions(parent=self),
        )
        self._sidecar = Sidecar.make(name, args.sidecar_image, args.config.http.admin_port, self)
        rights = [
            *allow_reading(f"{name}-service", [*args.files, self._sidecar.file], account, self),
            *(self._role(role, account) for role in ROLES),
        ]
        self.service_account_email: pulumi.Output[str] = account.email
        last = last_revisions(name, args.project, args.regions)
        of_template = revision_name(name, args.image, self._template(args.regions[0], account))
        self.latest_revision = of_template.apply(lambda of_all: revision(of_all, last))
        services = {region: self._service(region, account, rights) for region in args.regions}
        self.names: dict[str, pulumi.Output[str]] = {region: each.name for region, each in services.items()}
        self.url = pulumi.Output.from_input(args.public_url)
        self.candidate_url: pulumi.Output[str] = services[args.regions[0]].traffic_statuses.apply(_candidate_url)
        self.register_outputs({"url": self.url, "latest_revision": self.latest_revision})

    def _role(self, role: str, account: gcp.serviceaccount.Account) -> gcp.projects.IAMMember:
        return gcp.projects.IAMMember(
            f"{self._name}-service-{role.partition('/')[2]}",
            project=self._args.project,
            role=role,
            member=account.member,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _service(
        self, region: str, account: gcp.serviceaccount.Account, rights: list[pulumi.Resource]
    ) -> gcp.cloudrunv2.Service:
        args = self._args
        template = self._template(region, account)
        template.revision = self.latest_revision
        return gcp.cloudrunv2.Service(
            f"{self._name}-{region}",
            name=self._name,
            location=region,
            description="Authentication: accounts, sessions and access tokens",
            ingress="INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER" if args.behind_edge else "INGRESS_TRAFFIC_ALL",
            default_uri_disabled=args.behind_edge,
            invoker_iam_disabled=True,
            # Of the service, not of a revision: else one without traffic would keep its own instances.
            scaling=gcp.cloudrunv2.ServiceScalingArgs(
                min_instance_count=args.settings.min_instances, max_instance_count=args.settings.max_instances
            ),
            template=template,
            traffics=traffic(args.rollout),
            deletion_protection=args.production,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.migration, *rights]),
        )

    def _template(self, region: str, account: gcp.serviceaccount.Account) -> gcp.cloudrunv2.ServiceTemplateArgs:
        chosen = self._args.settings
        return gcp.cloudrunv2.ServiceTemplateArgs(
            service_account=account.email,
            execution_environment="EXECUTION_ENVIRONMENT_GEN2",
            max_instance_request_concurrency=chosen.concurrency,
            timeout=f"{REQUEST_SECONDS}s",
            # Sessions are in the database: any instance serves anybody.
            session_affinity=False,
            scaling=gcp.cloudrunv2.ServiceTemplateScalingArgs(
                # What one revision may have; without it the platform's 100, which no budget has counted.
                max_instance_count=chosen.max_instances,
                # Hashing is bound by the CPU: a dozen logins fill it, and requests alone would never tell.
                cpu_utilization=chosen.cpu_target,
            ),
            vpc_access=gcp.cloudrunv2.ServiceTemplateVpcAccessArgs(
                # To the database by the VPC; to Google's APIs and to the breach list directly.
                egress="PRIVATE_RANGES_ONLY",
                network_interfaces=[
                    gcp.cloudrunv2.ServiceTemplateVpcAccessNetworkInterfaceArgs(
                        network=self._args.network_id, subnetwork=self._args.subnetwork_ids[region]
                    )
                ],
            ),
            containers=[self._container(), self._sidecar.container(after=CONTAINER)],
            volumes=[_volume(file) for file in [*self._args.files, self._sidecar.file]],
        )

    def _container(self) -> gcp.cloudrunv2.ServiceTemplateContainerArgs:
        args, http = self._args, self._args.config.http
        return gcp.cloudrunv2.ServiceTemplateContainerArgs(
            name=CONTAINER,
            image=args.image,
            args=["serve"],
            # The one port that has a way in.
            ports=gcp.cloudrunv2.ServiceTemplateContainerPortsArgs(container_port=http.port),
            envs=[
                gcp.cloudrunv2.ServiceTemplateContainerEnvArgs(name=name, value=value)
                for name, value in sorted(args.environment.items())
            ],
            volume_mounts=[
                gcp.cloudrunv2.ServiceTemplateContainerVolumeMountArgs(name=file.volume, mount_path=file.folder)
                for file in args.files
            ],
            resources=gcp.cloudrunv2.ServiceTemplateContainerResourcesArgs(
                limits={"cpu": str(args.settings.cpu), "memory": f"{args.settings.memory}Mi"},
                # It follows the ends of sessions, and is scraped, while nobody asks anything of it.
                cpu_idle=False,
                startup_cpu_boost=True,
            ),
            startup_probe=_startup(http.admin_port),
            readiness_probe=_readiness(http.admin_port),
            liveness_probe=_liveness(http.admin_port),
        )


def traffic(rollout: Rollout) -> list[gcp.cloudrunv2.ServiceTrafficArgs]:
    """Return who serves how much: the newest that is ready has the tag always, and the rest goes to the one named."""
    newest = gcp.cloudrunv2.ServiceTrafficArgs(type=_LATEST, percent=rollout.percent, tag=CANDIDATE)
    if rollout.percent == 100:  # noqa: PLR2004 - all of it
        return [newest]
    stable = gcp.cloudrunv2.ServiceTrafficArgs(type=_REVISION, percent=100 - rollout.percent, revision=rollout.stable)
    return [newest, stable]


def revision_name(name: str, image: str, template: gcp.cloudrunv2.ServiceTemplateArgs) -> pulumi.Output[str]:
    """Return the name that a revision of this template has, so that one can go back to it by name.

    Of the image eight digits are in it, for people; of all of the template a hash, because Cloud Run refuses another
    template under the same name. In every region it is that of the first: one name goes back everywhere.
    """
    digest = image.rpartition("sha256:")[2][:8]
    return fingerprint(template).apply(lambda of_all: f"{name}-{digest}-{of_all[:8]}")


def _volume(file: SecretFile) -> gcp.cloudrunv2.ServiceTemplateVolumeArgs:
    item = gcp.cloudrunv2.ServiceTemplateVolumeSecretItemArgs(path=file.name, version=file.version)
    return gcp.cloudrunv2.ServiceTemplateVolumeArgs(
        name=file.volume,
        secret=gcp.cloudrunv2.ServiceTemplateVolumeSecretArgs(
            secret=file.secret_id, default_mode=file.mode, items=[item]
        ),
    )


def _candidate_url(statuses: Sequence[Any] | None) -> str:
    return next((status.uri for status in statuses or [] if status.tag == CANDIDATE and status.uri), "")


def _startup(port: int) -> gcp.cloudrunv2.ServiceTemplateContainerStartupProbeArgs:
    """Let a revision, or another instance, have requests once its database answers and is migrated."""
    return gcp.cloudrunv2.ServiceTemplateContainerStartupProbeArgs(
        http_get=gcp.cloudrunv2.ServiceTemplateContainerStartupProbeHttpGetArgs(path=READY, port=port),
        # A check that takes longer goes on, and leaves the next one a connection that is open.
        period_seconds=1,
        timeout_seconds=1,
        failure_threshold=STARTUP_SECONDS,
    )


def _readiness(port: int) -> gcp.cloudrunv2.ServiceTemplateContainerReadinessProbeArgs:
    """Take an instance that hangs out of the rotation, and back in, without an end to it.

    Not by the database: without it all would leave at once, and with them the keys, tokens that are verified from
    memory, and the service's own 503 that says when to come back.
    """
    return gcp.cloudrunv2.ServiceTemplateContainerReadinessProbeArgs(
        http_get=gcp.cloudrunv2.ServiceTemplateContainerReadinessProbeHttpGetArgs(path=ALIVE, port=port),
        period_seconds=5,
        timeout_seconds=3,
        success_threshold=1,
        failure_threshold=2,
    )


def _liveness(port: int) -> gcp.cloudrunv2.ServiceTemplateContainerLivenessProbeArgs:
    """Start an instance again that hangs for good, long after it has left the rotation."""
    return gcp.cloudrunv2.ServiceTemplateContainerLivenessProbeArgs(
        http_get=gcp.cloudrunv2.ServiceTemplateContainerLivenessProbeHttpGetArgs(path=ALIVE, port=port),
        period_seconds=10,
        timeout_seconds=5,
        failure_threshold=3,
    )
