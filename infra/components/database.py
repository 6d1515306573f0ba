"""The database: Cloud SQL for PostgreSQL, by private address and TLS alone, with its replicas."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp
import pulumi_random

from infra import settings
from infra.budgets import CLIENTS_OF_A_POOLER, ConnectionBudget
from infra.environment import DATABASE_CA

DATABASE = "authsvc"
OWNER = "authsvc_owner"
"""Role that owns the tables: migrations, and the sweep."""
SERVICE = "authsvc"
"""Role of the service, which `authsvc migrate --service-role` makes."""
PORT = 5432
POOLER_PORT = 6432
# Letters and digits: 190 bits, and nothing that a URL would have to escape.
PASSWORD_LENGTH = 32
FINAL_BACKUP_DAYS = {True: 30, False: 7}
"""By production: long enough to notice that the wrong instance is gone."""

FLAGS = {
    # Of an error the statement, not the DETAIL: that quotes the row, which is somebody's address.
    "log_error_verbosity": "terse",
    # No other statement: with it would go its values. Query insights has the slow ones, without.
    "log_min_duration_statement": "-1",
    "log_statement": "none",
    # Who came, who waited for a lock, and what went to disk: rare, and what one looks for afterwards.
    "log_connections": "on",
    "log_disconnections": "on",
    "log_lock_waits": "on",
    "log_checkpoints": "on",
    "log_temp_files": "0",
    # Both roles have passwords; an account of the cloud is none of the database.
    "cloudsql.iam_authentication": "off",
}


@dataclass(frozen=True)
class DatabaseArgs:
    """What the database is made of."""

    settings: settings.Database
    region: str
    backup_region: str | None
    """Where backups are; none: the multi-region nearest to `region`."""
    production: bool
    """Whether it is protected against its deletion."""
    budget: ConnectionBudget
    network_id: pulumi.Input[str]
    peering: pulumi.Resource


class Database(pulumi.ComponentResource):
    """An instance of Cloud SQL, the database in it, and what reaches it.

    Attributes:
        instance_name: of the primary.
        service_account_email: whom it writes exports as.
        service_password: of the service's role, secret; a migration makes the role with it.
        url: for the service, secret; through the pooler where there is one.
        owner_url: for migrations, secret; always past the pooler.
        ca_certificate: PEM; it signed this instance and no other, so `verify-ca` says who answers.
    """

    def __init__(self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("authsvc:components:Database", name, None, opts)
        self._name, self._args = name, args
        primary = self._instance(
            name,
            args.region,
            instance_type="CLOUD_SQL_INSTANCE",
            availability_type="REGIONAL" if args.settings.highly_available else "ZONAL",
            backup_configuration=self._backup_configuration(),
        )
        self.instance_name: pulumi.Output[str] = primary.name
        self.service_account_email: pulumi.Output[str] = primary.service_account_email_address
        gcp.sql.Database(
            f"{name}-{DATABASE}",
            name=DATABASE,
            instance=primary.name,
            # It goes with its instance, and by no other way.
            deletion_policy="ABANDON",
            opts=pulumi.ResourceOptions(parent=self),
        )
        owner_password, self.service_password = (role_password(name, role, self) for role in (OWNER, SERVICE))
        gcp.sql.User(
            f"{name}-owner",
            name=OWNER,
            instance=primary.name,
            type="BUILT_IN",
            password=owner_password,
            # It may create tables, since the database is cloudsqlsuperuser's, and roles: the service's. Made here,
            # that one would be a member as well, unless it were given roles that are there already, and before the
            # first migration there are none. So `authsvc migrate --service-role` makes it, and grants what it needs.
            database_roles=["cloudsqlsuperuser"],
            # A role that owns tables cannot be dropped: it goes with its instance.
            deletion_policy="ABANDON",
            opts=pulumi.ResourceOptions(parent=self),
        )
        servers = [primary, *self._replicas(primary.name)]
        self.ca_certificate: pulumi.Output[str] = pulumi.Output.all(*map(_authorities, servers)).apply("\n".join)
        addresses = [each.private_ip_address for each in servers]
        port = POOLER_PORT if args.budget.pooled else PORT
        self.owner_url = url(OWNER, owner_password, addresses, PORT)
        self.url = url(SERVICE, self.service_password, addresses, port)
        self.register_outputs({"instance_name": self.instance_name})

    def _instance(
        self,
        name: str,
        region: str,
        *,
        instance_type: str,
        availability_type: str | None = None,
        backup_configuration: gcp.sql.DatabaseInstanceSettingsBackupConfigurationArgs | None = None,
        primary: pulumi.Input[str] | None = None,
        node_count: int | None = None,
        recovery: bool = False,
    ) -> gcp.sql.DatabaseInstance:
        args, chosen = self._args, self._args.settings
        return gcp.sql.DatabaseInstance(
            # No physical name: that of a deleted instance is taken for a week, and Pulumi adds what makes it unique.
            name,
            region=region,
            database_version=chosen.version,
            instance_type=instance_type,
            master_instance_name=primary,
            node_count=node_count,
            # Against this stack, and below against everybody.
            deletion_protection=args.production,
            settings=self._settings(
                availability_type, backup_configuration, primary=primary is None, pooled=primary is None or recovery
            ),
            opts=pulumi.ResourceOptions(
                parent=self,
                protect=args.production,
                depends_on=[args.peering],
                # It grows by itself; to set it back would be to make the instance anew.
                ignore_changes=["settings.diskSize"],
            ),
        )

    def _settings(
        self,
        availability_type: str | None,
        backup_configuration: gcp.sql.DatabaseInstanceSettingsBackupConfigurationArgs | None,
        *,
        primary: bool,
        pooled: bool,
    ) -> gcp.sql.DatabaseInstanceSettingsArgs:
        args, chosen = self._args, self._args.settings
        return gcp.sql.DatabaseInstanceSettingsArgs(
            # Without it, version 16 and later are ENTERPRISE_PLUS, whose machines have other names.
            edition=chosen.edition,
            tier=chosen.tier,
            availability_type=availability_type,
            deletion_protection_enabled=args.production,
            retain_backups_on_delete=args.production,
            final_backup_config=gcp.sql.DatabaseInstanceSettingsFinalBackupConfigArgs(
                enabled=True, retention_days=FINAL_BACKUP_DAYS[args.production]
            )
            if primary
            else None,
            backup_configuration=backup_configuration,
            disk_type="PD_SSD",
            disk_size=chosen.disk_gb,
            disk_autoresize=True,
            disk_autoresize_limit=chosen.disk_limit_gb,
            database_flags=[
                gcp.sql.DatabaseInstanceSettingsDatabaseFlagArgs(name=flag, value=value)
                for flag, value in {"max_connections": str(chosen.max_connections), **FLAGS}.items()
            ],
            connection_pool_configs=self._pooling() if pooled else None,
            ip_configuration=gcp.sql.DatabaseInstanceSettingsIpConfigurationArgs(
                ipv4_enabled=False,
                private_network=args.network_id,
                ssl_mode="ENCRYPTED_ONLY",
                # An authority for this instance alone: who holds its certificate is this instance.
                server_ca_mode="GOOGLE_MANAGED_INTERNAL_CA",
            ),
            # The other way in: SQL through Google's API, from anywhere.
            data_api_access="DISALLOW_DATA_API",
            insights_config=gcp.sql.DatabaseInstanceSettingsInsightsConfigArgs(
                query_insights_enabled=True, record_client_address=False, record_application_tags=False
            ),
            # A replica has none: it is updated with its primary, just before it.
            maintenance_window=self._maintenance_window() if primary else None,
        )

    def _backup_configuration(self) -> gcp.sql.DatabaseInstanceSettingsBackupConfigurationArgs:
        chosen = self._args.settings
        return gcp.sql.DatabaseInstanceSettingsBackupConfigurationArgs(
            enabled=True,
            start_time="02:00",
            location=self._args.backup_region,
            point_in_time_recovery_enabled=chosen.pitr_days > 0,
            transaction_log_retention_days=chosen.pitr_days or None,
            backup_retention_settings=gcp.sql.DatabaseInstanceSettingsBackupConfigurationBackupRetentionSettingsArgs(
                retained_backups=chosen.backups, retention_unit="COUNT"
            ),
        )

    def _maintenance_window(self) -> gcp.sql.DatabaseInstanceSettingsMaintenanceWindowArgs:
        """Return Sunday, 04:00 UTC, after the daily backup; a trial gets each update a week before production."""
        track = "stable" if self._args.production else "canary"
        return gcp.sql.DatabaseInstanceSettingsMaintenanceWindowArgs(day=7, hour=4, update_track=track)

    def _pooling(self) -> list[gcp.sql.DatabaseInstanceSettingsConnectionPoolConfigArgs] | None:
        budget = self._args.budget
        if not budget.pooled:
            return None
        return [
            gcp.sql.DatabaseInstanceSettingsConnectionPoolConfigArgs(
                connection_pooling_enabled=True,
                flags=[
                    gcp.sql.DatabaseInstanceSettingsConnectionPoolConfigFlagArgs(name=flag, value=value)
                    for flag, value in pooler_flags(budget).items()
                ],
            )
        ]

    def _replicas(self, primary: pulumi.Output[str]) -> list[gcp.sql.DatabaseInstance]:
        """Register all replicas, and return the one that may be promoted, where there is one."""
        args, chosen = self._args, self._args.settings
        recovery = []
        if chosen.replica_region:
            # To be promoted when the region is lost, and then to take all of its load, by the same port.
            recovery = [
                self._instance(
                    f"{self._name}-recovery",
                    chosen.replica_region,
                    instance_type="READ_REPLICA_INSTANCE",
                    availability_type="ZONAL",
                    primary=primary,
                    recovery=True,
                )
            ]
        if chosen.read_replicas and chosen.edition == "ENTERPRISE_PLUS":
            # One address for all its nodes.
            self._instance(
                f"{self._name}-read-pool",
                args.region,
                instance_type="READ_POOL_INSTANCE",
                node_count=chosen.read_replicas,
                primary=primary,
            )
        elif chosen.read_replicas:
            for number in range(1, chosen.read_replicas + 1):
                self._instance(
                    f"{self._name}-replica-{number}",
                    args.region,
                    instance_type="READ_REPLICA_INSTANCE",
                    availability_type="ZONAL",
                    primary=primary,
                )
        return recovery


def _authorities(instance: gcp.sql.DatabaseInstance) -> pulumi.Output[str]:
    """Return all there are: while one takes over from another, either may have signed what the instance shows."""
    authorities: pulumi.Output[str] = instance.server_ca_certs.apply(
        lambda certificates: "\n".join(each.cert or "" for each in certificates)
    )
    return authorities


def role_password(name: str, role: str, parent: pulumi.Resource) -> pulumi.Output[str]:
    """Return a password that nobody has seen. The role `postgres` has none, and so cannot log in."""
    password = pulumi_random.RandomPassword(
        f"{name}-{role.replace('_', '-')}",
        length=PASSWORD_LENGTH,
        special=False,
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return pulumi.Output.secret(password.result)


def pooler_flags(budget: ConnectionBudget) -> dict[str, str]:
    """Return the settings of each pooler of Managed Connection Pooling, which both products of Google call the same."""
    return {
        "pool_mode": "transaction",
        "max_pool_size": str(budget.pool_of_a_pooler),
        "max_client_connections": str(CLIENTS_OF_A_POOLER),
    }


def url(
    role: str, password: pulumi.Output[str], addresses: list[pulumi.Output[str]], port: int, database: str = DATABASE
) -> pulumi.Output[str]:
    """Return the URL of a database by the addresses of its servers: of several, that of the one which takes writes."""

    def made(of_all: list[str]) -> str:
        secret, *hosts = of_all
        tls = f"sslmode=verify-ca&sslrootcert={DATABASE_CA}"
        if len(hosts) == 1:
            return f"postgresql://{role}:{secret}@{hosts[0]}:{port}/{database}?{tls}"
        ports = ",".join([str(port)] * len(hosts))
        several = f"host={','.join(hosts)}&port={ports}&target_session_attrs=read-write"
        return f"postgresql://{role}:{secret}@/{database}?{several}&{tls}"

    return pulumi.Output.secret(pulumi.Output.all(password, *addresses).apply(made))
