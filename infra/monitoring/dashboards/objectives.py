"""What is promised, what is left of the error budgets, and how fast they burn."""

from collections.abc import Iterable

from infra.monitoring.dashboards.parts import Dashboard, Panel, Query, Row, figure, graph
from infra.monitoring.objectives import BURNS, WINDOWS, Objective

COLOURS = ("yellow", "orange", "dark-orange", "red")


def make(objectives: dict[str, Objective]) -> Dashboard:
    """Return the dashboard; its limits are the objectives' and those of their alerts."""
    return Dashboard(
        "objectives",
        "authsvc: objectives",
        "What is promised over 30 days: what is left of each error budget, and how fast it burns. Of the whole service,"
        " not of an instance. Where Prometheus keeps less than 30 days, it is of what there is.",
        (
            Row("30 days", [_left(objectives.values())]),
            *(Row(_title(each), [_kept(each), _burn(each)]) for each in objectives.values()),
        ),
        by_instance=False,
        hours=24,
    )


def _title(objective: Objective) -> str:
    return objective.name.replace("_", " ").capitalize()


def _bad(objective: Objective) -> str:
    """Return the share that was bad in 30 days; 0 where nothing was asked, since then nobody was failed."""
    ratio = objective.ratio("30d").strip() if objective.is_counted else f"avg_over_time({_ratio(objective, '5m')}[30d])"
    return f"(({ratio}) or vector(0))"


def _ratio(objective: Objective, window: str) -> str:
    return f"authsvc:{objective.name}_bad:ratio_rate{window}"


def _left(objectives: Iterable[Objective]) -> Panel:
    return figure(
        "Error budgets left",
        "What is left of what may fail in 30 days. 100 % is all of it; below 0 the promise was broken.",
        *(Query(f"1 - {_bad(each)} / {each.budget}", _title(each)) for each in objectives),
        unit="percentunit",
        decimals=1,
        base="red",
        limits=[(0, "orange"), (0.5, "green")],
        text="value_and_name",
        width=24,
        height=5,
    )


def _kept(objective: Objective) -> Panel:
    target = float(objective.target)
    return figure(
        f"{_title(objective)}: kept",
        f"Share of 30 days that was good. Promised: {target * 100:g} %. {objective.promise}",
        Query(f"1 - {_bad(objective)}"),
        unit="percentunit",
        decimals=3,
        base="red",
        limits=[(target, "green")],
        width=6,
        height=8,
    )


def _burn(objective: Objective) -> Panel:
    limits = sorted(float(burn.rate) for burn in BURNS)
    return graph(
        _title(objective),
        f"How many times too fast the error budget burns, over windows of several lengths. {objective.promise} At 1 it"
        " is spent in 30 days. An alert comes where both of its windows are above its line: "
        + ", ".join(f"{burn.rate} over {burn.long} and {burn.short}" for burn in BURNS)
        + ".",
        *(Query(f"{_ratio(objective, window)} / {objective.budget}", window) for window in WINDOWS),
        unit="short",
        limits=list(zip(limits, COLOURS, strict=True)),
        width=18,
    )
