"""The composition: which parts a stack has, and what each is told of the others. It decides nothing by itself."""

from dataclasses import dataclass
from typing import Any

import pulumi

from infra import budgets
from infra.components.backup import Backup, BackupArgs
from infra.components.database import Database, DatabaseArgs
from infra.components.network import Network, NetworkArgs
from infra.components.registry import Registry, RegistryArgs
from infra.components.secrets import Secrets, SecretsArgs
from infra.settings import Settings

NAME = "authsvc"
"""What the names of all resources begin with: a project holds one stack."""


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
    """The record that the domain needs before its certificate can be made."""

    def exports(self) -> dict[str, Any]:
        """Return them by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def build(settings: Settings) -> Outputs:
    """Register the resources of a stack whose settings and budgets were found good, and return its outputs.

    Without `authsvc:image` it ends before the service: an empty project has no registry yet that an image could lie in.
    """
    network = Network(NAME, NetworkArgs(settings.project, settings.region, settings.service.extra_regions))
    # No API answers before the project has it on.
    after_apis = pulumi.ResourceOptions(depends_on=network.services)
    registry = Registry(NAME, RegistryArgs(settings.region), after_apis)
    database = Database(
        NAME,
        DatabaseArgs(
            settings.database,
            region=settings.region,
            backup_region=settings.backup.region,
            production=settings.production,
            budget=budgets.connection_budget(settings),
            network_id=network.network_id,
            peering=network.peering,
        ),
        after_apis,
    )
    secrets = Secrets(
        NAME,
        SecretsArgs(
            database_url=database.url,
            owner_url=database.owner_url,
            service_password=database.service_password,
            ca_certificate=database.ca_certificate,
            production=settings.production,
        ),
        after_apis,
    )
    backup = Backup(
        f"{NAME}-backup",
        BackupArgs(settings.backup, settings.region, settings.production, writer=database.service_account_email),
        after_apis,
    )
    return Outputs(
        next_step=_next_step(registry, secrets),
        repository=registry.repository_url,
        signing_keys_secret=secrets.signing_keys.secret_id,
        refresh_secret=secrets.refresh_secret.secret_id,
        database_instance=database.instance_name,
        backup_bucket=backup.bucket_name,
    )


def _next_step(registry: Registry, secrets: Secrets) -> pulumi.Output[str]:
    return pulumi.Output.format(
        "Push the image to {0}/authsvc, give the secrets {1} and {2} a version each (gcloud secrets versions add … "
        "--data-file=-), name the image by its digest (pulumi config set authsvc:image {0}/authsvc@sha256:…), and run "
        "pulumi up again.",
        registry.repository_url,
        secrets.signing_keys.secret_id,
        secrets.refresh_secret.secret_id,
    )
