"""Which database a stack has: by database.engine, all with the same attributes."""

from typing import Protocol
from urllib.parse import unquote, urlsplit

import pulumi
import pulumi_gcp as gcp

from infra import budgets
from infra.components.alloydb import AlloyDb
from infra.components.database import SERVICE, Database, DatabaseArgs
from infra.settings import PROJECT, Settings


class AnyDatabase(Protocol):
    """What the rest of a stack is told of its database; see Database for each."""

    instance_name: pulumi.Output[str]
    service_password: pulumi.Output[str]
    url: pulumi.Output[str]
    owner_url: pulumi.Output[str]
    ca_certificate: pulumi.Output[str]

    @property
    def service_account_email(self) -> pulumi.Output[str] | None:
        """Whom it writes exports as; None where it writes none."""
        ...


class ExternalDatabase(pulumi.ComponentResource):
    """A database that somebody else runs: its two URLs are read from secrets that people made.

    What is read is a secret in Pulumi's state as well, and becomes a version of the stack's own secrets: the service
    and the jobs read no others. Where one holds no such URL, the program ends with a sentence that does not show it.
    """

    service_account_email = None

    def __init__(self, name: str, settings: Settings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("authsvc:components:ExternalDatabase", name, None, opts)
        chosen = settings.database
        self.url = self._read(settings.project, "urlSecret", chosen.url_secret or "", SERVICE)
        self.owner_url = self._read(settings.project, "ownerUrlSecret", chosen.owner_url_secret or "")
        self.service_password: pulumi.Output[str] = pulumi.Output.secret(
            self.url.apply(lambda url: unquote(urlsplit(url).password or ""))
        )
        self.ca_certificate = pulumi.Output.from_input(chosen.ca_certificate or "")
        self.instance_name = pulumi.Output.from_input("external")
        self.register_outputs({})

    @staticmethod
    def _read(project: str, key: str, secret: str, role: str | None = None) -> pulumi.Output[str]:
        """Return the URL in a secret, of this role or of any."""

        def url(held: str) -> str:
            if _is_url(held.strip(), role):
                return held.strip()
            raise pulumi.RunError(
                f"{PROJECT}:database.{key}: the secret {secret} holds no URL like"
                f" postgresql://{role or 'OWNER'}:PASSWORD@HOST/DATABASE; add a version to it that is one."
            )

        version = gcp.secretmanager.get_secret_version_output(project=project, secret=secret)
        return pulumi.Output.secret(version.secret_data.apply(url))


def _is_url(held: str, role: str | None) -> bool:
    """Tell whether this is the URL of a PostgreSQL with a password, and of the role that a migration makes with it."""
    try:
        url = urlsplit(held)
    except ValueError:
        return False
    return url.scheme in ("postgresql", "postgres") and bool(url.password) and role in (None, url.username)


def database(
    name: str,
    settings: Settings,
    *,
    network_id: pulumi.Input[str],
    peering: pulumi.Resource,
    opts: pulumi.ResourceOptions | None = None,
) -> AnyDatabase:
    """Register the database of this stack, and return it."""
    if settings.database.engine == "external":
        return ExternalDatabase(name, settings, opts)
    args = DatabaseArgs(
        settings.database,
        region=settings.region,
        backup_region=settings.backup.region,
        production=settings.production,
        budget=budgets.connection_budget(settings),
        network_id=network_id,
        peering=peering,
    )
    if settings.database.engine == "alloydb":
        return AlloyDb(name, args, settings.project, opts)
    return Database(name, args, opts)
