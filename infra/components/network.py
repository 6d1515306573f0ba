"""The network: a VPC with a subnet in each region that serves, and from there the way to Cloud SQL."""

import ipaddress
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

APIS = (
    "artifactregistry",
    "certificatemanager",
    "cloudresourcemanager",
    "cloudscheduler",
    "compute",
    "containerscanning",
    "iam",
    "logging",
    "monitoring",
    "run",
    "secretmanager",
    "servicenetworking",
    "sqladmin",
    "storage",
    "workflowexecutions",
    "workflows",
)
"""What this stack asks of the project, each at its own googleapis.com."""

# Private addresses that neither the networks of most offices nor Google's own defaults (10.128.0.0/9) use.
SUBNETS = ipaddress.ip_network("10.8.0.0/14")
# Cloud Run takes twice as many addresses as there are instances, and two revisions overlap: 4,096 are for 1,000.
PREFIX = 20


@dataclass(frozen=True)
class NetworkArgs:
    """What the network is made of."""

    project: str
    region: str
    extra_regions: list[str]
    """In the order in which they were added: a region's addresses follow from its place."""


class Network(pulumi.ComponentResource):
    """A VPC without a way to the internet: Cloud Run reaches the database through it, and nothing else is in it.

    Attributes:
        services: the APIs, which everything else depends on.
        network_id: of the VPC.
        subnetwork_ids: of the subnets, by region.
        peering: the private services access, which an instance of Cloud SQL depends on.
    """

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("authsvc:components:Network", name, None, opts)
        inside = pulumi.ResourceOptions(parent=self)
        self.services = [
            gcp.projects.Service(
                f"api-{api}",
                service=f"{api}.googleapis.com",
                project=args.project,
                # Something else in the project may use it, too.
                disable_on_destroy=False,
                opts=inside,
            )
            for api in APIS
        ]
        enabled = pulumi.ResourceOptions(parent=self, depends_on=self.services)
        network = gcp.compute.Network(
            name,
            name=name,
            description="From authsvc to its database",
            auto_create_subnetworks=False,
            # What goes to Google's APIs leaves Cloud Run directly; from here there is no way out.
            delete_default_routes_on_create=True,
            routing_mode="GLOBAL" if args.extra_regions else "REGIONAL",
            opts=enabled,
        )
        self.network_id: pulumi.Output[str] = network.id
        regions = [args.region, *args.extra_regions]
        self.subnetwork_ids: dict[str, pulumi.Output[str]] = {
            region: self._subnetwork(f"{name}-{region}", network, region, str(addresses)).id
            for region, addresses in zip(regions, SUBNETS.subnets(new_prefix=PREFIX), strict=False)
        }
        self.peering = self._peering(name, network, enabled)
        self.register_outputs({"network_id": self.network_id})

    @staticmethod
    def _peering(
        name: str, network: gcp.compute.Network, enabled: pulumi.ResourceOptions
    ) -> gcp.servicenetworking.Connection:
        private = gcp.compute.GlobalAddress(
            f"{name}-services",
            name=f"{name}-services",
            purpose="VPC_PEERING",
            address_type="INTERNAL",
            # Cloud SQL takes a /24 in each region it has an instance in: 16 of them.
            prefix_length=20,
            network=network.id,
            opts=enabled,
        )
        return gcp.servicenetworking.Connection(
            f"{name}-services",
            network=network.id,
            service="servicenetworking.googleapis.com",
            reserved_peering_ranges=[private.name],
            # Cloud SQL keeps its side for days after its last instance is gone, and refuses until then.
            deletion_policy="REMOVE_PEERING",
            opts=enabled,
        )

    def _subnetwork(
        self, name: str, network: gcp.compute.Network, region: str, addresses: str
    ) -> gcp.compute.Subnetwork:
        return gcp.compute.Subnetwork(
            name,
            name=name,
            network=network.id,
            region=region,
            ip_cidr_range=addresses,
            private_ip_google_access=True,
            # Enough to see afterwards who talked to what; all of it would cost more than the network.
            log_config=gcp.compute.SubnetworkLogConfigArgs(
                aggregation_interval="INTERVAL_10_MIN", flow_sampling=0.1, metadata="EXCLUDE_ALL_METADATA"
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
