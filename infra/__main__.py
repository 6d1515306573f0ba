"""What `pulumi up` runs: the stack file in, resources and outputs out. All decisions are in the modules it calls."""

import json
import sys
from pathlib import Path
from typing import Any

# Pulumi's language host puts this folder on the path, and not the one above, which has the package `infra` in it.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pulumi
from pulumi.runtime import config as given

from infra import budgets, stack
from infra.environment import service_config
from infra.settings import Settings, SettingsError


def main() -> None:
    """Build the stack, or say at once all that is wrong with its file.

    Raises:
        pulumi.RunError: nothing was registered; Pulumi prints the sentences alone, without a traceback.
    """
    try:
        outputs = stack.build(_settings())
    except SettingsError as error:
        faults = "".join(f"\n  {fault}" for fault in error.faults)
        raise pulumi.RunError(f"Pulumi.{pulumi.get_stack()}.yaml cannot be built:{faults}") from None
    for name, value in outputs.exports().items():
        pulumi.export(name, value)


def _settings() -> Settings:
    """Return the settings of a stack that can be built.

    Raises:
        SettingsError: all that is wrong, once each value can be read.
    """
    settings = Settings.parse(pulumi.get_stack(), _config())
    faults = settings.faults()
    try:
        budgets.check(settings, service_config(settings))
    except SettingsError as error:
        faults += error.faults
    if faults:
        raise SettingsError(faults)
    return settings


def _config() -> dict[str, Any]:
    """Return the stack's config by its full keys.

    All of it: `pulumi.Config` answers for a key that one knows, and a misspelt one would have no effect.
    """
    return {key: _value(text) for key, text in {**given.get_config_env(), **given.CONFIG.get()}.items()}


def _value(text: str) -> Any:  # noqa: ANN401 - what the stack file holds
    """Return a section, which Pulumi hands on as JSON, as what it was; any other value as it is."""
    try:
        return json.loads(text) if text.startswith("{") else text
    except ValueError:
        return text


if __name__ == "__main__":
    main()
