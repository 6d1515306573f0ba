"""A version of a secret as a file in a container: never an environment value, which error reports and consoles show."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import pulumi
import pulumi_gcp as gcp


@dataclass(frozen=True)
class SecretFile:
    """Where a version of a secret is mounted: in a folder of its own, since a volume hides what else is there."""

    path: str
    secret_id: pulumi.Input[str]
    version: pulumi.Input[str]
    """Its number, or `latest`: what is the latest when an instance starts."""

    mode: int = 0o444
    """The files are root's, and the container's user is another; nobody else is in there."""

    @property
    def folder(self) -> str:
        """Where its volume is mounted."""
        return str(PurePosixPath(self.path).parent)

    @property
    def volume(self) -> str:
        """The volume's name."""
        return PurePosixPath(self.path).parent.name

    @property
    def name(self) -> str:
        """The file's name in its folder."""
        return PurePosixPath(self.path).name


def allow_reading(
    name: str, files: Iterable[SecretFile], service_account: gcp.serviceaccount.Account, parent: pulumi.Resource
) -> list[pulumi.Resource]:
    """Let a service account read these secrets and no others; return the grants, without which nothing starts."""
    return [
        gcp.secretmanager.SecretIamMember(
            f"{name}-{file.volume}",
            secret_id=file.secret_id,
            role="roles/secretmanager.secretAccessor",
            member=service_account.member,
            opts=pulumi.ResourceOptions(parent=parent),
        )
        for file in files
    ]
