"""Every resource of both stacks as text that people review; written anew by `make infra-snapshot`.

Secrets are masked. A text of JSON is shown as what it says; of a long one, its beginning, length and digest.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from tests.infra.cloud import stacks
from tests.infra.cloud.recording import Recording, Registered

FOLDER = Path(__file__).parent / "golden"
SECRET = "[secret]"
LONG = 300
"""Characters beyond which a text is not repeated here: a runbook, a dashboard; each is a file of its own."""


def shown(recording: Recording) -> dict[str, Any]:
    """Return the resources by `type name`, in the order of those."""
    by_title = {f"{each.type} {each.name}": _shown(each) for each in recording if each.custom}
    return dict(sorted(by_title.items()))


def read(stack: str) -> dict[str, Any]:
    """Return what the snapshot of a stack has."""
    return dict(yaml.safe_load((FOLDER / f"{stack}.yaml").read_text()))


def write() -> None:
    """Write the snapshots of both stacks."""
    FOLDER.mkdir(exist_ok=True)
    for stack in stacks.STACKS:
        text = yaml.safe_dump(shown(stacks.recorded(stack)), width=120, sort_keys=True, allow_unicode=True)
        heading = (
            f"# Every resource of Pulumi.{stack}.yaml, filled in by tests/infra/cloud/stacks.py: make infra-snapshot\n"
        )
        (FOLDER / f"{stack}.yaml").write_text(heading + text)


def _shown(resource: Registered) -> dict[str, Any]:
    options = {
        "protect": resource.protect,
        "retainOnDelete": resource.retain_on_delete,
        "ignoreChanges": list(resource.ignore_changes),
    }
    inputs = _value(resource, resource.inputs, ())
    return {"inputs": inputs} | {name: value for name, value in options.items() if value}


def _value(resource: Registered, value: Any, path: tuple[str | int, ...]) -> Any:
    if resource.is_secret(*path):
        return SECRET
    match value:
        case dict():
            return {key: _value(resource, each, (*path, key)) for key, each in value.items()}
        case list():
            return [_value(resource, each, (*path, number)) for number, each in enumerate(value)]
        case str():
            return _text(value)
        case _:
            return value


def _text(value: str) -> Any:
    if len(value) > LONG:
        digest = hashlib.sha256(value.encode()).hexdigest()[:16]
        return f"{value[:60].strip()} … ({len(value)} characters, SHA-256 {digest}…)"
    with suppress(ValueError):
        return json.loads(value) if value.startswith(("{", "[")) else value
    return value


if __name__ == "__main__":
    write()
