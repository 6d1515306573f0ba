"""The sidecar of Managed Service for Prometheus: it scrapes the admin port, which Cloud Run exposes to nobody.

Its configuration is a file of the kind RunMonitoring, and is read strictly: with a key that it does not know, it does
not start.
"""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp
import yaml

from infra.components.secret_files import SecretFile
from infra.components.secrets import WEEK

IMAGE = (
    "us-docker.pkg.dev/cloud-ops-agents-artifacts/cloud-run-gmp-sidecar/cloud-run-gmp-sidecar"
    "@sha256:ff1fc68871118f1032a3ce17e2b0abd703292e883989d220244330ebdf522fd1"
)
"""Version 1.9.2 of July 2026; in September Google had published none after it.

Scanners find CVE-2026-56854 in it, critical, of golang.org/x/crypto/ssh: a server of SSH may let in whom a rule about
addresses should keep out. The sidecar is no such server, and nobody outside its instance reaches it. To look for a
newer one: `gcloud artifacts docker tags list` and the name above without its digest. authsvc:monitoring.sidecarImage
takes it.
"""
CONFIGURATION = "/etc/rungmp/config.yaml"
"""Where it looks for its configuration."""
JOB = "authsvc"
"""Label `job` of all series: what every rule and every dashboard asks for."""
HEALTH_PORT = 13133
HEALTH_SECONDS = 30
"""Its /liveness takes five seconds on purpose."""
VCPU = 0.25
"""A scrape of some hundred series every half minute takes a few milliseconds. More would stand idle, and what
stands idle keeps the whole instance from reaching its CPU target. Of one container it may be a part of a vCPU; all
together must have one or more, https://docs.cloud.google.com/run/docs/configuring/instances/cpu."""
MEMORY_MIB = 256
SCRAPE_INTERVAL = "30s"
"""Twice a minute: the shortest window of a rule is five minutes, and each sample costs."""
SCRAPE_TIMEOUT = "10s"


def run_monitoring(admin_port: int) -> str:
    """Return the configuration, in YAML."""
    return yaml.safe_dump(
        {
            "apiVersion": "monitoring.googleapis.com/v1beta",
            "kind": "RunMonitoring",
            "metadata": {"name": JOB},
            "spec": {
                "endpoints": [
                    {
                        "port": str(admin_port),
                        "path": "/metrics",
                        "interval": SCRAPE_INTERVAL,
                        "timeout": SCRAPE_TIMEOUT,
                    }
                ],
                "targetLabels": {"metadata": ["instance", "revision", "service", "configuration"]},
            },
        },
        sort_keys=False,
    )


@dataclass(frozen=True)
class Sidecar:
    """The container, and the file that it needs."""

    image: str
    file: SecretFile

    @classmethod
    def make(cls, name: str, image: str | None, admin_port: int, parent: pulumi.Resource) -> "Sidecar":
        """Register the secret that its configuration is in: it is none, but nothing else can be a file."""
        secret = gcp.secretmanager.Secret(
            f"{name}-run-monitoring",
            secret_id=f"{name}-run-monitoring",
            replication=gcp.secretmanager.SecretReplicationArgs(auto=gcp.secretmanager.SecretReplicationAutoArgs()),
            version_destroy_ttl=WEEK,
            opts=pulumi.ResourceOptions(parent=parent),
        )
        version = gcp.secretmanager.SecretVersion(
            f"{name}-run-monitoring",
            secret=secret.id,
            secret_data=pulumi.Output.secret(run_monitoring(admin_port)),
            # An older revision that one goes back to reads the version of its time.
            deletion_policy="ABANDON",
            opts=pulumi.ResourceOptions(parent=secret),
        )
        return cls(image or IMAGE, SecretFile(CONFIGURATION, secret.secret_id, version.version))

    def container(self, *, after: str) -> gcp.cloudrunv2.ServiceTemplateContainerArgs:
        """Return the container, which starts once the one named `after` is up."""
        return gcp.cloudrunv2.ServiceTemplateContainerArgs(
            name="collector",
            image=self.image,
            depends_ons=[after],
            resources=gcp.cloudrunv2.ServiceTemplateContainerResourcesArgs(
                limits={"cpu": f"{VCPU * 1000:.0f}m", "memory": f"{MEMORY_MIB}Mi"}, cpu_idle=False
            ),
            liveness_probe=gcp.cloudrunv2.ServiceTemplateContainerLivenessProbeArgs(
                http_get=gcp.cloudrunv2.ServiceTemplateContainerLivenessProbeHttpGetArgs(
                    path="/liveness", port=HEALTH_PORT
                ),
                period_seconds=HEALTH_SECONDS,
                timeout_seconds=HEALTH_SECONDS,
            ),
            volume_mounts=[
                gcp.cloudrunv2.ServiceTemplateContainerVolumeMountArgs(
                    name=self.file.volume, mount_path=self.file.folder
                )
            ],
        )
