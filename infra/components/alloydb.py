"""The database on AlloyDB: a cluster by private address and TLS alone, a pool for reading, a cluster elsewhere."""

import pulumi
import pulumi_gcp as gcp

from infra.components.database import (
    FLAGS,
    OWNER,
    POOLER_PORT,
    PORT,
    SERVICE,
    DatabaseArgs,
    pooler_flags,
    role_password,
    url,
)

DATABASE = "postgres"
"""The one that a cluster begins with: AlloyDB has no API that makes another."""
BACKUP_HOUR = 2
"""UTC."""


class AlloyDb(pulumi.ComponentResource):
    """A cluster of AlloyDB with its primary, and what reaches it.

    Its storage is the region's and not a machine's, so that a standby needs no disk. Its backups lie where it is
    (nothing else can be asked for): what survives the region is the second cluster, which has backups of its own.

    Attributes:
        instance_name: of the cluster.
        service_account_email: whom an export is written as.
        service_password: of the service's role, secret; a migration makes the role with it.
        url: for the service, secret; through the pooler where there is one. Of both clusters, where there are two.
        owner_url: for migrations, secret; always past the pooler.
        ca_certificate: PEM, as the stack file gives it: the provider does not tell.
    """

    def __init__(self, name: str, args: DatabaseArgs, project: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("authsvc:components:AlloyDb", name, None, opts)
        self._name, self._args = name, args
        chosen = args.settings
        api = gcp.projects.Service(
            "api-alloydb",
            service="alloydb.googleapis.com",
            project=project,
            disable_on_destroy=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        cluster = self._cluster(name, args.region, after=[api, args.peering])
        primary = self._instance(
            name,
            cluster,
            "PRIMARY",
            availability_type="REGIONAL" if chosen.highly_available else "ZONAL",
            after=[cluster],
        )
        if chosen.read_replicas:
            self._instance(f"{name}-read-pool", cluster, "READ_POOL", nodes=chosen.read_replicas, after=[primary])
        servers = [primary]
        if chosen.replica_region:
            second = self._cluster(f"{name}-recovery", chosen.replica_region, after=[primary], primary=cluster)
            servers.append(
                self._instance(
                    f"{name}-recovery", second, "SECONDARY", availability_type="ZONAL", after=[second, primary]
                )
            )
        self.instance_name: pulumi.Output[str] = cluster.cluster_id
        # Made by this, and else only with the first cluster: before, nothing can be granted to it.
        agent = gcp.projects.ServiceIdentity(
            f"{name}-agent",
            service="alloydb.googleapis.com",
            project=project,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[api]),
        )
        self.service_account_email = agent.email.apply(str)
        self.ca_certificate = pulumi.Output.from_input(chosen.ca_certificate or "")
        owner_password, self.service_password = (role_password(name, role, self) for role in (OWNER, SERVICE))
        gcp.alloydb.User(
            f"{name}-owner",
            cluster=cluster.name,
            user_id=OWNER,
            user_type="ALLOYDB_BUILT_IN",
            password=owner_password,
            # For tables in the cluster's own database, and for the role of the service, which a migration makes.
            database_roles=["alloydbsuperuser"],
            # A role that owns tables cannot be dropped: it goes with its cluster.
            deletion_policy="ABANDON",
            opts=pulumi.ResourceOptions(parent=self, depends_on=[primary]),
        )
        addresses = [each.ip_address for each in servers]
        port = POOLER_PORT if args.budget.pooled else PORT
        self.owner_url = url(OWNER, owner_password, addresses, PORT, DATABASE)
        self.url = url(SERVICE, self.service_password, addresses, port, DATABASE)
        self.register_outputs({"instance_name": self.instance_name})

    def _cluster(
        self,
        name: str,
        region: str,
        *,
        after: list[pulumi.Resource],
        primary: gcp.alloydb.Cluster | None = None,
    ) -> gcp.alloydb.Cluster:
        chosen, production = self._args.settings, self._args.production
        initial = (
            None
            if primary
            # The role that a cluster begins with. Its password is in no secret: nobody needs it.
            else gcp.alloydb.ClusterInitialUserArgs(
                user="postgres", password=role_password(self._name, "initial", self)
            )
        )
        schedule = gcp.alloydb.ClusterAutomatedBackupPolicyWeeklyScheduleArgs(
            days_of_weeks=["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"],
            start_times=[gcp.alloydb.ClusterAutomatedBackupPolicyWeeklyScheduleStartTimeArgs(hours=BACKUP_HOUR)],
        )
        return gcp.alloydb.Cluster(
            name,
            cluster_id=name,
            location=region,
            cluster_type="SECONDARY" if primary else "PRIMARY",
            secondary_config=gcp.alloydb.ClusterSecondaryConfigArgs(primary_cluster_name=primary.name)
            if primary
            else None,
            database_version=chosen.version,
            network_config=gcp.alloydb.ClusterNetworkConfigArgs(network=self._args.network_id),
            initial_user=initial,
            continuous_backup_config=gcp.alloydb.ClusterContinuousBackupConfigArgs(
                enabled=chosen.pitr_days > 0, recovery_window_days=chosen.pitr_days or None
            ),
            automated_backup_policy=gcp.alloydb.ClusterAutomatedBackupPolicyArgs(
                enabled=True,
                location=region,
                weekly_schedule=schedule,
                quantity_based_retention=gcp.alloydb.ClusterAutomatedBackupPolicyQuantityBasedRetentionArgs(
                    count=chosen.backups
                ),
            ),
            deletion_protection=production,
            # A cluster that follows another can only go with its instance.
            deletion_policy="FORCE" if primary else "DEFAULT",
            opts=pulumi.ResourceOptions(parent=self, protect=production, depends_on=after),
        )

    def _instance(
        self,
        name: str,
        cluster: gcp.alloydb.Cluster,
        instance_type: str,
        *,
        after: list[pulumi.Resource],
        availability_type: str | None = None,
        nodes: int | None = None,
    ) -> gcp.alloydb.Instance:
        chosen = self._args.settings
        own_flags = {name: value for name, value in FLAGS.items() if not name.startswith("cloudsql.")}
        return gcp.alloydb.Instance(
            name,
            instance_id=name,
            cluster=cluster.name,
            instance_type=instance_type,
            availability_type=availability_type,
            machine_config=gcp.alloydb.InstanceMachineConfigArgs(cpu_count=chosen.vcpus),
            read_pool_config=gcp.alloydb.InstanceReadPoolConfigArgs(node_count=nodes) if nodes else None,
            database_flags={
                "max_connections": str(chosen.max_connections),
                "alloydb.iam_authentication": "off",
                **own_flags,
            },
            connection_pool_config=self._pooling() if nodes is None else None,
            client_connection_config=gcp.alloydb.InstanceClientConnectionConfigArgs(
                ssl_config=gcp.alloydb.InstanceClientConnectionConfigSslConfigArgs(ssl_mode="ENCRYPTED_ONLY"),
                require_connectors=False,
            ),
            network_config=gcp.alloydb.InstanceNetworkConfigArgs(
                enable_public_ip=False, enable_outbound_public_ip=False
            ),
            query_insights_config=gcp.alloydb.InstanceQueryInsightsConfigArgs(
                # Whose address it was is the journal's to keep, for as long as it says.
                record_client_address=False,
                record_application_tags=False,
            ),
            opts=pulumi.ResourceOptions(parent=self, protect=self._args.production, depends_on=after),
        )

    def _pooling(self) -> gcp.alloydb.InstanceConnectionPoolConfigArgs | None:
        budget = self._args.budget
        if not budget.pooled:
            return None
        return gcp.alloydb.InstanceConnectionPoolConfigArgs(enabled=True, flags=pooler_flags(budget))
