"""Rules of objectives.yml: what share was bad, and alerts when the error budget is spent too fast.

Multi-window, multi-burn-rate: The Site Reliability Workbook, chapter 5, "Alerting on SLOs", table 5-8.
"""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from authsvc.metrics import REQUEST_BUCKETS
from infra.monitoring.rules import Rules

KINDS = ("availability", "latency", "feed")
HEADER = "# Made from ../objectives.yml by `make rules`: change that, not this.\n"


@dataclass(frozen=True)
class Burn:
    """One alert of each objective: the budget burns `rate` times too fast over both windows, for as long as `wait`."""

    rate: str
    long: str
    short: str
    wait: str
    severity: str


BURNS = (
    Burn("14.4", "1h", "5m", "2m", "page"),
    Burn("6", "6h", "30m", "15m", "page"),
    Burn("3", "1d", "2h", "1h", "ticket"),
    Burn("1", "3d", "6h", "3h", "ticket"),
)
# Each window, and how often the age of the feed is looked at within it.
WINDOWS = {"5m": "30s", "30m": "1m", "1h": "1m", "2h": "1m", "6h": "1m", "1d": "2m", "3d": "5m"}


class ObjectivesError(Exception):
    """What objectives.yml says cannot be made into rules; the text says what to change."""


@dataclass(frozen=True)
class Objective:
    """One promise. `what` is about its kind: method and routes, seconds."""

    name: str
    alert: str
    promise: str
    target: Decimal
    kind: str
    what: dict[str, Any]
    least_bad: int

    @property
    def budget(self) -> Decimal:
        """The share that may be bad."""
        return 1 - self.target

    def ratio(self, window: str) -> str:
        """Return the expression of the share that was bad; nothing where there was nothing to count."""
        if self.kind == "feed":
            late = f"(authsvc_revocations_age_seconds > bool {self.what['seconds']})"
            looks = f"[{window}:{WINDOWS[window]}]"
            return (
                f"sum(sum_over_time({late}{looks}))\n/ sum(count_over_time(authsvc_revocations_age_seconds{looks}))\n"
            )
        return f"({self._bad('rate', window)})\n/ (sum(rate({self._all}[{window}])) > 0)\n"

    def count(self, window: str) -> str:
        """Return the expression of how many were bad."""
        return self._bad("increase", window) + "\n"

    @property
    def is_counted(self) -> bool:
        """Whether it is about requests, and not about time."""
        return self.kind != "feed"

    @property
    def _labels(self) -> str:
        return f'method="{self.what["method"]}",route=~"{"|".join(self.what["routes"])}"'

    @property
    def _all(self) -> str:
        if self.kind == "latency":
            return f'authsvc_http_request_duration_seconds_count{{{self._labels},status=~"2xx|3xx"}}'
        return f"authsvc_http_requests_total{{{self._labels}}}"

    def _bad(self, function: str, window: str) -> str:
        if self.kind == "latency":
            # As the service spells it: `1` would be another series than its `1.0`.
            buckets = f'{self._labels},status=~"2xx|3xx",le="{float(self.what["seconds"])}"'
            quick = f"authsvc_http_request_duration_seconds_bucket{{{buckets}}}"
            return f"sum({function}({self._all}[{window}])) - sum({function}({quick}[{window}]))"
        # A counter that does not exist has not counted anything.
        failed = f'authsvc_http_requests_total{{{self._labels},status="5xx"}}'
        return f"sum({function}({failed}[{window}])) or vector(0)"


def read(path: Path) -> list[Objective]:
    """Return the objectives of a file.

    Raises:
        ObjectivesError: it says something that is not understood.
    """
    document = yaml.safe_load(path.read_text("utf-8"))
    _expect("it", document, {"least_bad", "objectives"})
    least_bad = document["least_bad"]
    objectives = [_objective(each, least_bad) for each in document["objectives"]]
    for what in ("name", "alert"):
        names = [getattr(each, what) for each in objectives]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ObjectivesError(f"{what} {twice[0]} is given twice: each objective has one of its own.")
    return objectives


def rules(objectives: list[Objective]) -> Rules:
    """Return the rule file of objectives."""
    return {"groups": [_group(each) for each in objectives]}


def _objective(given: dict[str, Any], least_bad: int) -> Objective:
    name = given.get("name", "an objective without a name")
    kinds = [kind for kind in KINDS if kind in given]
    if len(kinds) != 1:
        raise ObjectivesError(f"{name} needs exactly one of {', '.join(KINDS)}.")
    kind = kinds[0]
    _expect(name, given, {"name", "alert", "promise", "target", kind})
    asked = {"availability": {"method", "routes"}, "latency": {"method", "routes", "seconds"}, "feed": {"seconds"}}
    _expect(f"{name}: {kind}", given[kind], asked[kind])
    if kind == "latency" and given[kind]["seconds"] not in REQUEST_BUCKETS:
        buckets = ", ".join(f"{bound:g}" for bound in REQUEST_BUCKETS)
        raise ObjectivesError(
            f"{name}: latency: seconds {given[kind]['seconds']} is no bucket of the histogram: take one of {buckets}."
        )
    target = Decimal(str(given["target"]))
    # Whoever burns at the highest rate must be able to: a budget of 10 % cannot burn 14.4 times too fast.
    if not 0 < (1 - target) * Decimal(BURNS[0].rate) < 1:
        raise ObjectivesError(
            f"{name}: target {target} must be below 1 and above 0.9306, so that it can burn too fast."
        )
    return Objective(name, given["alert"], given["promise"], target, kind, given[kind], least_bad)


def _expect(where: str, given: dict[str, Any], expected: set[str]) -> None:
    if missing := sorted(expected - given.keys()):
        raise ObjectivesError(f"{where} lacks {', '.join(missing)}.")
    if unknown := sorted(given.keys() - expected):
        raise ObjectivesError(f"{where} has {', '.join(unknown)}, which is not understood: leave it out.")


def _group(objective: Objective) -> dict[str, Any]:
    ratios = [{"record": _ratio(objective, window), "expr": objective.ratio(window)} for window in WINDOWS]
    counts = []
    if objective.is_counted:
        counts = [{"record": _count(objective, burn.long), "expr": objective.count(burn.long)} for burn in BURNS]
    alerts = [_alert(objective, burn) for burn in BURNS]
    return {"name": objective.name, "interval": "1m", "rules": [*ratios, *counts, *alerts]}


def _ratio(objective: Objective, window: str) -> str:
    return f"authsvc:{objective.name}_bad:ratio_rate{window}"


def _count(objective: Objective, window: str) -> str:
    return f"authsvc:{objective.name}_bad:increase{window}"


def _alert(objective: Objective, burn: Burn) -> dict[str, Any]:
    threshold = f"{burn.rate} * {objective.budget}"
    clauses = [f"{_ratio(objective, window)} > {threshold}" for window in (burn.long, burn.short)]
    if objective.is_counted:
        clauses.append(f"{_count(objective, burn.long)} >= {objective.least_bad}")
    what = objective.name.replace("_", " ")
    return {
        "alert": objective.alert,
        "expr": "\nand ".join(clauses) + "\n",
        "for": burn.wait,
        "labels": {"severity": burn.severity, "burn_rate": burn.rate},
        "annotations": {
            "summary": f"{what}: the error budget burns at {burn.rate}x.",
            "description": (
                f"{objective.promise} In the last {burn.long} that did not hold for more than"
                f" {_percent(Decimal(burn.rate) * objective.budget)};"
                f" over 30 days {_percent(objective.budget)} may be so."
            ),
            "dashboard": f"objectives/{objective.name.replace('_', '-')}",
            "runbook_url": f"docs/runbooks/{objective.alert}.md",
        },
    }


def _percent(share: Decimal) -> str:
    return f"{(share * 100).normalize():f} %"
