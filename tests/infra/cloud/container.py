"""A container of a recorded stack, run on this machine: the real command line, with exactly that environment."""

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from tests.infra.cloud.recording import Registered

DOCKERFILE = (Path(__file__).parents[3] / "Dockerfile").read_text().replace("\\\n", " ")


def image_variables() -> dict[str, str]:
    """Return the AUTHSVC_ variables of the image itself."""
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    [line] = re.findall(r"^ENV (.*)$", last, re.MULTILINE)
    return {name: value for name, value in re.findall(r"(\w+)=(\S+)", line) if name.startswith("AUTHSVC_")}


def template_of(resource: Registered) -> dict[str, Any]:
    """Return what a service makes instances of, or a job tasks."""
    template = resource.inputs["template"]
    return dict(template.get("template", template))


def container_of(resource: Registered, name: str) -> dict[str, Any]:
    """Return a container by its name."""
    [found] = [each for each in template_of(resource)["containers"] if each["name"] == name]
    return dict(found)


def variables_of(container: Mapping[str, Any]) -> dict[str, str]:
    """Return its environment."""
    return {each["name"]: each["value"] for each in container["envs"]}


def mounted(resource: Registered, container: Mapping[str, Any]) -> dict[str, str]:
    """Return which secret is at which path."""
    volumes = {each["name"]: each["secret"] for each in template_of(resource)["volumes"]}
    return {
        str(PurePosixPath(mount["mountPath"]) / item["path"]): volumes[mount["name"]]["secret"]
        for mount in container["volumeMounts"]
        for item in volumes[mount["name"]]["items"]
    }


def lay_out(
    resource: Registered, container: Mapping[str, Any], secrets: Mapping[str, str], folder: Path
) -> dict[str, str]:
    """Write the secrets below `folder` where the container would find them, and return its environment for there."""
    at = "/secrets/"
    for path, secret in mounted(resource, container).items():
        file = folder / path.removeprefix("/")
        file.parent.mkdir(parents=True)
        file.write_text(secrets[secret].replace(at, f"{folder}{at}"))
    given = {**image_variables(), **variables_of(container)}
    return {
        name: value.replace(at, f"{folder}{at}") if value.startswith(at) else value for name, value in given.items()
    }
