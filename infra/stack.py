"""The composition: which parts a stack has, and what each is told of the others. It decides nothing by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra import environment
from infra.components.backup import Backup, BackupArgs
from infra.components.database import SERVICE
from infra.components.databases import database
from infra.components.edge import Edge, EdgeArgs
from infra.components.jobs import Jobs, JobsArgs
from infra.components.monitoring import Monitoring, MonitoringArgs
from infra.components.network import Network, NetworkArgs
from infra.components.registry import Registry, RegistryArgs
from infra.components.secret_files import SecretFile
from infra.components.secrets import SecretRef, Secrets, SecretsArgs
from infra.components.service import Service, ServiceArgs
from infra.monitoring.cloud.plan import Plan, plan
from infra.settings import Settings

NAME = "authsvc"
"""What the names of all resources begin with: a project holds one stack."""
KEYS = (environment.SIGNING_KEYS, environment.REFRESH_SECRET)


@dataclass(frozen=True)
class Outputs:
    """What `pulumi stack output` prints; what a stack does not have is left out."""

    next_step: pulumi.Input[str]
    """What a person does now."""
    repository: pulumi.Input[str]
    """Where the image is pushed to."""
    signing_keys_secret: pulumi.Input[str]
    refresh_secret: pulumi.Input[str]
    """The secrets that people add a version to."""
    database_instance: pulumi.Input[str]
    backup_bucket: pulumi.Input[str]
    url: pulumi.Input[str] | None = None
    dns_record: pulumi.Input[str] | None = None
    """The records that the domain needs: its address, and what its certificate is made on."""
    latest_revision: pulumi.Input[str] | None = None
    """The newest; this and the next two are for `python -m infra.rollout`."""
    candidate_url: pulumi.Input[str] | None = None
    candidate_key: pulumi.Input[str] | None = None

    def exports(self) -> dict[str, Any]:
        """Return them by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def build(settings: Settings) -> Outputs:
    """Register the resources of a stack whose settings and budgets were found good, and return its outputs.

    Without `authsvc:image` it ends before the service: an empty project has no registry yet that an image could lie in.

    Raises:
        SettingsError: a rule or a dashboard is not what Google takes; nothing was registered.
    """
    watched = plan(settings)
    network = Network(NAME, NetworkArgs(settings.project, settings.region, settings.service.extra_regions))
    # No API answers before the project has it on.
    after_apis = _after(network.services)
    registry = Registry(NAME, RegistryArgs(settings.region), after_apis)
    chosen = database(NAME, settings, network_id=network.network_id, peering=network.peering, opts=after_apis)
    secrets = Secrets(
        NAME,
        SecretsArgs(
            database_url=chosen.url,
            owner_url=chosen.owner_url,
            service_password=chosen.service_password,
            ca_certificate=chosen.ca_certificate,
            production=settings.production,
        ),
        after_apis,
    )
    backup = Backup(
        f"{NAME}-backup",
        BackupArgs(settings.backup, settings.region, settings.production, writer=chosen.service_account_email),
        after_apis,
    )
    outputs = Outputs(
        next_step=_next_step(registry, secrets),
        repository=registry.repository_url,
        signing_keys_secret=secrets.signing_keys.secret_id,
        refresh_secret=secrets.refresh_secret.secret_id,
        database_instance=chosen.instance_name,
        backup_bucket=backup.bucket_name,
    )
    if settings.image is None:
        return outputs
    return _build_service(
        settings, settings.image, outputs, watched, network=network, secrets=secrets, after_apis=after_apis
    )


def _build_service(
    settings: Settings,
    image: str,
    outputs: Outputs,
    watched: Plan,
    *,
    network: Network,
    secrets: Secrets,
    after_apis: pulumi.ResourceOptions,
) -> Outputs:
    """Register what runs the image, and return the outputs with what that adds."""
    public_url = _public_url(settings, network.services)
    variables = {**environment.environment(settings, ""), "AUTHSVC_PUBLIC_URL": public_url}
    database = {environment.DATABASE_URL: secrets.owner_url, environment.DATABASE_CA: secrets.database_ca}
    jobs = Jobs(
        NAME,
        JobsArgs(
            settings.project,
            settings.region,
            image,
            settings.jobs,
            settings.backup,
            engine=settings.database.engine,
            production=settings.production,
            role=SERVICE,
            role_password=_file(environment.SERVICE_PASSWORD, secrets.service_password),
            # Without the keys: neither a migration nor a sweep signs anything.
            environment={
                name: value for name, value in variables.items() if environment.FILES.get(name, "") not in KEYS
            },
            files=_files(database),
            network_id=network.network_id,
            subnetwork_id=network.subnetwork_ids[settings.region],
            database_instance=outputs.database_instance,
            backup_bucket=outputs.backup_bucket,
        ),
        after_apis,
    )
    service = Service(
        NAME,
        ServiceArgs(
            settings.project,
            [settings.region, *settings.service.extra_regions],
            image,
            settings.service,
            settings.rollout,
            behind_edge=settings.edge.enabled,
            production=settings.production,
            sidecar_image=settings.monitoring.sidecar_image,
            config=environment.service_config(settings),
            public_url=public_url,
            environment=variables,
            files=_files(
                {
                    environment.SIGNING_KEYS: secrets.signing_keys,
                    environment.REFRESH_SECRET: secrets.refresh_secret,
                    **database,
                    environment.DATABASE_URL: secrets.database_url,
                }
            ),
            network_id=network.network_id,
            subnetwork_ids=network.subnetwork_ids,
            migration=jobs.migration,
        ),
        after_apis,
    )
    Monitoring(NAME, MonitoringArgs(settings.project, settings.monitoring, watched, public_url), after_apis)
    outputs = replace(outputs, url=service.url, latest_revision=service.latest_revision)
    if settings.domain is None or not settings.edge.enabled:
        return replace(
            outputs,
            next_step=pulumi.Output.format("Open {0}/register.", service.url),
            candidate_url=service.candidate_url,
        )
    edge = Edge(NAME, EdgeArgs(settings.edge, settings.domain, service.names), after_apis)
    return replace(
        outputs,
        next_step="Give the domain the records of `pulumi stack output dns_record`, once.",
        dns_record=edge.dns_record,
        candidate_url=service.url,
        candidate_key=edge.candidate_key,
    )


def _public_url(settings: Settings, apis: Sequence[pulumi.Resource]) -> pulumi.Input[str]:
    """Return what people see: the domain behind an edge, else the address that Cloud Run gives, known beforehand."""
    if settings.edge.enabled:
        return f"https://{settings.domain}"
    after_apis = pulumi.InvokeOutputOptions(depends_on=list(apis))
    project = gcp.organizations.get_project_output(project_id=settings.project, opts=after_apis)
    return pulumi.Output.format("https://{0}-{1}.{2}.run.app", NAME, project.number, settings.region)


def _files(files: dict[str, SecretRef]) -> list[SecretFile]:
    return [_file(path, secret) for path, secret in files.items()]


def _file(path: str, secret: SecretRef) -> SecretFile:
    return SecretFile(path, secret.secret_id, secret.version)


def _after(resources: Sequence[pulumi.Resource]) -> pulumi.ResourceOptions:
    """Return options of a component, under which all in it waits for these resources.

    Pulumi does not hand what a component depends on to its parts; it does hand them its transformations.
    """

    def wait(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult:
        waiting = pulumi.ResourceOptions(depends_on=list(resources))
        return pulumi.ResourceTransformationResult(args.props, pulumi.ResourceOptions.merge(args.opts, waiting))

    return pulumi.ResourceOptions(transformations=[wait])


def _next_step(registry: Registry, secrets: Secrets) -> pulumi.Output[str]:
    return pulumi.Output.format(
        "Push the image to {0}/authsvc, give the secrets {1} and {2} a version each (gcloud secrets versions add … "
        "--data-file=-), name the image by its digest (pulumi config set authsvc:image {0}/authsvc@sha256:…), and run "
        "pulumi up again.",
        registry.repository_url,
        secrets.signing_keys.secret_id,
        secrets.refresh_secret.secret_id,
    )
