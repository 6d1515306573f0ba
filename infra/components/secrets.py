"""Secrets: what the service reads from Secret Manager.

Two are empty until a person adds a version; of the others Pulumi knows the value, marked as a secret in its state.
"""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

WEEK = f"{7 * 24 * 3600}s"
LATEST = "latest"


@dataclass(frozen=True)
class SecretRef:
    """A secret, and which version of it the service reads."""

    secret_id: pulumi.Output[str]
    version: pulumi.Output[str]
    """`latest` where people add versions: an instance takes the one there is as it starts. Else a number, so that
    another password makes another revision."""


@dataclass(frozen=True)
class SecretsArgs:
    """What the secrets are made of."""

    database_url: pulumi.Input[str]
    """For the service's role."""
    owner_url: pulumi.Input[str]
    """For the owner of the tables: migrations, and the sweep."""
    service_password: pulumi.Input[str]
    """Of the service's role alone: what a migration makes it with."""
    ca_certificate: pulumi.Input[str]
    """PEM; public, and here since a file is what the driver reads."""
    production: bool


class Secrets(pulumi.ComponentResource):
    """The secrets in Secret Manager.

    Attributes:
        signing_keys, refresh_secret: empty; `authsvc keys generate` makes what goes in.
        database_url, owner_url, service_password, database_ca: of the database.
    """

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("authsvc:components:Secrets", name, None, opts)
        self._name = name
        self._production = args.production
        self.signing_keys = self._by_hand("signing-keys")
        self.refresh_secret = self._by_hand("refresh-secret")
        self.database_url = self._of_the_stack("database-url", args.database_url)
        self.owner_url = self._of_the_stack("owner-url", args.owner_url)
        self.service_password = self._of_the_stack("service-password", args.service_password)
        self.database_ca = self._of_the_stack("database-ca", args.ca_certificate)
        self.register_outputs({})

    def _by_hand(self, purpose: str) -> SecretRef:
        # Without the keys nobody can be told who he is, and no stack makes them again.
        secret = self._secret(purpose, protected=self._production)
        return SecretRef(secret.secret_id, pulumi.Output.from_input(LATEST))

    def _of_the_stack(self, purpose: str, value: pulumi.Input[str]) -> SecretRef:
        secret = self._secret(purpose, protected=False)
        version = gcp.secretmanager.SecretVersion(
            f"{self._name}-{purpose}",
            secret=secret.id,
            secret_data=value,  # the SDK marks it as a secret
            # An older revision that one goes back to reads the version of its time.
            deletion_policy="ABANDON",
            opts=pulumi.ResourceOptions(parent=secret),
        )
        return SecretRef(secret.secret_id, version.version)

    def _secret(self, purpose: str, *, protected: bool) -> gcp.secretmanager.Secret:
        return gcp.secretmanager.Secret(
            f"{self._name}-{purpose}",
            secret_id=f"{self._name}-{purpose}",
            replication=gcp.secretmanager.SecretReplicationArgs(
                # In several regions: none that fails takes the keys with it.
                auto=gcp.secretmanager.SecretReplicationAutoArgs()
            ),
            # A version that was destroyed by mistake can be had back for so long.
            version_destroy_ttl=WEEK,
            deletion_protection=protected,
            opts=pulumi.ResourceOptions(parent=self, protect=protected),
        )
