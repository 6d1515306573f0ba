"""The composition: which parts a stack has, and what each is told of the others. It decides nothing by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pulumi
import pulumi_gcp as gcp

from infra.components.backup import Backup, BackupArgs
from infra.components.database import SERVICE
from infra.components.databases import AnyDatabase, database
from infra.components.edge import Edge, EdgeArgs
from infra.components.jobs import Jobs, JobsArgs
from infra.components.monitoring import Monitoring, MonitoringArgs
from infra.components.network import Network, NetworkArgs
from infra.components.registry import Registry, RegistryArgs
from infra.components.secret_files import SecretFile
from infra.components.secrets import SecretRef, Secrets, SecretsArgs
from infra.components.service import Service, ServiceArgs
from infra.environment import (
    DATABASE_CA,
    DATABASE_URL,
    FILES,
    REFRESH_SECRET,
    SERVICE_PASSWORD,
    SIGNING_KEYS,
    environment,
    service_config,
)
from infra.monitoring.cloud.plan import plan
from infra.settings import Settings

NAME = "authsvc"
"""What the names of all resources begin with: a project holds one stack."""
KEYS = (SIGNING_KEYS, REFRESH_SECRET)


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


@dataclass(frozen=True)
class _Foundations:
    """What is there before an image is: all that lasts longer than a version of the service."""

    network: Network
    registry: Registry
    database: AnyDatabase
    secrets: Secrets
    backup: Backup
    after_apis: pulumi.ResourceOptions
    """For every component: no API answers before the project has it on."""


@dataclass(frozen=True)
class _Version:
    """What of the service changes from one version to the next."""

    image: str
    """By digest."""
    public_url: pulumi.Input[str]
    environment: Mapping[str, pulumi.Input[str]]
    """Its AUTHSVC_ variables."""


def build(settings: Settings) -> Outputs:
    """Register the resources of a stack whose settings and budgets were found good, and return its outputs.

    Without `authsvc:image` it ends before the service: an empty project has no registry yet that an image could lie in.

    Raises:
        SettingsError: a rule or a dashboard is not what Google takes; nothing was registered.
    """
    watched = plan(settings)
    there = _foundations(settings)
    outputs = _first_outputs(there)
    if settings.image is None:
        return outputs
    version = _version(settings, settings.image, there.network)
    jobs = Jobs(NAME, _jobs(settings, version, there), there.after_apis)
    service = Service(NAME, _service(settings, version, there, jobs.migration), there.after_apis)
    Monitoring(
        NAME, MonitoringArgs(settings.project, settings.monitoring, watched, version.public_url), there.after_apis
    )
    outputs = replace(outputs, url=service.url, latest_revision=service.latest_revision)
    if settings.domain is None or not settings.edge.enabled:
        return _without_edge(outputs, service)
    return _behind(Edge(NAME, EdgeArgs(settings.edge, settings.domain, service.names), there.after_apis), outputs)


def _foundations(settings: Settings) -> _Foundations:
    network = Network(NAME, NetworkArgs(settings.project, settings.region, settings.service.extra_regions))
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
    return _Foundations(network, registry, chosen, secrets, backup, after_apis)


def _version(settings: Settings, image: str, network: Network) -> _Version:
    public_url = _public_url(settings, network.services)
    return _Version(image, public_url, {**environment(settings, ""), "AUTHSVC_PUBLIC_URL": public_url})


def _jobs(settings: Settings, version: _Version, there: _Foundations) -> JobsArgs:
    secrets, network = there.secrets, there.network
    # Without the keys: neither a migration nor a sweep signs anything.
    variables = {name: value for name, value in version.environment.items() if FILES.get(name, "") not in KEYS}
    return JobsArgs(
        settings.project,
        settings.region,
        version.image,
        settings.jobs,
        settings.backup,
        engine=settings.database.engine,
        production=settings.production,
        role=SERVICE,
        role_password=_file(SERVICE_PASSWORD, secrets.service_password),
        environment=variables,
        files=[_file(DATABASE_URL, secrets.owner_url), _file(DATABASE_CA, secrets.database_ca)],
        network_id=network.network_id,
        subnetwork_id=network.subnetwork_ids[settings.region],
        database_instance=there.database.instance_name,
        backup_bucket=there.backup.bucket_name,
    )


def _service(settings: Settings, version: _Version, there: _Foundations, migration: pulumi.Resource) -> ServiceArgs:
    secrets, network = there.secrets, there.network
    return ServiceArgs(
        settings.project,
        [settings.region, *settings.service.extra_regions],
        version.image,
        settings.service,
        settings.rollout,
        behind_edge=settings.edge.enabled,
        production=settings.production,
        sidecar_image=settings.monitoring.sidecar_image,
        config=service_config(settings),
        public_url=version.public_url,
        environment=version.environment,
        files=[
            _file(SIGNING_KEYS, secrets.signing_keys),
            _file(REFRESH_SECRET, secrets.refresh_secret),
            _file(DATABASE_URL, secrets.database_url),
            _file(DATABASE_CA, secrets.database_ca),
        ],
        network_id=network.network_id,
        subnetwork_ids=network.subnetwork_ids,
        migration=migration,
    )


def _first_outputs(there: _Foundations) -> Outputs:
    """Return the outputs of a stack without an image, and what a person does now."""
    registry, secrets = there.registry, there.secrets
    next_step = pulumi.Output.format(
        "Push the image to {0}/authsvc, give the secrets {1} and {2} a version each (gcloud secrets versions add … "
        "--data-file=-), name the image by its digest (pulumi config set authsvc:image {0}/authsvc@sha256:…), and run "
        "pulumi up again.",
        registry.repository_url,
        secrets.signing_keys.secret_id,
        secrets.refresh_secret.secret_id,
    )
    return Outputs(
        next_step=next_step,
        repository=registry.repository_url,
        signing_keys_secret=secrets.signing_keys.secret_id,
        refresh_secret=secrets.refresh_secret.secret_id,
        database_instance=there.database.instance_name,
        backup_bucket=there.backup.bucket_name,
    )


def _without_edge(outputs: Outputs, service: Service) -> Outputs:
    opened = pulumi.Output.format("Open {0}/register.", service.url)
    return replace(outputs, next_step=opened, candidate_url=service.candidate_url)


def _behind(edge: Edge, outputs: Outputs) -> Outputs:
    return replace(
        outputs,
        next_step="Give the domain the records of `pulumi stack output dns_record`, once.",
        dns_record=edge.dns_record,
        candidate_url=outputs.url,
        candidate_key=edge.candidate_key,
    )


def _public_url(settings: Settings, apis: Sequence[pulumi.Resource]) -> pulumi.Input[str]:
    """Return what people see: the domain behind an edge, else the address that Cloud Run gives, known beforehand."""
    if settings.edge.enabled:
        return f"https://{settings.domain}"
    after_apis = pulumi.InvokeOutputOptions(depends_on=list(apis))
    project = gcp.organizations.get_project_output(project_id=settings.project, opts=after_apis)
    return pulumi.Output.format("https://{0}-{1}.{2}.run.app", NAME, project.number, settings.region)


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
