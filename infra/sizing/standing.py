"""What a stack file costs a month before anybody comes: what stands there, part by part."""

import re
from pathlib import Path
from typing import Any

import yaml

from infra.components import sidecar
from infra.monitoring.cloud.alert_policies import alert_policies
from infra.settings import Settings, vcpus
from infra.settings_rules import SHARED_TIERS
from infra.sizing.plan import EDGE_RULES
from infra.sizing.prices import HOURS, SECONDS, usd

INFRA = Path(__file__).parents[1]
STACKS = ("dev", "prod")
SECRETS = 7
"""Each with a version: two that people give, five that the stack makes."""
_FILLED_IN: dict[str, Any] = {
    "gcp:project": "my-company-auth",
    "gcp:region": "us-central1",
    "authsvc:domain": "auth.example.com",
}
_SECTIONS: dict[str, dict[str, Any]] = {
    "authsvc:backup": {"region": "us-east1"},
    "authsvc:monitoring": {"emails": ["team@example.com"]},
}


def table() -> str:
    """Return the costs of the stack files by part, in Markdown."""
    costs = [_costs(_settings(stack)) for stack in STACKS]
    lines = [f"| USD a month | {' | '.join(f'`{stack}`' for stack in STACKS)} |", "|---" * (1 + len(STACKS)) + "|"]
    lines += [f"| {part} | {' | '.join(f'{each[part]:,.0f}' for each in costs)} |" for part in costs[0]]
    return "\n".join([*lines, f"| sum | {' | '.join(f'{sum(each.values()):,.0f}' for each in costs)} |"])


def _settings(stack: str) -> Settings:
    config = yaml.safe_load((INFRA / f"Pulumi.{stack}.yaml").read_text("utf-8"))["config"] | _FILLED_IN
    sections = {name: {**config.get(name, {}), **section} for name, section in _SECTIONS.items()}
    return Settings.read(stack, config | sections)


def _costs(settings: Settings) -> dict[str, float]:
    service, database, has_edge = settings.service, settings.database, settings.edge.enabled
    machines = 2 if database.highly_available else 1
    vcpu, memory = service.cpu + sidecar.VCPU, (service.memory + sidecar.MEMORY_MIB) / 1024
    return {
        "instances that are always there": service.min_instances
        * (usd("run.vcpu", vcpu * SECONDS) + usd("run.memory", memory * SECONDS)),
        "database": machines * _machine(settings),
        "its disk": machines * usd("cloud-sql.storage", database.disk_gb),
        "load balancer": usd("balancer.rule", HOURS) if has_edge else 0,
        "Cloud Armor": usd("armor.policy", 1) + usd("armor.rule", EDGE_RULES) if has_edge else 0,
        "alert policies": usd("alerting.condition", len(alert_policies(settings).policies)),
        "secrets": usd("secret.version", SECRETS),
    }


def _machine(settings: Settings) -> float:
    tier = settings.database.tier
    if tier in SHARED_TIERS:
        return usd(f"cloud-sql.{tier.removeprefix('db-')}", HOURS)
    memory = re.fullmatch(r"db-custom-\d+-(\d+)", tier)
    assert memory  # noqa: S101 - both files have such a one
    gib = int(memory[1]) / 1024
    return usd("enterprise.vcpu", vcpus(settings.database) * HOURS) + usd("enterprise.memory", gib * HOURS)
