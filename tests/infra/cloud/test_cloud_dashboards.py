"""Google's dashboards are those of Grafana, parse as what Google takes, fit on its grid, and ask for what there is."""

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from itertools import combinations
from typing import Any

import promql_parser
import pytest
from google.cloud.monitoring_dashboard_v1.types import Dashboard
from google.protobuf import json_format  # type: ignore[import-untyped]

from infra.monitoring.cloud import ROOT
from infra.monitoring.cloud.alert_policies import alert_policies
from infra.monitoring.cloud.dashboards import COLUMNS, GRAFANA, dashboards
from infra.monitoring.cloud.expressions import rule_files
from infra.monitoring.dashboards.links import slug
from infra.monitoring.rules import each_rule, metrics
from infra.settings import SettingsError
from tests.infra.cloud.watched import EXTERNAL, dev, prod, substituted
from tests.infra.conftest import Promtool

FILES = rule_files()
PROD, DEV = dashboards(prod()), dashboards(dev())
ALL = {f"{stack}-{uid}": board for stack, boards in (("prod", PROD), ("dev", DEV)) for uid, board in boards.items()}
BOARDS = [json.loads(path.read_text("utf-8")) for path in sorted(GRAFANA.glob("*.json"))]
CATALOGUE = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "metrics.md").read_text("utf-8"), re.MULTILINE))

each_board = pytest.mark.parametrize("board", ALL.values(), ids=ALL.keys())


@each_board
def test_google_takes_it(board: dict[str, Any]) -> None:
    made = json_format.ParseDict(board, Dashboard.pb()())
    # Google keeps no zeros: what it would not give back as it was is a change at each `pulumi up`.
    assert json_format.MessageToDict(made) == board


@each_board
def test_tiles_are_on_the_grid_and_on_no_other_tile(board: dict[str, Any]) -> None:
    assert board["mosaicLayout"]["columns"] == COLUMNS
    tiles = [(tile, _place(tile)) for tile in board["mosaicLayout"]["tiles"]]
    for _, (left, top, right, bottom) in tiles:
        assert 0 <= left < right <= COLUMNS
        assert 0 <= top < bottom
    for (one, a), (other, b) in combinations(tiles, 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (one["widget"]["title"], other["widget"]["title"])


@each_board
def test_every_query_parses_and_asks_for_what_there_is(board: dict[str, Any]) -> None:
    queries = list(_queries(board))
    assert queries
    for query in queries:
        promql_parser.parse(query)
        assert not re.search(r"\$[a-z_{]", query), f"a variable of Grafana: {query}"
        for name in metrics(query):
            base = re.sub(r"_(bucket|count|sum)$", "", name)
            google = re.match(r"(run|monitoring|cloudsql|alloydb|workflows)_googleapis_com:\w+$", name)
            assert name == "up" or {name, base} & CATALOGUE or google, name


def test_prometheus_takes_every_query(promtool: Promtool, tmp_path: Any) -> None:
    promtool.accepts_queries([query for board in PROD.values() for query in _queries(board)], tmp_path)


def test_each_panel_and_each_heading_of_grafana_is_there_with_its_queries() -> None:
    for board in BOARDS:
        tiles = PROD[board["uid"]]["mosaicLayout"]["tiles"]
        assert len(tiles) == len(board["panels"])
        for tile, panel in zip(tiles, board["panels"], strict=True):
            assert len(list(_queries_of(tile["widget"]))) == len(panel.get("targets", []))
            if panel["type"] != "row":
                assert tile["widget"]["title"] == panel["title"]


def test_what_is_asked_is_what_grafana_asks() -> None:
    for board in BOARDS:
        for tile, panel in zip(PROD[board["uid"]]["mosaicLayout"]["tiles"], board["panels"], strict=True):
            asked = [target["expr"] for target in panel.get("targets", [])]
            for query, expression in zip(_queries_of(tile["widget"]), asked, strict=True):
                filled = expression.replace("$__rate_interval", "5m").replace("$__range", "1d")
                filled = filled.replace('job=~"$job"', 'job="authsvc"').replace(',instance=~"$instance"', "")
                # There are no series to take a window of; below is what becomes of it.
                if not re.search(r"avg_over_time\(authsvc:", filled):
                    assert str(promql_parser.parse(query)) == substituted(filled)


def test_a_window_over_what_is_recorded_is_a_subquery() -> None:
    queries = [query for query in _queries(PROD["objectives"]) if "avg_over_time" in query]
    assert queries
    for query in queries:
        assert re.search(r"\)\[30d:60m\]", query)


def test_numbers_are_coloured_where_grafana_colours_them() -> None:
    widgets = {
        tile["widget"]["title"]: tile["widget"] for board in PROD.values() for tile in board["mosaicLayout"]["tiles"]
    }
    assert widgets["Pool in use"]["scorecard"]["thresholds"] == [
        {"value": 0.7, "color": "YELLOW", "direction": "ABOVE"},
        {"value": 0.9, "color": "RED", "direction": "ABOVE"},
    ]
    assert widgets["Instances up"]["scorecard"]["thresholds"] == [{"value": 1, "color": "RED", "direction": "BELOW"}]
    assert "thresholds" not in widgets["Data"]["scorecard"]
    assert [line["value"] for line in widgets["Event loop lag"]["xyChart"]["thresholds"]] == [0.05]


def test_series_are_named_as_in_grafana() -> None:
    widgets = {tile["widget"]["title"]: tile["widget"] for tile in PROD["service-overview"]["mosaicLayout"]["tiles"]}
    names = [each.get("legendTemplate") for each in widgets["Requests by route"]["xyChart"]["dataSets"]]
    assert names == ["${labels.method} ${labels.route}"]
    assert "{{" not in json.dumps(PROD)


def test_each_alert_is_shown_on_a_panel_of_its_dashboard() -> None:
    rules = {rule["alert"]: rule for rule in each_rule(FILES.values()) if "alert" in rule}
    for settings, boards in ((prod(), PROD), (dev(), DEV)):
        for policy in alert_policies(settings).policies:
            panel = rules[policy.alert_rule]["annotations"]["dashboard"].partition("/")[2]
            titles = {slug(tile["widget"]["title"]) for tile in boards[policy.dashboard]["mosaicLayout"]["tiles"]}
            assert panel in titles


def test_what_is_not_there_has_no_panel() -> None:
    def titles(boards: dict[str, Any]) -> set[str]:
        return {tile["widget"]["title"] for board in boards.values() for tile in board["mosaicLayout"]["tiles"]}

    assert titles(PROD) - titles(DEV) == {"Certificate", "Public URL", "Replica lag"}
    external = dashboards(prod(database=EXTERNAL))
    assert not [query for board in external.values() for query in _queries(board) if "cloudsql" in query]


def test_bounds_are_those_of_the_stack() -> None:
    queries = list(_queries(PROD["google-cloud"]))
    assert {"(vector(7))", "(vector(250))", "(vector(40000000000))"} <= set(queries)


def test_a_recording_rule_that_does_not_fit_a_panel_is_one_sentence_with_dashboard_and_panel() -> None:
    files = deepcopy(FILES)
    rule = next(rule for rule in each_rule(files.values()) if rule.get("record") == "probe_ssl_earliest_cert_expiry")
    rule["expr"] = '"a text"'
    with pytest.raises(SettingsError) as caught:
        dashboards(prod(), files)
    (fault,) = caught.value.faults
    assert fault.startswith("service-overview: the panel Certificate is no PromQL (")


def _place(tile: dict[str, Any]) -> tuple[int, int, int, int]:
    left, top = tile.get("xPos", 0), tile.get("yPos", 0)
    return left, top, left + tile["width"], top + tile["height"]


def _queries(board: dict[str, Any]) -> Iterator[str]:
    for tile in board["mosaicLayout"]["tiles"]:
        yield from _queries_of(tile["widget"])


def _queries_of(widget: dict[str, Any]) -> Iterator[str]:
    if "scorecard" in widget:
        yield widget["scorecard"]["timeSeriesQuery"]["prometheusQuery"]
    for each in widget.get("xyChart", {}).get("dataSets", []):
        yield each["timeSeriesQuery"]["prometheusQuery"]
