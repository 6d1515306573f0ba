"""Google's dashboards: of the panels that Grafana shows, and one of what only Google's metrics know.

The format: https://cloud.google.com/monitoring/api/ref_v3/rest/v1/projects.dashboards. Grafana's choices of job and
instance are not offered: a stack has a project of its own, and one service in it. Google has no room for descriptions.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from infra.monitoring import FOLDER
from infra.monitoring.cloud.expressions import (
    RuleFiles,
    check,
    from_cloud,
    groups,
    inline,
    of_stack,
    parse_error,
    rule_files,
    unknown,
)
from infra.settings import PROJECT, Settings, SettingsError

GRAFANA = FOLDER / "dashboards"
GOOGLE = Path(__file__).with_name("google-cloud.yml")
COLUMNS = 48
_SCALE = 2
"""Columns, and rows, of Google's for one of Grafana's."""
_HEADING = 4
_WIDTH, _HEIGHT = 16, 16
_FILLED = {
    'job=~"$job",instance=~"$instance"': f'job="{PROJECT}"',
    # Ten samples of the sidecar's: one that is missing leaves no gap.
    "$__rate_interval": "5m",
    "$__range": "1d",
}
_RENAMED = {"In the time shown": "In 24 hours"}
_UNITS = {
    "short": "1",
    "none": "1",
    "bool_yes_no": "1",
    "s": "s",
    "bytes": "By",
    "percentunit": "10^2.%",
    "reqps": "1/s",
    "ops": "1/s",
}
"""Units of Grafana in UCUM, as Google has them."""
_BADNESS = {"green": 0, "blue": 0, "yellow": 1, "orange": 1, "dark-orange": 1, "red": 2}
_COLOURS = {1: "YELLOW", 2: "RED"}

Json = dict[str, Any]


@dataclass(frozen=True)
class _Panel:
    """A panel, or a heading where it has no queries: what each query's series are called, and the query."""

    title: str
    place: Json
    queries: list[tuple[str, str]] = field(default_factory=list)
    unit: str = "1"
    is_number: bool = False
    is_stacked: bool = False
    limits: list[Json] = field(default_factory=list)


@dataclass(frozen=True)
class _Board:
    uid: str
    title: str
    panels: list[_Panel]


def dashboards(settings: Settings, files: RuleFiles | None = None) -> dict[str, Json]:
    """Return the dashboards of a stack by their UID, of the rules in the repository or of `files`.

    Panels whose metrics are not there in this stack are left out.

    Raises:
        SettingsError: rules or queries that do not parse, with a sentence for each that names file and rule, or
            dashboard and panel.
    """
    files = rule_files() if files is None else files
    check(files)
    own = of_stack(files, settings)
    missing = from_cloud(files).keys() - from_cloud(own).keys()
    boards = [_of_grafana(json.loads(path.read_text("utf-8"))) for path in sorted(GRAFANA.glob("*.json"))]
    boards.append(_of_google(settings))
    made, faults = {}, []
    for board in boards:
        panels = [_inlined(panel, own) for panel in board.panels]
        faults += [
            f"{board.uid}: the panel {panel.title} is no PromQL ({error}): mend its query."
            for panel in panels
            for _, query in panel.queries
            if (error := parse_error(query))
        ]
        layout = {"columns": COLUMNS, "tiles": [_stated(tile) for tile in _tiles(panels, missing)]}
        made[board.uid] = {
            "displayName": board.title,
            "mosaicLayout": layout,
            "labels": {PROJECT: "", board.uid: ""},
        }
    if faults:
        raise SettingsError(faults)
    return made


def _inlined(panel: _Panel, files: RuleFiles) -> _Panel:
    legends, queries = [legend for legend, _ in panel.queries], [query for _, query in panel.queries]
    return replace(panel, queries=[*zip(legends, inline(files, queries), strict=True)])


def _tiles(panels: Iterable[_Panel], missing: Iterable[str]) -> Iterator[Json]:
    for panel in panels:
        if not any(unknown(query, missing) for _, query in panel.queries):
            yield {**panel.place, "widget": {"title": panel.title, **_widget(panel)}}


def _widget(panel: _Panel) -> Json:
    if not panel.queries:
        return {"sectionHeader": {"dividerBelow": True}}
    asked = [{"prometheusQuery": query, "unitOverride": panel.unit} for _, query in panel.queries]
    if panel.is_number:
        return {"scorecard": {"timeSeriesQuery": asked[0], "thresholds": panel.limits}}
    names = [{"legendTemplate": legend} if legend else {} for legend, _ in panel.queries]
    kind = "STACKED_AREA" if panel.is_stacked else "LINE"
    return {
        "xyChart": {
            "dataSets": [
                {"timeSeriesQuery": each, "plotType": kind, "targetAxis": "Y1", **name}
                for each, name in zip(asked, names, strict=True)
            ],
            "thresholds": [{"value": limit["value"], "targetAxis": "Y1"} for limit in panel.limits],
            "yAxis": {"scale": "LINEAR"},
        }
    }


def _stated(value: Json) -> Json:
    """Return it without zeros and empty lists: Google keeps none, and Pulumi would state them anew each time."""
    kept: Json = {}
    for name, each in value.items():
        if isinstance(each, dict):
            kept[name] = _stated(each)
        elif isinstance(each, list):
            kept |= {name: [_stated(one) for one in each]} if each else {}
        elif each != 0:
            kept[name] = each
    return kept


def _of_google(settings: Settings) -> _Board:
    board = yaml.safe_load(GOOGLE.read_text("utf-8"))
    there = groups(settings)
    panels = [each for each in board["panels"] if there[each["group"]]]
    columns = COLUMNS // _WIDTH
    places = [
        {"xPos": number % columns * _WIDTH, "yPos": number // columns * _HEIGHT, "width": _WIDTH, "height": _HEIGHT}
        for number in range(len(panels))
    ]
    made = [
        _Panel(each["title"], place, [*each["queries"].items()], _UNITS[each["unit"]])
        for each, place in zip(panels, places, strict=True)
    ]
    return _Board(board["uid"], board["title"], made)


def _of_grafana(board: Json) -> _Board:
    panels, headings = [], 0
    for each in board["panels"]:
        grid = {name: each["gridPos"][name] * _SCALE for name in "xywh"}
        is_heading, title = each["type"] == "row", str(each["title"])
        place = {
            "xPos": grid["x"],
            "yPos": grid["y"] + headings * (_HEADING - _SCALE),
            "width": grid["w"],
            "height": _HEADING if is_heading else grid["h"],
        }
        headings += is_heading
        panels.append(_Panel(_RENAMED.get(title, title), place) if is_heading else _panel(each, place))
    return _Board(board["uid"], board["title"], panels)


def _panel(each: Json, place: Json) -> _Panel:
    defaults = each["fieldConfig"]["defaults"]
    custom = defaults.get("custom", {})
    queries = [(_legend(target["legendFormat"]), _filled(target["expr"])) for target in each["targets"]]
    # A number is of one series, and has no name: where there are more, or the name is what matters, there are lines.
    is_number = each["type"] == "stat" and len(queries) == 1 and not queries[0][0]
    is_limited = is_number or custom.get("thresholdsStyle", {}).get("mode") == "dashed"
    return _Panel(
        each["title"],
        place,
        queries,
        _UNITS[defaults["unit"]],
        is_number=is_number,
        is_stacked=custom.get("stacking", {}).get("mode") == "normal",
        limits=[*_limits(defaults["thresholds"]["steps"])] if is_limited else [],
    )


def _legend(template: str) -> str:
    """Return Google's template of a series' name; with none it gives all labels."""
    return "" if template == "__auto" else re.sub(r"\{\{(\w+)\}\}", r"${labels.\1}", template)


def _limits(steps: list[Json]) -> Iterator[Json]:
    """Yield from where on, or below which, a value is coloured. Google colours only what is bad."""
    for before, after in pairwise(steps):
        was, becomes = _BADNESS[before["color"]], _BADNESS[after["color"]]
        if was != becomes:
            direction = "ABOVE" if becomes > was else "BELOW"
            yield {"value": after["value"], "color": _COLOURS[max(was, becomes)], "direction": direction}


def _filled(expression: str) -> str:
    for name, value in _FILLED.items():
        expression = expression.replace(name, value)
    return expression
