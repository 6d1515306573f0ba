"""The main panels over a drill, with the time of each fault shaded: for who looks instead of reading."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from drills.alerts.monitoring import Monitoring
from drills.alerts.play import Outcome, Strike
from drills.alerts.receiver import Told
from infra.monitoring.rules import scaled_expression

WINDOW = "5m"
STEP_SECONDS = 60.0
"""Both at a factor of 1, as the windows of the rules are."""
PAGE, TICKET = "#c0392b", "#e0a030"
BLUE, GREEN, ORANGE, PURPLE, GREY = "#1f6fb4", "#2e8b57", "#d9772b", "#7b4fa3", "#5f6b76"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e9ec",
    "axes.edgecolor": "#9aa4ad",
    "legend.frameon": False,
    "legend.fontsize": 8,
}

Points = tuple[list[float], list[float]]
"""Moments, in seconds since the drill's beginning, and values."""


@dataclass(frozen=True)
class Line:
    """One query, drawn over time."""

    name: str
    query: str
    colour: str
    style: str = "-"


@dataclass(frozen=True)
class Panel:
    """Some lines with one unit; `limit` is where an alert looks, with what it is."""

    title: str
    unit: str
    lines: tuple[Line, ...]
    limit: tuple[float, str] | None = None


def _answers(status: str) -> str:
    return f'sum(rate(authsvc_http_requests_total{{status="{status}"}}[{WINDOW}])) or vector(0)'


def _quantile(route: str) -> str:
    buckets = f'authsvc_http_request_duration_seconds_bucket{{route="{route}",status="2xx"}}'
    return f"1000 * histogram_quantile(0.95, sum by (le) (rate({buckets}[{WINDOW}])))"


def _events(event: str) -> str:
    return f'sum(rate(authsvc_events_total{{event="{event}"}}[{WINDOW}]))'


def _burn(name: str) -> str:
    return f"100 * authsvc:{name}_bad:ratio_rate5m"


PANELS = (
    Panel(
        "Answers", "per second",
        (Line("2xx", _answers("2xx"), GREEN), Line("4xx", _answers("4xx"), ORANGE), Line("5xx", _answers("5xx"), PAGE)),
    ),
    Panel(
        "Time to a good answer, 95 %", "ms",
        (
            Line("log in", _quantile("/api/auth/login"), BLUE),
            Line("renew", _quantile("/api/auth/refresh"), PURPLE),
            Line("/me", _quantile("/api/auth/me"), GREEN),
        ),
    ),
    Panel(
        "Share that was not served, short window", "%",
        (
            Line("log in", _burn("login_availability"), BLUE),
            Line("renew", _burn("refresh_availability"), PURPLE, "--"),
            Line("/me", _burn("me_availability"), GREEN, ":"),
        ),
        (1.44, "burns 14.4x"),
    ),
    Panel(
        "Password hashing", "hashes",
        (
            Line("waiting", "sum(authsvc_password_hashes_waiting)", BLUE),
            Line(
                "sent away per second",
                f'sum(rate(authsvc_password_hashes_shed_total{{reason="queue_full"}}[{WINDOW}]))', PAGE,
            ),
        ),
    ),
    Panel(
        "Age of the revocation feed", "seconds",
        (
            Line("age", "max(authsvc_revocations_age_seconds)", BLUE),
            Line("RevocationFeedStale above", "min(authsvc_revocations_stale_seconds)", PAGE, "--"),
        ),
    ),
    Panel(
        "Abuse", "per second",
        (
            Line("logins that failed", _events("session:login:failure"), ORANGE),
            Line("logins", _events("session:login:success"), GREY),
            Line("refresh tokens reused", _events("session:refresh:reuse"), PAGE),
        ),
    ),
)  # fmt: skip


async def draw(path: Path, monitoring: Monitoring, outcome: Outcome) -> None:
    """Ask Prometheus for each panel, and write the picture; its windows are as much shorter as those of the rules."""
    step = STEP_SECONDS * outcome.factor
    found = {
        line: _points(
            await monitoring.series(scaled_expression(line.query, outcome.factor), outcome.began, outcome.ended, step),
            outcome.began,
            step,
        )
        for panel in PANELS
        for line in panel.lines
    }
    told = [each for strike in outcome.strikes for each in strike.told]
    with mpl.rc_context(STYLE):
        heights = [1.0] * len(PANELS) + [max(1.0, 0.16 * len(_titles(told)) + 0.3)]
        figure = Figure(figsize=(12, 1.75 * sum(heights)), facecolor="white", layout="constrained")
        axes: Sequence[Axes] = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        for axis, panel in zip(axes, PANELS, strict=False):
            _draw_panel(axis, panel, found)
        _draw_told(axes[-1], told, outcome)
        for axis in axes:
            _shade(axis, outcome)
        _name_faults(axes[0], outcome)
        axes[-1].set_xlabel("seconds since the beginning of the calm")
        axes[0].set_xlim(0, outcome.ended - outcome.began)
        figure.savefig(path, dpi=110, bbox_inches="tight", pad_inches=0.15)


def _draw_panel(axis: Axes, panel: Panel, found: Mapping[Line, Points]) -> None:
    axis.set_title(panel.title)
    axis.set_ylabel(panel.unit)
    for line in panel.lines:
        moments, values = found[line]
        axis.plot(moments, values, line.style, color=line.colour, linewidth=1.4, label=line.name)
    if panel.limit:
        value, name = panel.limit
        axis.axhline(value, color=PAGE, linewidth=0.9, linestyle=(0, (4, 3)), label=f"{name}: above {value:g}")
    axis.set_ylim(bottom=0)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _points(series: Sequence[dict[str, Any]], began: float, step: float) -> Points:
    """Return moments and values of the first series; NaN in each gap, so that no line is drawn through it."""
    moments: list[float] = []
    values: list[float] = []
    for moment, value in series[0]["values"] if series else []:
        if moments and moment - began - moments[-1] > 1.5 * step:
            moments.append(moments[-1] + step)
            values.append(float("nan"))
        moments.append(moment - began)
        values.append(float(value))
    return moments, values


def _titles(told: Sequence[Told]) -> list[str]:
    return list(dict.fromkeys(each.alert.title for each in told))


def _draw_told(axis: Axes, told: Sequence[Told], outcome: Outcome) -> None:
    axis.set_title("Who was told: from the call that says so to the one that it is over")
    titles = _titled_rows(told)
    for each in told:
        begin, end = each.fired - outcome.began, (each.resolved or outcome.ended) - outcome.began
        row = titles.index(each.alert.title)
        colour = PAGE if each.alert.is_page else TICKET
        axis.barh(row, end - begin, left=begin, height=0.62, color=colour, zorder=3)
    axis.set_yticks(range(len(titles)), titles, fontsize=8)
    axis.set_ylim(len(titles) - 0.4, -0.6)
    for colour, name in ((PAGE, "page"), (TICKET, "ticket")):
        axis.barh(0, 0, color=colour, label=name)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _titled_rows(told: Sequence[Told]) -> list[str]:
    """Return the titles in the order in which they were first told."""
    return _titles(sorted(told, key=lambda each: each.fired))


def _shade(axis: Axes, outcome: Outcome) -> None:
    for strike in outcome.strikes:
        begin, end = _span(strike, outcome)
        axis.axvspan(begin, end, color="#f3d9d4", alpha=0.55, linewidth=0, zorder=0)


def _name_faults(axis: Axes, outcome: Outcome) -> None:
    for number, strike in enumerate(outcome.strikes):
        begin, end = _span(strike, outcome)
        # In three rows: beside one another they would lie over one another.
        place = ((begin + end) / 2, 1.46 - 0.15 * (number % 3))
        axis.annotate(
            strike.fault.name, place, xycoords=("data", "axes fraction"), ha="center", va="bottom",
            fontsize=9, fontweight="bold", color=PAGE,
        )  # fmt: skip


def _span(strike: Strike, outcome: Outcome) -> tuple[float, float]:
    return strike.began - outcome.began, strike.ended - outcome.began
