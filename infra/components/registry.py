"""The registry: where images lie that Cloud Run takes, by digest."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

KEPT_BUILDS = 20
"""To go back one needs the images of some. What is younger than a month may be one that is going out."""
VERSIONS_OF_A_BUILD = 3
"""What docker pushes of one, and the registry counts: an index, whose digest is deployed, the image, its provenance."""
MONTH = f"{30 * 24 * 3600}s"


@dataclass(frozen=True)
class RegistryArgs:
    """Where the registry is."""

    region: str
    """Of the service: an instance starts sooner with its image near."""


class Registry(pulumi.ComponentResource):
    """A repository of Artifact Registry whose images are scanned, and whose old ones go.

    Attributes:
        repository_url: such as europe-west1-docker.pkg.dev/PROJECT/authsvc; an image is one of /authsvc@sha256:… there.
    """

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("authsvc:components:Registry", name, None, opts)
        repository = gcp.artifactregistry.Repository(
            name,
            repository_id=name,
            location=args.region,
            format="DOCKER",
            description="Images of authsvc",
            # A tag that was given stays where it is; deployed is by digest in any case.
            docker_config=gcp.artifactregistry.RepositoryDockerConfigArgs(immutable_tags=True),
            # The project's API containerscanning scans each image that is pushed, and again as weaknesses become known.
            vulnerability_scanning_config=gcp.artifactregistry.RepositoryVulnerabilityScanningConfigArgs(
                enablement_config="INHERITED"
            ),
            # What one policy keeps, the other does not delete.
            cleanup_policies=[
                gcp.artifactregistry.RepositoryCleanupPolicyArgs(
                    id="keep-the-newest",
                    action="KEEP",
                    most_recent_versions=gcp.artifactregistry.RepositoryCleanupPolicyMostRecentVersionsArgs(
                        keep_count=KEPT_BUILDS * VERSIONS_OF_A_BUILD
                    ),
                ),
                gcp.artifactregistry.RepositoryCleanupPolicyArgs(
                    id="delete-the-old",
                    action="DELETE",
                    condition=gcp.artifactregistry.RepositoryCleanupPolicyConditionArgs(
                        older_than=MONTH, tag_state="ANY"
                    ),
                ),
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.repository_url: pulumi.Output[str] = pulumi.Output.concat(
            args.region, "-docker.pkg.dev/", repository.project, "/", repository.repository_id
        )
        self.register_outputs({"repository_url": self.repository_url})
