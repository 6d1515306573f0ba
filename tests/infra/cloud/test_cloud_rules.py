"""Rules over Google's own metrics hold in promtool; alert, case, runbook and panel hold together."""

import re
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from infra.monitoring.cloud import CLOUD_RULES, ROOT
from infra.monitoring.cloud.dashboards import GOOGLE
from infra.monitoring.dashboards.links import slug
from infra.monitoring.rules import each_rule, metrics, read
from tests.infra.conftest import Promtool

FILES = sorted(CLOUD_RULES.glob("*.yml"))
CASES = sorted((CLOUD_RULES / "tests").glob("*.yml"))
RULES = list(each_rule(read(path) for path in FILES))
ALERTS = [rule for rule in RULES if "alert" in rule]
RUNBOOKS = ROOT / "docs" / "runbooks" / "google-cloud"
PAGES = sorted(path for path in RUNBOOKS.glob("*.md") if path.stem != "README")
PARTS = ["What it means", "See", "Stop the bleeding", "Mend", "Afterwards"]
BOARD = yaml.safe_load(GOOGLE.read_text("utf-8"))
CHECKS = [
    check
    for path in CASES
    for test in yaml.safe_load(path.read_text("utf-8"))["tests"]
    for check in test.get("alert_rule_test", [])
]

each_alert = pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: rule["alert"])
each_runbook = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_promtool_accepts_the_rules(promtool: Promtool, path: Path) -> None:
    promtool.accepts_rules(path)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_each_alert_comes_at_its_minute_and_not_below(promtool: Promtool, path: Path) -> None:
    promtool.sees_alerts_come(path)


@each_alert
def test_each_alert_has_a_case_in_which_it_comes_and_one_in_which_it_stays_silent(alert: dict[str, Any]) -> None:
    assert {bool(check["exp_alerts"]) for check in CHECKS if check["alertname"] == alert["alert"]} == {True, False}


@each_alert
def test_each_alert_has_a_runbook_and_a_panel(alert: dict[str, Any]) -> None:
    annotations = alert["annotations"]
    assert annotations["runbook_url"] == f"docs/runbooks/google-cloud/{alert['alert']}.md"
    uid, _, panel = annotations["dashboard"].partition("/")
    assert uid == BOARD["uid"]
    assert panel in {slug(each["title"]) for each in BOARD["panels"]}


def test_no_runbook_is_without_an_alert_and_the_table_has_all_with_their_severity() -> None:
    table = re.findall(
        r"^\| \[(\w+)\]\(\1\.md\) \|[^|]+\| (\w+) \|$", (RUNBOOKS / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert {path.stem for path in PAGES} == {rule["alert"] for rule in ALERTS}
    assert sorted(table) == sorted((rule["alert"], rule["labels"]["severity"]) for rule in ALERTS)


@each_runbook
def test_a_runbook_has_its_parts_and_asks_what_parses(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith(f"# {path.stem}\n")
    assert re.findall("^## (.+)$", text, re.MULTILINE) == PARTS
    queries = re.findall("^ +promql: (.+)$", text, re.MULTILINE)
    assert queries
    for query in queries:
        promql_parser.parse(query)
        assert not _without_resource(query)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_say_which_resource_they_mean(rule: dict[str, Any]) -> None:
    """Google refuses a metric that several kinds of resource have, and more of them get some: then a rule would end."""
    assert not _without_resource(rule["expr"])


@pytest.mark.parametrize("panel", BOARD["panels"], ids=lambda panel: panel["title"])
def test_panels_say_which_resource_they_mean(panel: dict[str, Any]) -> None:
    for query in panel["queries"].values():
        promql_parser.parse(query)
        assert not _without_resource(query)


def _without_resource(expression: str) -> list[str]:
    """Return the metrics of Google's, `service.googleapis.com/…`, that are asked for without a kind of resource."""
    named = re.findall(r'(\w+_googleapis_com:\w+)\{monitored_resource="[\w./]+"', expression)
    asked = re.findall(r"\w+_googleapis_com:\w+", expression)
    assert set(asked) <= metrics(expression)
    return [name for name in asked if asked.count(name) != named.count(name)]
