"""What a plan takes grows with what is asked of it, is never less than what must be there, and adds up."""

import dataclasses
import re

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.budgets import CLIENTS_OF_A_POOLER, check
from infra.capacity import main
from infra.environment import service_config
from infra.sizing import document, prices
from infra.sizing.demand import Behaviour, Demand, demand
from infra.sizing.plan import (
    MINIMUM_INSTANCES,
    TARGET,
    CapacityError,
    Plan,
    ServiceTimes,
    attempts,
    needs,
    plan,
)

TIMES = ServiceTimes.read()
USERS = st.floats(1, 10**10)
CPUS = st.sampled_from([1, 2, 4, 8])
BEHAVIOURS = st.builds(
    Behaviour,
    active_share=st.floats(0, 1),
    logins_per_day=st.floats(0, 10),
    minutes_per_day=st.floats(0, 1440),
    verifications_per_day=st.floats(0, 1000),
    peak=st.floats(1, 10),
)
INPUTS = ("users", "logins", "refreshes", "verifications")
DEMANDS = st.builds(
    Demand,
    users=USERS,
    logins=st.floats(0, 10**4),
    refreshes=st.floats(0, 10**5),
    verifications=st.floats(0, 10**6),
    peak=st.floats(1, 10),
)
# The plan of a stage has steps; between two stages each part may become cheaper.
FEW = settings(max_examples=60, deadline=None)


@FEW
@given(DEMANDS, st.sampled_from(INPUTS), st.floats(1, 100))
def test_more_of_anything_needs_no_less_of_anything(asked: Demand, name: str, times: float) -> None:
    more = dataclasses.replace(asked, **{name: getattr(asked, name) * times})
    for before, after in zip(
        dataclasses.astuple(needs(asked, TIMES)), dataclasses.astuple(needs(more, TIMES)), strict=True
    ):
        assert after >= before * (1 - 1e-9)


@FEW
@given(DEMANDS, st.sampled_from(INPUTS), st.floats(1, 100), CPUS)
def test_a_plan_for_more_is_no_smaller_and_within_its_stage_no_cheaper(
    asked: Demand, name: str, times: float, cpu: int
) -> None:
    try:
        less = plan(asked, TIMES, cpu=cpu)
        more = plan(dataclasses.replace(asked, **{name: getattr(asked, name) * times}), TIMES, cpu=cpu)
    except CapacityError:
        return
    assert (more.instances, more.regions, more.budget.needed) >= (less.instances, less.regions, less.budget.needed)
    assert more.budget.needed >= less.budget.needed
    if more.stage == less.stage:
        assert more.database_vcpus >= less.database_vcpus
        assert more.total >= less.total * (1 - 1e-9)


@FEW
@given(USERS, BEHAVIOURS, CPUS)
def test_a_plan_is_never_below_what_must_be_there(users: float, behaviour: Behaviour, cpu: int) -> None:
    try:
        made = plan(demand(users, behaviour), TIMES, cpu=cpu)
    except CapacityError:
        return
    assert made.instances >= MINIMUM_INSTANCES * made.regions
    assert made.settings.service.min_instances == MINIMUM_INSTANCES
    assert made.instances * cpu * TARGET >= made.needs.service_cpu * (1 - 1e-9)
    assert made.instances * TARGET >= made.needs.loop_cpu * (1 - 1e-9)
    assert made.database_vcpus >= 2
    assert made.database_vcpus * TARGET >= made.needs.database_cpu * (1 - 1e-9)
    if made.settings.database.engine == "cloud-sql":
        assert made.settings.database.disk_gb >= made.needs.storage_gb
        assert made.settings.database.disk_gb * 30 >= made.needs.iops


@FEW
@given(USERS, BEHAVIOURS, CPUS)
def test_a_plan_is_a_stack_that_is_accepted_and_its_connections_are_never_over(
    users: float, behaviour: Behaviour, cpu: int
) -> None:
    try:
        made = plan(demand(users, behaviour), TIMES, cpu=cpu)
    except CapacityError:
        return
    check(made.settings, service_config(made.settings))
    budget = made.budget
    if not budget.pooled:
        assert budget.needed <= budget.max_connections
    elif made.settings.database.engine != "external":
        assert budget.clients <= CLIENTS_OF_A_POOLER * budget.poolers
        assert budget.poolers * budget.pool_of_a_pooler <= budget.max_connections


@FEW
@given(USERS, BEHAVIOURS)
def test_the_cost_is_the_sum_of_its_parts_and_no_part_is_free(users: float, behaviour: Behaviour) -> None:
    try:
        made = plan(demand(users, behaviour), TIMES)
    except CapacityError:
        return
    assert made.total == pytest.approx(sum(made.costs.values()))
    assert min(made.costs.values()) >= 0
    shown = document.details(made)
    parts = [int(cost.replace(",", "")) for cost in re.findall(r"^\| .+? \| ([\d,]+) \|$", shown, re.MULTILINE)]
    assert sum(parts[:-1]) == pytest.approx(parts[-1], abs=len(parts))


def test_a_rate_that_is_given_takes_the_place_of_what_is_assumed() -> None:
    asked = demand(1000, Behaviour(), logins=7, verifications=0)
    assert (asked.logins, asked.verifications) == (7, 0)
    assert asked.refreshes == demand(1000, Behaviour()).refreshes


def test_a_session_is_renewed_as_often_as_the_services_tokens_expire() -> None:
    """900 s in the service's defaults: 60 minutes of use are four renewals."""
    asked = demand(86_400, Behaviour(active_share=1, minutes_per_day=60, peak=1))
    assert asked.refreshes == pytest.approx(4)


def test_the_rows_are_those_that_retention_keeps() -> None:
    asked = demand(1e6, Behaviour(active_share=1, logins_per_day=1, peak=2))
    assert asked.rows == pytest.approx({"user": 1e6, "session": 31e6, "journal": 2 * 365e6})


@pytest.mark.parametrize(
    "rates, stage, engine",
    [
        ({"logins": 1}, "Cloud SQL Enterprise", "cloud-sql"),
        ({"logins": 3000}, "Cloud SQL Enterprise Plus", "cloud-sql"),
        ({"refreshes": 45_000}, "AlloyDB", "alloydb"),
        ({"refreshes": 500_000}, "distributed", "external"),
    ],
)
def test_each_stage_ends_where_the_next_begins(rates: dict[str, float], stage: str, engine: str) -> None:
    nothing = dict.fromkeys(("logins", "refreshes", "verifications"), 0.0)
    made, refused = attempts(demand(1000, Behaviour(), **{**nothing, **rates}), TIMES)
    assert (made.stage, made.settings.database.engine) == (stage, engine)
    assert all(refused.values())


def test_beyond_one_regions_instances_there_are_more_regions() -> None:
    made = plan(demand(1000, Behaviour(), logins=0, refreshes=0, verifications=1e7), TIMES)
    assert made.regions > 1
    assert made.settings.service.max_instances <= 1000


def test_more_than_anything_carries_is_one_sentence() -> None:
    result = CliRunner().invoke(main, ["--users", "1e15"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: No stage carries 1,000,000,000,000,000 accounts: ")
    assert result.output.count("\n") == 1


def test_of_one_demand_the_command_shows_the_parts() -> None:
    result = CliRunner().invoke(main, ["--users", "2e6", "--logins-per-second", "50", "--vcpu", "4"])
    assert result.exit_code == 0
    assert "| 2,000,000 | 50 |" in result.output
    assert "4 vCPU, 2048 MiB" in result.output
    assert "| sum |" in result.output


def test_the_document_has_what_the_command_prints() -> None:
    text = document.SCALING.read_text("utf-8")
    assert text == document.written(document.SCALING, text, TIMES), "run `make capacity`"
    result = CliRunner().invoke(main, [])
    assert result.output.strip() in text
    assert CliRunner().invoke(main, ["--prices"]).output.strip() in text


def test_a_document_without_its_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="0 blocks"):
        document.written(document.SCALING, "nothing", TIMES)


@pytest.mark.parametrize("name", prices.PRICES)
def test_each_price_has_its_day_and_its_place_and_is_used(name: str) -> None:
    price = prices.PRICES[name]
    assert price.usd > 0
    assert re.fullmatch(r"20\d\d-\d\d", price.on)
    assert price.unit
    assert price.region
    assert price.where
    # What nobody can look up is to be checked.
    assert price.check or price.where.startswith("cloud.google.com")


def test_a_part_that_was_measured_is_what_is_counted() -> None:
    """A hash twice as dear is paid once more for each login, and for nothing else."""
    asked = Demand(users=1, logins=10, refreshes=100, verifications=1000, peak=1)
    login = TIMES.acts["login"]
    dearer = dataclasses.replace(
        TIMES,
        hash_cpu_seconds=TIMES.hash_cpu_seconds * 2,
        acts=TIMES.acts
        | {"login": login | {"service_cpu_seconds": login["service_cpu_seconds"] + TIMES.hash_cpu_seconds}},
    )
    before, after = needs(asked, TIMES), needs(asked, dearer)
    assert after.service_cpu - before.service_cpu == pytest.approx(10 * TIMES.hash_cpu_seconds)
    assert after.loop_cpu == pytest.approx(before.loop_cpu)
    assert after.database_cpu == before.database_cpu


def test_what_the_needs_are_made_of() -> None:
    """By hand: two logins and three refreshes a second, with round figures."""
    times = ServiceTimes(
        made={},
        hash_cpu_seconds=0.01,
        acts={
            "login": _act(0.02, 0.002, 1000, 1, 3),
            "refresh": _act(0.001, 0.0002, 100, 1, 1),
            "verify": _act(0.0001, 0, 0, 0, 0),
        },
        row_bytes={"user": 1, "session": 1, "journal": 1},
    )
    asked = Demand(users=0, logins=2, refreshes=3, verifications=10, peak=1)
    assert dataclasses.asdict(needs(asked, times)) == pytest.approx(
        {
            "service_cpu": 0.044,
            "loop_cpu": 0.024,
            "database_cpu": 0.0046,
            "iops": 5 + 2 * 9,
            "wal_bytes": 2300,
            "storage_gb": 1.3 * 2 * 86_400 * 2 * 365 / 1e9,
        }
    )


def _act(service: float, database: float, wal: float, fsyncs: float, pages: float) -> dict[str, float]:
    return {
        "service_cpu_seconds": service,
        "database_cpu_seconds": database,
        "wal_bytes": wal,
        "fsyncs": fsyncs,
        "pages_written": pages,
    }


def test_a_plan_counts_all_its_regions() -> None:
    made: Plan = plan(demand(1000, Behaviour(), logins=0, refreshes=0, verifications=1e7), TIMES)
    assert made.instances == made.settings.service.max_instances * (1 + len(made.settings.service.extra_regions))
