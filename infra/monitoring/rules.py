"""Rule files of Prometheus as data: read, written, and changed as a whole."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

Rules = dict[str, Any]
"""A rule file: `groups`, each with `name`, `rules` and perhaps `interval`."""

# PromQL as far as it matters here. In quotes is a value, whatever it looks like.
_QUOTED = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"
_TIMES = re.compile(rf"(?P<quoted>{_QUOTED})|\[[^\]]*\]|\boffset\s+-?\w+")
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_MILLISECONDS = {
    "ms": 1,
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_NO_METRICS = re.compile(
    rf"{_QUOTED}|\{{(?:{_QUOTED}|[^}}])*\}}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"
)
_NAME = re.compile(r"\b[a-zA-Z_][\w:]*\b(?!\s*\()")
_WORDS = {"and", "or", "unless", "bool", "offset", "group_left", "group_right", "inf", "nan"}


def read(path: Path) -> Rules:
    """Return a rule file as data."""
    rules: Rules = yaml.safe_load(path.read_text("utf-8"))
    return rules


def write(rules: Rules) -> str:
    """Return the text of a rule file."""
    return yaml.dump(rules, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000)


def each_rule(files: Iterable[Rules]) -> Iterator[dict[str, Any]]:
    """Yield every rule of these files, in order."""
    for rules in files:
        for group in rules["groups"]:
            yield from group["rules"]


def metrics(expression: str) -> set[str]:
    """Return the names of what an expression reads: metrics, and recording rules."""
    bare = _NO_METRICS.sub(" ", expression)
    return {name for name in _NAME.findall(bare) if name.lower() not in _WORDS}


def milliseconds(duration: str) -> int:
    """Return how long a duration of Prometheus is, such as `1h30m`."""
    return sum(int(count) * _MILLISECONDS[unit] for count, unit in _PART.findall(duration))


def scaled(rules: Rules, factor: float) -> Rules:
    """Return the rules with every window, `for` and interval times `factor`, for a drill that cannot wait for days.

    Thresholds stay: they are shares, counts and ages, and none is so many a second; tests hold that. Names stay too,
    so that `…:ratio_rate1h` is the same series on the same panel. What is compared with `time()` is no window.

    Raises:
        ValueError: a time would become shorter than a millisecond.
    """
    changed = deepcopy(rules)
    for group in changed["groups"]:
        _change(group, ("interval",), lambda duration: scaled_duration(duration, factor))
        for rule in group["rules"]:
            _change(rule, ("for", "keep_firing_for"), lambda duration: scaled_duration(duration, factor))
            _change(rule, ("expr",), lambda expression: scaled_expression(expression, factor))
    return changed


def scaled_expression(expression: str, factor: float) -> str:
    """Return an expression with every window and offset times `factor`."""

    def times(match: re.Match[str]) -> str:
        if match["quoted"]:
            return match[0]
        return _DURATION.sub(lambda duration: scaled_duration(duration[0], factor), match[0])

    return _TIMES.sub(times, expression)


def scaled_duration(duration: str, factor: float) -> str:
    """Return a duration of Prometheus times `factor`, to the millisecond."""
    count = round(milliseconds(duration) * factor)
    if count < 1:
        raise ValueError(f"{duration} times {factor:g} is less than a millisecond: take a larger factor.")
    unit = next(unit for unit in ("h", "m", "s", "ms") if count % _MILLISECONDS[unit] == 0)
    return f"{count // _MILLISECONDS[unit]}{unit}"


def inlined(files: Iterable[Rules]) -> Rules:
    """Return the alerts of these files in one, each recording rule put where its name stood: for who has none of those.

    Raises:
        ValueError: a recording rule has labels, which an expression in its place would not carry.
    """
    files = deepcopy(list(files))
    recorded: dict[str, str] = {}
    for rule in each_rule(files):
        if "record" in rule:
            if rule.get("labels"):
                raise ValueError(f"{rule['record']} adds labels, and cannot be inlined: put them into its name.")
            recorded[rule["record"]] = rule["expr"].strip()
    groups = []
    for group in (group for rules in files for group in rules["groups"]):
        alerts = [rule for rule in group["rules"] if "alert" in rule]
        for rule in alerts:
            while metrics(rule["expr"]) & recorded.keys():
                rule["expr"] = _replaced(rule["expr"], recorded)
        groups.append({**group, "rules": alerts})
    return {"groups": [group for group in groups if group["rules"]]}


def linked(
    rules: Rules, *, runbooks: str | None = None, dashboards: str | None = None, panels: Mapping[str, int] | None = None
) -> Rules:
    """Return the rules with links that can be clicked.

    `runbooks` is the address of the folder docs/runbooks, `dashboards` that of Grafana; what is not given stays.
    A link to Grafana opens the panel alone where `panels` has its number, by `UID/panel`, and else the dashboard.
    """
    changed = deepcopy(rules)
    for rule in each_rule([changed]):
        # A copy: rules of one file may share theirs, by an anchor.
        annotations = dict(rule.get("annotations", {}))
        if runbooks and "runbook_url" in annotations:
            annotations["runbook_url"] = f"{runbooks.rstrip('/')}/{Path(annotations['runbook_url']).name}"
        if dashboards and "dashboard" in annotations:
            name = annotations["dashboard"]
            number = (panels or {}).get(name)
            view = "" if number is None else f"?viewPanel={number}"
            annotations["dashboard"] = f"{dashboards.rstrip('/')}/d/{name.partition('/')[0]}{view}"
        if annotations:
            rule["annotations"] = annotations
    return changed


def _change(where: dict[str, Any], keys: Iterable[str], change: Callable[[str], str]) -> None:
    where.update({key: change(where[key]) for key in keys if key in where})


def _replaced(expression: str, recorded: dict[str, str]) -> str:
    def put(match: re.Match[str]) -> str:
        return f"({recorded[match[0]]})" if match[0] in recorded else match[0]

    return re.sub(rf"{_QUOTED}|{_NAME.pattern}", put, expression)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and each value anew: no anchors."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the parent's word
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)
