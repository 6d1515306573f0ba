"""The tables of docs/scaling.md and infra/README.md, as the command prints them: between marks, and held by a test."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from infra.settings import Settings
from infra.sizing import dialects, prices, stack_file
from infra.sizing.costs import costs, idle, uses
from infra.sizing.demand import Behaviour, demand
from infra.sizing.plan import (
    ALLOYDB,
    ENTERPRISE,
    ENTERPRISE_PLUS,
    INSTANCES_OF_A_REGION,
    SIZES,
    Plan,
    ServiceTimes,
    attempts,
    plan,
)

ROOT = Path(__file__).parents[2]
SCALING, README = ROOT / "docs" / "scaling.md", ROOT / "infra" / "README.md"
STACKS = ("dev", "prod")
"""Whose costs stand side by side in infra/README.md."""
USERS = tuple(10**power for power in range(4, 10))
_MOST_USERS = 10**11
_BLOCK = r"(<!-- {name}: python -m infra\.capacity --write -->\n)(.*?)(<!-- end -->)"


class _End(NamedTuple):
    """A stage, and whether a plan is still within it."""

    name: str
    within: Callable[[Plan], bool]
    then: str


ENDS = (
    _End(
        "one instance (and one more, that it may die)",
        lambda plan: plan.needs.instances(plan.settings.service.cpu) <= 1,
        "the service scales by itself",
    ),
    _End(
        "the smallest PostgreSQL",
        lambda plan: plan.stage == ENTERPRISE and plan.database_vcpus == SIZES[ENTERPRISE][0],
        "`database.tier`: a larger machine",
    ),
    _End(ENTERPRISE, lambda plan: plan.stage == ENTERPRISE, "`database.edition`: pooling, larger machines"),
    _End(ENTERPRISE_PLUS, lambda plan: plan.stage in (ENTERPRISE, ENTERPRISE_PLUS), "Pulumi.alloydb.yaml"),
    _End(
        "one writer",
        lambda plan: plan.stage in (ENTERPRISE, ENTERPRISE_PLUS, ALLOYDB),
        "Pulumi.distributed.yaml, and other statements",
    ),
    _End("one region", lambda plan: plan.regions == 1, "`service.extraRegions`, as in Pulumi.regions.yaml"),
)


def table(plans: list[Plan]) -> str:
    """Return a line for each plan."""
    lines = [
        (
            "| users | logins/s | refreshes/s | verifications/s | instances | vCPU | database | its vCPU | connections"
            " | IOPS | WAL MB/s | stored GB | USD a month |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in plans:
        service, budget = each.settings.service, each.budget
        cells = (
            f"{each.demand.users:,.0f}",
            *(_short(rate) for rate in each.demand.rates.values()),
            f"{each.instances:,}" + (f" in {each.regions} regions" if each.regions > 1 else ""),
            f"{each.instances * service.cpu:,}",
            each.stage,
            f"{each.database_vcpus:,}",
            f"{budget.needed:,}" + (", pooled" if budget.pooled else ""),
            _short(each.needs.iops),
            _short(each.needs.wal_bytes / 10**6),
            _short(each.needs.storage_gb),
            f"{each.total:,.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def details(each: Plan) -> str:
    """Return the costs of one plan by part, and the section of the stack file that it is."""
    service, database = each.settings.service, each.settings.database
    of_database = f"engine {database.engine}" + (f", tier {database.tier}" if database.engine == "cloud-sql" else "")
    lines = [
        "",
        (
            f"service: {service.max_instances} instances at most, {service.cpu} vCPU, {service.memory} MiB,"
            f" CPU target {service.cpu_target:g}; database: {of_database}, disk {database.disk_gb:,} GB"
        ),
        f"connections: {each.budget.sum}; max_connections {database.max_connections}",
        "",
        "| part | USD a month |",
        "|---|---|",
        *(f"| {part} | {cost:,.0f} |" for part, cost in each.costs.items()),
        f"| sum | {each.total:,.0f} |",
    ]
    return "\n".join(lines)


def ends(times: ServiceTimes) -> str:
    """Return for each stage with how many users it ends, why, and what comes then."""
    lines = ["| stage | ends at | why | then |", "|---|---|---|---|"]
    for end in ENDS:
        most = _most_users(end, times)
        if most >= _MOST_USERS:
            lines.append(f"| {end.name} | beyond {_MOST_USERS:,} users | | {end.then} |")
            continue
        first = _plan(most * 1.05, times)
        lines.append(f"| {end.name} | {_two_digits(most)} users | {_why(end, first, times)} | {end.then} |")
    return "\n".join(lines)


def measured(times: ServiceTimes) -> str:
    """Return what was measured, where, and when."""
    made = times.made
    lines = [
        (
            f"By `{made['by']}` on {made['on']}: {made['cores']} cores ({made['processor']}), load average"
            f" {made['load_average']}, Python {made['python']}, PostgreSQL {made['postgresql']}."
        ),
        "",
        "| one | CPU of the service | CPU of PostgreSQL | WAL | fsyncs | pages written |",
        "|---|---|---|---|---|---|",
    ]
    for name, act in times.acts.items():
        lines.append(
            f"| {name} | {act['service_cpu_seconds'] * 1000:.3f} ms | {act['database_cpu_seconds'] * 1000:.3f} ms"
            f" | {act['wal_bytes']:,} bytes | {act['fsyncs']:.2f} | {act['pages_written']:.2f} |"
        )
    sizes = ", ".join(f"{row} {size:,} bytes" for row, size in times.row_bytes.items())
    lines += ["", f"The hash alone: {times.hash_cpu_seconds * 1000:.1f} ms of CPU. Rows with their indexes: {sizes}."]
    return "\n".join(lines)


def side_by_side(stacks: list[Settings]) -> str:
    """Return what stacks cost a month while nobody uses them, by part, and what one more of each use costs."""
    names = " | ".join(each.stack for each in stacks)
    rule = "|---" * (len(stacks) + 1) + "|"
    resting = [costs(each, idle(each)) for each in stacks]
    lines = [f"| USD a month, idle | {names} |", rule]
    lines += [f"| {part} | {' | '.join(f'{each[part]:,.2f}' for each in resting)} |" for part in resting[0]]
    lines += [f"| sum | {' | '.join(f'{sum(each.values()):,.2f}' for each in resting)} |", ""]
    by_use = [uses(each) for each in stacks]
    lines += [f"| USD for | {names} |", rule]
    lines += [f"| {use} | {' | '.join(f'{each[use]:,.3f}' for each in by_use)} |" for use in by_use[0]]
    return "\n".join(lines)


def blocks(document: Path, times: ServiceTimes) -> dict[str, str]:
    """Return what stands between the marks of a document."""
    if document == README:
        return {"costs": side_by_side([stack_file.read(stack) for stack in STACKS])}
    return {
        "measured": measured(times),
        "capacity": table([_plan(users, times) for users in USERS]),
        "ends": ends(times),
        "prices": prices.markdown(),
        "constructs": dialects.markdown_of_constructs(),
        "statements": dialects.markdown_of_statements(),
    }


def written(document: Path, text: str, times: ServiceTimes) -> str:
    """Return the text of a document with its tables as they are now.

    Raises:
        ValueError: it lacks the marks of one.
    """
    for name, block in blocks(document, times).items():
        found = re.findall(_BLOCK.format(name=name), text, re.DOTALL)
        if len(found) != 1:
            where = document.relative_to(ROOT)
            raise ValueError(f"{where} has {len(found)} blocks between <!-- {name}: … --> and <!-- end -->")
        begin, old, end = found[0]
        text = text.replace(begin + old + end, f"{begin}{block}\n{end}")
    return text


def _plan(users: float, times: ServiceTimes) -> Plan:
    return plan(demand(users, Behaviour()), times)


def _most_users(end: _End, times: ServiceTimes) -> float:
    """Return the most users that are within a stage, to one part in a hundred."""
    low, high = 1.0, float(_MOST_USERS)
    if end.within(_plan(high, times)):
        return high
    while high / low > 1.01:  # noqa: PLR2004
        middle = (low * high) ** 0.5
        low, high = (middle, high) if end.within(_plan(middle, times)) else (low, middle)
    return low


def _why(end: _End, first: Plan, times: ServiceTimes) -> str:
    """Return what is too small for the first plan beyond a stage."""
    if end.name == "one region":
        return f"{INSTANCES_OF_A_REGION:,} instances are the most of a region without asking for more"
    if end.name.startswith("one instance"):
        return "two vCPU are busier than the target"
    stage = {"one writer": ALLOYDB, "the smallest PostgreSQL": ENTERPRISE}.get(end.name, end.name)
    _, refused = attempts(first.demand, times)
    reason = refused.get(stage, "its CPU is busier than the target, or its disk slower than what is asked")
    return "more connections than go without Managed Connection Pooling" if "poolingAbove" in reason else reason


def _two_digits(number: float) -> str:
    return f"{float(f'{number:.1e}'):,.0f}"


def _short(number: float) -> str:
    """Return a figure with as many digits as say something."""
    return f"{number:,.0f}" if number >= 10 else f"{number:.2g}"  # noqa: PLR2004
