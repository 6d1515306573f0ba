"""The stacks of the repository, filled in as a person fills them in, and recorded once in a process."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from infra.settings import Settings
from infra.sizing.stack_file import filled_in
from tests.infra.cloud import cloud
from tests.infra.cloud.recording import Recording, record

INFRA = Path(__file__).parents[3] / "infra"
STACKS = ("dev", "prod")
DIGEST = "sha256:" + "0123456789abcdef" * 4
FILLED_IN: dict[str, Any] = {
    "gcp:project": cloud.PROJECT,
    "gcp:region": cloud.REGION,
    "authsvc:domain": "auth.example.com",
    "authsvc:image": f"{cloud.REGION}-docker.pkg.dev/{cloud.PROJECT}/authsvc/authsvc@{DIGEST}",
    "authsvc:backup": {"region": "europe-west3"},
    "authsvc:monitoring": {"emails": ["team@example.com"], "pagerEmails": ["pager@example.com"]},
}
"""What a person writes where a stack file has the key and nothing behind it."""
LATER: dict[str, Any] = {"authsvc:monitoring": {"objectives": True}}
"""What a person changes once the service has answered."""


def config(stack: str, overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the config of a stack by its full keys; sections of `overrides` are merged into those of the file."""
    text = (INFRA / f"Pulumi.{stack}.yaml").read_text()
    return merged(merged(filled_in(yaml.safe_load(text)["config"], FILLED_IN), LATER), overrides or {})


def settings(stack: str, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings of a stack."""
    return Settings.read(stack, config(stack, overrides))


def recorded(stack: str | Settings, overrides: Mapping[str, Any] | None = None) -> Recording:
    """Return all that a stack registers.

    Args:
        stack: `dev`, `prod`, or settings of one's own.
        overrides: by full key, such as `{"authsvc:image": None, "authsvc:database": {"pitrDays": 3}}`.
    """
    if isinstance(stack, Settings):
        return _build(stack)
    return _build(settings(stack, overrides)) if overrides else _of_file(stack)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return `below` with the values of `above`, section by section."""
    result = dict(below)
    for key, value in above.items():
        result[key] = merged(result.get(key) or {}, value) if isinstance(value, Mapping) else value
    return result


@cache
def _of_file(stack: str) -> Recording:
    return _build(settings(stack))


def _build(chosen: Settings) -> Recording:
    from infra import stack  # noqa: PLC0415 - half a second of the SDK, for who needs it

    return record(
        lambda: stack.build(chosen).exports(), stack=chosen.stack, project=chosen.project, region=chosen.region
    )
