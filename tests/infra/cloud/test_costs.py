"""What a stack costs follows its settings, and what is counted is what the stack registers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from infra.capacity import main
from infra.components.sidecar import MEMORY_MIB, VCPU
from infra.monitoring.cloud.plan import plan
from infra.settings import Settings
from infra.sizing import costs as module
from infra.sizing import document, prices, stack_file
from infra.sizing.costs import (
    CHECKS,
    EDGE_RULES,
    SECRETS,
    SERIES_AT_REST,
    SERIES_AT_WORK,
    Usage,
    costs,
    idle,
    uses,
)
from infra.sizing.plan import ServiceTimes
from tests.conftest import Client
from tests.infra.cloud import stacks
from tests.infra.cloud.recording import Recording

MONTH = 730 * 3600
BUSY = Usage(instances=3, series=SERIES_AT_WORK, requests=2e6, stored_gb=5)


def of(stack: str, overrides: Mapping[str, Any] | None = None, usage: Usage | None = None) -> dict[str, float]:
    settings = stacks.settings(stack, overrides)
    return costs(settings, usage or idle(settings))


def test_what_is_counted_is_what_a_stack_registers(stack: Recording) -> None:
    assert len(stack.of("secretmanager/secret:Secret")) == SECRETS
    settings = stacks.settings("prod" if stack.of("SecurityPolicy") else "dev")
    schedules = len(stack.of("cloudscheduler/job:Job"))
    assert costs(settings, BUSY)["schedules"] == pytest.approx(schedules * 0.1)
    assert len(stack.of("AlertPolicy")) == len(plan(settings).alerts.policies)
    assert bool(stack.of("AlertPolicy")) == bool(costs(settings, BUSY)["alerts"])
    for policy in stack.of("SecurityPolicy"):
        assert len(policy.inputs["rules"]) == EDGE_RULES
    assert len(stack.of("UptimeCheckConfig")) in (0, CHECKS)
    containers = stack.one("cloudrunv2/service:Service").inputs["template"]["containers"]
    assert [each["resources"]["limits"] for each in containers[1:]] == [
        {"cpu": f"{VCPU * 1000:.0f}m", "memory": f"{MEMORY_MIB}Mi"}
    ]


def test_instances_are_paid_for_with_their_sidecar_and_its_samples() -> None:
    """By hand: two of 1 vCPU and 512 MiB, with 0.25 vCPU and 256 MiB beside each, all the month."""
    parts = of("prod")
    assert parts["instances, vCPU"] == pytest.approx(2 * 1.25 * MONTH * 0.000018)
    assert parts["instances, memory"] == pytest.approx(2 * 0.75 * MONTH * 0.000002)
    assert parts["metrics"] == pytest.approx(2 * 1600 * MONTH / 30 / 1e6 * 0.06)


def test_the_database_of_prod_is_two_machines_with_a_disk_each() -> None:
    """By hand: db-custom-2-7680 with its standby, and 20 GB."""
    parts = of("prod")
    assert parts["database, vCPU"] == pytest.approx(2 * 2 * 730 * 0.0413)
    assert parts["database, memory"] == pytest.approx(2 * 7.5 * 730 * 0.007)
    assert parts["database, storage"] == pytest.approx(2 * 20 * 0.17)


def test_what_scales_to_zero_pays_for_no_instance_while_nobody_comes() -> None:
    parts = of("dev")
    assert {part for part, cost in parts.items() if not cost} >= {"instances, vCPU", "instances, memory", "metrics"}
    assert uses(stacks.settings("dev"))["an instance at work, an hour"] > 0
    again = of("dev", {"authsvc:service": {"minInstances": 1}})
    assert again["instances, vCPU"] == pytest.approx(1.25 * MONTH * 0.000018)


def test_without_an_edge_nothing_of_it_is_paid_for() -> None:
    parts = of("prod", {"authsvc:production": False, "authsvc:edge": {"enabled": False}}, BUSY)
    assert [parts[part] for part in ("load balancer", "Cloud Armor, rules", "Cloud Armor, requests")] == [0, 0, 0]
    assert 0 < parts["log"] < of("prod", usage=BUSY)["log"]


@pytest.mark.parametrize(
    "overrides, machines",
    [
        ({"highlyAvailable": False}, 1),
        ({"replicaRegion": "europe-west4"}, 3),
        ({"readReplicas": 2}, 4),
        ({"edition": "ENTERPRISE_PLUS", "tier": "db-perf-optimized-N-2", "readReplicas": 1}, 3),
    ],
)
def test_a_standby_and_a_replica_are_each_a_machine_and_a_disk(overrides: dict[str, Any], machines: int) -> None:
    parts = of("prod", {"authsvc:production": False, "authsvc:database": overrides})
    price = prices.PRICES["enterprise-plus.vcpu" if "edition" in overrides else "enterprise.vcpu"].usd
    assert parts["database, vCPU"] == pytest.approx(machines * 2 * 730 * price)
    assert parts["database, storage"] == pytest.approx(machines * 20 * 0.17)


def test_each_region_has_its_least_instances() -> None:
    prod, three = stacks.settings("prod"), {"extraRegions": ["europe-west4", "europe-north1"], "maxInstances": 3}
    assert idle(stacks.settings("prod", {"authsvc:service": three})).instances == 3 * idle(prod).instances


def test_exports_are_kept_for_as_long_as_the_stack_says_and_a_week() -> None:
    short, long = (of("prod", {"authsvc:backup": {"retentionDays": days}}, BUSY)["exports"] for days in (3, 13))
    assert long == pytest.approx(2 * short)


@pytest.mark.parametrize(
    "minute, hour, runs",
    [
        ("*/15", "*", 96),
        ("7", "3", 1),
        ("0,30", "8-17", 20),
        ("0-30/10", "*/6", 16),
        ("10/20", "0", 3),
        ("*", "*", 1440),
        ("H", "0", 60),  # no cron that is known here: the most
    ],
)
def test_a_sweep_is_paid_for_each_time(minute: str, hour: str, runs: int) -> None:
    cost = of("dev", {"authsvc:jobs": {"sweepSchedule": f"{minute} {hour} * * *"}})["sweeps"]
    assert cost == pytest.approx(runs * 730 / 24 * 60 * (0.000018 + 0.5 * 0.000002))


def test_every_price_is_one_that_some_stack_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    paid = set()

    def usd(name: str, units: float) -> float:
        paid.add(name)
        return prices.usd(name, units)

    monkeypatch.setattr(module, "usd", usd)
    asked = [stack_file.read(name) for name in ("dev", "prod", "alloydb", "distributed")]
    plus = {"edition": "ENTERPRISE_PLUS", "tier": "db-perf-optimized-N-2"}
    asked += [
        stacks.settings("prod", {"authsvc:database": plus}),
        stacks.settings("dev", {"authsvc:database": {"tier": "db-g1-small"}}),
    ]
    for settings in asked:
        costs(settings, BUSY)
        uses(settings)
    assert paid == set(prices.PRICES)


async def test_an_instance_at_rest_has_about_as_many_series_as_are_counted(admin: Client) -> None:
    lines = (await (await admin.get("/metrics")).text()).splitlines()
    series = sum(not line.startswith("#") for line in lines)
    assert series == pytest.approx(SERIES_AT_REST, rel=0.15)


def test_the_readme_has_both_stacks_side_by_side() -> None:
    text = document.README.read_text("utf-8")
    assert text == document.written(document.README, text, ServiceTimes.read()), "run `make capacity`"
    assert "| USD a month, idle | dev | prod |" in text


def test_the_command_shows_a_stack_by_part_with_its_sum() -> None:
    result = CliRunner().invoke(main, ["--stack", "prod"])
    assert result.exit_code == 0
    parts = of("prod")
    assert all(f"| {part} | {cost:,.2f} |\n" in result.output for part, cost in parts.items())
    assert f"| sum | {sum(parts.values()):,.2f} |\n" in result.output


@pytest.mark.parametrize("name", ["alloydb", "dev", "distributed", "prod", "regions"])
def test_each_stack_file_is_reckoned_as_it_comes(name: str) -> None:
    settings: Settings = stack_file.read(name)
    assert sum(costs(settings, idle(settings)).values()) > 0


@pytest.mark.parametrize(
    "text, fault",
    [
        (None, "infra/Pulumi.mine.yaml is not there: name a stack that has a file, such as prod."),
        ("config: [", "infra/Pulumi.mine.yaml is no YAML: "),
        ("", "gcp:project is missing: set it with `pulumi config set gcp:project …`."),
        (
            'config: {"gcp:project": "", "gcp:region": "", "authsvc:service": {"cpus": 2}}',
            "authsvc:service.cpus is no setting: see Pulumi.prod.yaml for those there are, or take it out.",
        ),
    ],
)
def test_a_stack_that_cannot_be_read_is_a_sentence(
    text: str | None, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "Pulumi.mine.yaml").write_text(text)
    monkeypatch.setattr(stack_file, "INFRA", tmp_path)
    result = CliRunner().invoke(main, ["--stack", "mine"])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {fault}")


def test_a_stack_and_people_at_once_are_refused() -> None:
    result = CliRunner().invoke(main, ["--stack", "prod", "--users", "10"])
    assert result.exit_code == 2
    assert "--stack asks what a stack file costs, and --users what people take: give one of them." in result.output
