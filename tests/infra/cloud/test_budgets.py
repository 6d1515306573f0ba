"""What adds up: the bounds themselves, and that what a refusal says to set is accepted."""

import re
import resource
from typing import Any

import pytest

from infra import budgets
from infra.environment import service_config
from infra.settings import Database, SettingsError, memory_gib
from tests.infra.cloud import stacks


def checked(**service: Any) -> str:
    """Return why production with such a service is refused, or an empty text."""
    settings = stacks.settings("prod", {"authsvc:service": service})
    try:
        budgets.check(settings, service_config(settings))
    except SettingsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "service",
    [
        {"concurrency": 1000},
        {"concurrency": 1000, "cpu": 2, "memory": "1Gi"},
        {"concurrency": 200, "settings": {"AUTHSVC_TOKEN_CACHE_BYTES": str(128 * 2**20)}},
    ],
)
def test_either_of_what_a_refusal_of_the_concurrency_says_is_accepted_and_no_request_more(
    service: dict[str, Any],
) -> None:
    refused = re.search(r"Lower it to (\d+), or raise service\.memory to (\d+Mi)\.$", checked(**service))
    assert refused
    fewer, larger = int(refused[1]), refused[2]
    assert checked(**{**service, "concurrency": fewer}) == ""
    assert checked(**{**service, "concurrency": fewer + 1})
    assert checked(**{**service, "memory": larger}) == ""


def test_the_file_descriptors_of_who_runs_pulumi_are_not_those_of_an_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (256, 256))
    assert checked(concurrency=250) == ""


@pytest.mark.parametrize(
    "tier, gib, connections",
    [
        ("db-f1-micro", 0.6, 25),
        ("db-g1-small", 1.7, 50),
        ("db-custom-1-3840", 3.75, 100),
        ("db-custom-2-6144", 6, 200),
        ("db-custom-2-7424", 7.25, 200),
        ("db-custom-2-7680", 7.5, 400),
        ("db-perf-optimized-N-2", 16, 500),
        ("db-perf-optimized-N-8", 64, 800),
        ("db-perf-optimized-N-16", 128, 1066),
        ("db-perf-optimized-N-128", 1024, 8533),
    ],
)
def test_a_machine_is_trusted_with_the_connections_that_cloud_sql_gives_its_memory(
    tier: str, gib: float, connections: int
) -> None:
    database = Database(tier=tier)
    assert memory_gib(database) == gib
    assert budgets.connections_of_the_machine(database) == connections
