"""The settings of a stack file, with samples in place of what a person has yet to fill in."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from infra.budgets import check
from infra.environment import service_config
from infra.settings import Settings, SettingsError

INFRA = Path(__file__).parents[1]
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"
SAMPLES: Mapping[str, Any] = MappingProxyType(
    {
        "gcp:project": "my-company-auth",
        "gcp:region": "us-central1",
        "authsvc:domain": "auth.example.com",
        "authsvc:backup": {"region": "us-east1"},
        "authsvc:monitoring": {"emails": ["operations@example.com"]},
    }
)
"""None of them costs anything by itself. A replica's region is none of them: without it there is no replica."""


def read(stack: str) -> Settings:
    """Return the settings of infra/Pulumi.<stack>.yaml; what of it is empty is taken from SAMPLES.

    Raises:
        SettingsError: there is no such file, or `pulumi up` would refuse what it says.
    """
    path = INFRA / f"Pulumi.{stack}.yaml"
    try:
        file = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise SettingsError([f"infra/{path.name} is not there: name a stack that has a file, such as prod."]) from None
    except yaml.YAMLError as error:
        raise SettingsError([f"infra/{path.name} is no YAML: {' '.join(str(error).split())}."]) from None
    config = filled_in((file or {}).get("config") or {}, SAMPLES)
    if database := config.get("authsvc:database"):
        config["authsvc:database"] = filled_in(database, _samples_of(database.get("engine")))
    settings = Settings.read(stack, config)
    check(settings, service_config(settings))
    return settings


def _samples_of(engine: str | None) -> Mapping[str, Any]:
    """Return what an engine is asked for beyond what all are."""
    certificate = {"caCertificate": CERTIFICATE}
    # Of AlloyDB production has a second cluster.
    elsewhere = {"replicaRegion": SAMPLES["authsvc:backup"]["region"]}
    return {"alloydb": certificate | elsewhere, "external": certificate}.get(engine or "", {})


def filled_in(file: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stack file with a value of `values` for each key of it that is empty."""
    result = {}
    for key, value in file.items():
        if isinstance(value, Mapping):
            result[key] = filled_in(value, values.get(key, {}))
        else:
            result[key] = values.get(key, value) if value in ("", None, []) else value
    return result
