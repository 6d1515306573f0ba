"""Dashboards are what they are made of, fit on the screen, ask for what there is, and are where alerts lead to."""

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from itertools import combinations, count
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from infra.monitoring import RULES
from infra.monitoring.dashboards.__main__ import FOLDER, written
from infra.monitoring.dashboards.links import panel_ids, slug
from infra.monitoring.rules import each_rule, metrics, read
from tests.cli.conftest import PATIENCE, Running, Start, settings, start
from tests.infra.conftest import ROOT, Promtool, Watch
from tests.infra.prometheus import Prometheus

__all__ = ["settings", "start"]

BOARDS = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))}
PANELS = [(uid, panel) for uid, board in BOARDS.items() for panel in board["panels"] if panel["type"] != "row"]
BY_LINK = {f"{uid}/{slug(panel['title'])}": panel for uid, panel in PANELS}
RULES_ = list(each_rule(read(path) for path in sorted(RULES.glob("*.yml"))))
RECORDS = {rule["record"]: rule["expr"] for rule in RULES_ if "record" in rule}
ALERTS = [rule for rule in RULES_ if "alert" in rule]
CATALOGUE = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "metrics.md").read_text("utf-8"), re.MULTILINE))
NOT_OURS = {"up", "probe_ssl_earliest_cert_expiry", "authsvc_backup_last_success_timestamp_seconds"}
# Grafana shows a unit that it does not know as a suffix, and says nothing.
UNITS = {"short", "none", "s", "bytes", "percentunit", "reqps", "ops", "bool_yes_no"}
# What Grafana fills in: https://grafana.com/docs/grafana/latest/dashboards/variables/
VARIABLES = {"$__rate_interval": "5s", "$__range": "1m", "$job": "authsvc", "$instance": ".*"}
# What stands for nothing, and would hide that there is nothing.
DEFAULTS = re.compile(r" or vector\(0\)| or [^\n]+ \* 0(?=\)\n/)")
GRID = 24


def _id(each: tuple[str, Mapping[str, Any]]) -> str:
    return f"{each[0]}/{slug(each[1]['title'])}"


each_panel = pytest.mark.parametrize("uid, panel", PANELS, ids=[_id(each) for each in PANELS])


def filled(expression: str) -> str:
    """Return a query as Grafana sends it."""
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    assert not re.search(r"\$\D", expression), f"a variable that Grafana would leave: {expression}"
    return expression


def test_the_files_are_what_make_dashboards_writes() -> None:
    made = written()
    assert {path.name for path in FOLDER.glob("*.json")} == set(made)
    stale = [name for name, text in made.items() if (FOLDER / name).read_text("utf-8") != text]
    assert not stale, "Run make dashboards."


def test_uids_are_fixed_since_alerts_and_people_keep_links() -> None:
    assert {name: board["uid"] for name, board in BOARDS.items()} == {
        name: name for name in ("service-overview", "logins-and-abuse", "database-and-pool", "objectives")
    }


@pytest.mark.parametrize("uid", BOARDS)
def test_nothing_is_in_a_dashboard_that_the_schema_of_grafana_does_not_know(uid: str) -> None:
    known = json.loads(JSONEncoder().encode(Dashboard.from_json(json.loads(json.dumps(BOARDS[uid])))))
    assert known == BOARDS[uid]


@pytest.mark.parametrize("uid", BOARDS)
def test_panels_have_ids_and_titles_of_their_own_and_lie_side_by_side(uid: str) -> None:
    panels = BOARDS[uid]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({slug(panel["title"]) for panel in panels if panel["type"] != "row"}) == len(
        [panel for panel in panels if panel["type"] != "row"]
    )
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= GRID for place in places)
    for one, other in combinations(places, 2):
        assert (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        ), (one, other)


@pytest.mark.parametrize("uid", BOARDS)
def test_no_row_has_a_hole(uid: str) -> None:
    widths: dict[int, int] = {}
    for panel in BOARDS[uid]["panels"]:
        place = panel["gridPos"]
        widths[place["y"]] = widths.get(place["y"], 0) + place["w"]
    assert set(widths.values()) == {GRID}, widths


@pytest.mark.parametrize("uid", BOARDS)
def test_every_variable_is_used_and_every_one_that_is_used_is_there(uid: str) -> None:
    board = BOARDS[uid]
    named = {variable["name"] for variable in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?(?!__)([a-z]\w*)", json.dumps([board["panels"], board["annotations"]])))
    assert named == used
    assert "datasource" in named


@each_panel
def test_a_panel_says_what_it_shows(uid: str, panel: Mapping[str, Any]) -> None:
    assert panel["description"].endswith("."), uid
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        assert len(panel["targets"]) == 1 or target["legendFormat"] != "__auto", "which of them is it?"


def test_what_is_named_by_a_colour_is_a_series_of_the_panel() -> None:
    for uid, panel in PANELS:
        legends = {target["legendFormat"] for target in panel["targets"]}
        for override in panel["fieldConfig"]["overrides"]:
            name = override["matcher"]["options"]
            patterns = [re.escape(legend).replace(r"\{\{", "{{").replace(r"\}\}", "}}") for legend in legends]
            matching = [pattern for pattern in patterns if re.fullmatch(re.sub(r"{{\w+}}", r"\\w+", pattern), name)]
            assert matching, f"{uid}: {panel['title']} has no series {name}"


@each_panel
def test_a_query_asks_for_what_there_is(uid: str, panel: Mapping[str, Any]) -> None:
    known = CATALOGUE | {f"{name}_{part}" for name in CATALOGUE for part in ("bucket", "sum", "count")}
    for target in panel["targets"]:
        unknown = metrics(target["expr"]) - known - set(RECORDS) - NOT_OURS
        assert not unknown, f"{uid}: {target['expr']}"


def test_promtool_understands_every_query(promtool: Promtool, tmp_path: Path) -> None:
    expressions = [filled(target["expr"]) for _, panel in PANELS for target in panel["targets"]]
    promtool.accepts_queries(expressions, tmp_path)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels'].get('burn_rate', '')}")
def test_an_alert_leads_to_a_panel_that_shows_what_it_is_about_and_back_to_its_runbook(alert: dict[str, Any]) -> None:
    link = alert["annotations"]["dashboard"]
    assert link in BY_LINK, f"no panel {link}"
    panel = BY_LINK[link]
    assert panel_ids()[link] == panel["id"], "Grafana would open another"
    shown = {name for target in panel["targets"] for name in metrics(target["expr"])}
    assert shown & metrics(alert["expr"]), f"{link} shows nothing of what {alert['alert']} is about"
    urls = [each["url"] for each in panel["links"]]
    assert f"${{runbooks}}/{alert['alert']}.md" in urls


def test_no_panel_links_to_a_runbook_that_is_not_there() -> None:
    linked = {Path(each["url"]).name for _, panel in PANELS for each in panel["links"]}
    assert linked == {f"{alert['alert']}.md" for alert in ALERTS}
    missing = [name for name in linked if not (ROOT / "docs" / "runbooks" / name).exists()]
    assert not missing


class Visitors:
    """People, and others, who keep a service busy with all that can happen without a fault."""

    def __init__(self, service: Running) -> None:
        self._service = service
        self._numbers = count(1)

    def come(self) -> None:
        """Do everything once."""
        person = {"email": f"ada{next(self._numbers)}@example.com", "password": "correct horse battery staple"}
        assert self._post("register", person) == 201
        assert self._post("login", {**person, "password": "wrong horse battery staple"}) == 401
        tokens = self._tokens("login", person)
        for _ in range(3):
            assert self._service.ask("/api/auth/me", headers=self._bearer(tokens)).status == 200
        first = tokens["refresh_token"]
        second = self._tokens("refresh", {"refresh_token": first})
        self._tokens("refresh", {"refresh_token": second["refresh_token"]})
        assert self._post("refresh", {"refresh_token": first}) == 400, "it was spent"
        assert self._service.ask("/wp-login.php").status == 404

    def _post(self, path: str, body: object) -> int:
        return self._service.ask(f"/api/auth/{path}", body).status

    def _tokens(self, path: str, body: object) -> Any:
        answer = self._service.ask(f"/api/auth/{path}", body)
        assert answer.status == 200, answer.body
        return answer.json()

    @staticmethod
    def _bearer(tokens: Mapping[str, str]) -> dict[str, str]:
        return {"Authorization": f"Bearer {tokens['access_token']}"}


def _queries() -> Iterator[tuple[str, str, bool]]:
    """Yield where each query is, the query as it is without its defaults, and whether it is about one moment."""
    for uid, panel in PANELS:
        for target in panel["targets"]:
            yield f"{uid}/{slug(panel['title'])}", DEFAULTS.sub("", filled(target["expr"])), target["instant"]
    for uid, board in BOARDS.items():
        for annotation in board["annotations"]["list"]:
            yield f"{uid}, annotation", filled(annotation["expr"]), False


def _has_data(prometheus: Prometheus, expression: str, *, is_instant: bool) -> bool:
    if is_instant:
        values = [series["value"] for series in prometheus.query(expression)]
    else:
        now = time.time()  # noqa: TID251 - Prometheus goes by the clock of the machine
        values = [
            value for series in prometheus.query_range(expression, now - 10, now, 1) for value in series["values"]
        ]
    return any(math.isfinite(float(value)) for _, value in values)


def test_every_query_has_data_of_a_service_that_is_used(start: Start, settings: dict[str, str], watch: Watch) -> None:
    """And the alerts are on the graphs: tokens that come back are told of in seconds, as fast as the rules are here."""
    more = {
        "AUTHSVC_LIMIT_ORIGIN": "10000/300",
        "AUTHSVC_LIMIT_REGISTER": "10000/3600",
        "AUTHSVC_PASSWORD_REFUSAL_SECONDS": "0.1",
    }
    service = start("serve", settings={**settings, **more})
    service.until_it_says("serving")
    prometheus = watch(service)
    visitors = Visitors(service)
    empty = set(_queries())
    deadline = time.monotonic() + PATIENCE
    while empty:
        assert time.monotonic() < deadline, "\n".join(f"{where}: {what}" for where, what, _ in sorted(empty))
        visitors.come()
        empty = {query for query in empty if not _has_data(prometheus, query[1], is_instant=query[2])}
