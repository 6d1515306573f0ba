"""Rules hold in promtool; alert, runbook, panel, metric and case hold together."""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from authsvc.__main__ import cli
from authsvc.config import Config
from authsvc.events import KINDS
from authsvc.metrics import LIMIT_OUTCOMES, REQUEST_BUCKETS
from authsvc.runtime import LAG_BUCKETS
from authsvc.store.faults import FAULTS
from authsvc.web.routes import ROUTES
from infra.monitoring import OBJECTIVES, RULES, objectives
from infra.monitoring.dashboards.links import panel_ids
from infra.monitoring.rules import Rules, each_rule, inlined, metrics, read, scaled, scaled_duration, write
from tests.conftest import FrozenClock
from tests.infra.conftest import ROOT, Promtool
from tests.web.helpers import composed

FILES = sorted(RULES.glob("*.yml"))
CASES = sorted((RULES / "tests").glob("*.yml"))
RULE_FILES = {path.name: read(path) for path in FILES}
EVERY_RULE = list(each_rule(RULE_FILES.values()))
ALERTS = [rule for rule in EVERY_RULE if "alert" in rule]
RECORDS = {rule["record"]: rule["expr"] for rule in EVERY_RULE if "record" in rule}
RUNBOOKS = ROOT / "docs" / "runbooks"
each_runbook = pytest.mark.parametrize(
    "path", sorted(path for path in RUNBOOKS.glob("*.md") if path.stem != "README"), ids=lambda path: path.stem
)
OBSERVABILITY = (ROOT / "docs" / "observability.md").read_text("utf-8")
# Name, type, labels, meaning.
CATALOGUE = {
    name: (kind, set(re.findall(r"`(\w+)`", labels)))
    for name, kind, labels in re.findall(
        r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", (ROOT / "docs" / "metrics.md").read_text("utf-8"), re.MULTILINE
    )
}
FOREIGN = set(re.findall(r"^\| `(\w+)` \| [A-Zt]", OBSERVABILITY, re.MULTILINE))
PARTS = ("What it means", "See", "Stop the bleeding", "Mend", "Afterwards")
CHECKS = [
    check
    for path in CASES
    for test in yaml.safe_load(path.read_text("utf-8"))["tests"]
    for check in test["alert_rule_test"]
]
# Those of an outage read every rule; the others would only take their time again.
INLINED = [path for path in CASES if path.name.startswith(("objectives-outage", "objectives-silence"))]
# Not what is compared with the time of day, which no factor changes.
# Feed, silence and causes hold every shape of a rule; what is left out differs by names alone, and takes half a minute.
SCALED = [
    *(path for path in INLINED if not re.search("availability|latency", path.name)),
    *(path for path in CASES if re.match("causes-(?!by-the-clock)", path.name)),
]
FACTOR = 1 / 60


def test_the_rules_of_the_objectives_are_those_of_the_file() -> None:
    made = objectives.HEADER + write(objectives.rules(objectives.read(OBJECTIVES)))
    assert (RULES / "objectives.yml").read_text("utf-8") == made, "Run make rules."


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_promtool_accepts_the_rules(promtool: Promtool, path: Path) -> None:
    promtool.accepts_rules(path)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_each_alert_comes_at_its_minute_and_not_below(promtool: Promtool, path: Path) -> None:
    promtool.sees_alerts_come(path)


@pytest.mark.parametrize("path", INLINED, ids=lambda path: path.name)
def test_the_same_alerts_come_without_recording_rules(promtool: Promtool, path: Path, tmp_path: Path) -> None:
    case = yaml.safe_load(path.read_text("utf-8"))
    for test in case["tests"]:
        test.pop("promql_expr_test", None)
    rules = inlined(RULE_FILES[Path(name).name] for name in case["rule_files"])
    assert not [rule for rule in each_rule([rules]) if "record" in rule or ":" in "".join(metrics(rule["expr"]))]
    promtool.sees_alerts_come(_laid_out(tmp_path, case, rules))


@pytest.mark.parametrize("path", SCALED, ids=lambda path: path.name)
def test_the_same_alerts_come_sixty_times_sooner_when_scaled(promtool: Promtool, path: Path, tmp_path: Path) -> None:
    """As many things happen in a sixtieth of the time: only what is no count, no share and no age would differ."""
    case = yaml.safe_load(path.read_text("utf-8"))
    case["evaluation_interval"] = scaled_duration(case["evaluation_interval"], FACTOR)
    for test in case["tests"]:
        test["interval"] = scaled_duration(test["interval"], FACTOR)
        for check in chain(test["alert_rule_test"], test.get("promql_expr_test", ())):
            check["eval_time"] = scaled_duration(check["eval_time"], FACTOR)
    rules = scaled(RULE_FILES[Path(case["rule_files"][0]).name], FACTOR)
    promtool.sees_alerts_come(_laid_out(tmp_path, case, rules))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels'].get('burn_rate', '')}")
def test_each_alert_has_a_case_in_which_it_comes_and_one_in_which_it_stays_silent(alert: Rules) -> None:
    expected = {
        any(alert["labels"].items() <= each["exp_labels"].items() for each in check["exp_alerts"])
        for check in CHECKS
        if check["alertname"] == alert["alert"]
    }
    assert expected == {True, False}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels'].get('burn_rate', '')}")
def test_each_alert_says_what_is_to_be_known(alert: Rules) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    told = alert["annotations"]
    assert set(told) == {"summary", "description", "dashboard", "runbook_url"}
    assert told["runbook_url"] == f"docs/runbooks/{alert['alert']}.md"
    uid, panel = told["dashboard"].split("/")
    row = re.search(rf"^\| `{uid}` \| (.+) \|$", OBSERVABILITY, re.MULTILINE)
    assert row, f"docs/observability.md names no dashboard {uid}"
    assert f"`{panel}`" in row[1], f"docs/observability.md names no panel {panel} of {uid}"


def test_no_panel_is_named_to_which_no_alert_leads() -> None:
    named = {
        f"{uid}/{panel}"
        for uid, panels in re.findall(
            r"^\| `([a-z-]+)` \| (`[a-z-]+`(?:, `[a-z-]+`)*) \|$", OBSERVABILITY, re.MULTILINE
        )
        for panel in re.findall(r"`([\w-]+)`", panels)
    }
    assert named == {alert["annotations"]["dashboard"] for alert in ALERTS}


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    names = {alert["alert"] for alert in ALERTS}
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == names
    index = (RUNBOOKS / "README.md").read_text("utf-8")
    assert set(re.findall(r"\]\((\w+)\.md\)", index)) == names


@each_runbook
def test_a_runbook_has_its_parts_and_names_what_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith(f"# {path.stem}\n")
    assert tuple(re.findall(r"^## (.+)$", text, re.MULTILINE)) == PARTS
    assert [link for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", text) if not (path.parent / link).exists()] == []
    queries = re.findall(r"^    promql: (.+)$", text, re.MULTILINE)
    assert queries, "a query says what is the matter"
    assert {_base(name) for query in queries for name in metrics(query)} <= CATALOGUE.keys() | FOREIGN | RECORDS.keys()


@each_runbook
def test_a_runbook_sends_nobody_where_nothing_is(path: Path) -> None:
    text = path.read_text("utf-8")
    assert set(re.findall(r"panel `([^`]+)`", text)) <= panel_ids().keys()
    assert "30 days" not in text or "ratio_rate3d" not in text, "that is of 3 days"
    if re.match("(Refresh|Me).*Burn", path.stem):
        assert "password_hash" not in text, "no password is hashed there"


@each_runbook
def test_promtool_parses_the_queries_of_a_runbook(promtool: Promtool, path: Path, tmp_path: Path) -> None:
    queries = re.findall(r"^    promql: (.+)$", path.read_text("utf-8"), re.MULTILINE)
    promtool.accepts_queries(queries, tmp_path)


@each_runbook
def test_the_commands_of_a_runbook_exist_with_their_options(path: Path) -> None:
    for line in re.findall(r"^ +\$ authsvc (.+)$", path.read_text("utf-8"), re.MULTILINE):
        command: click.Command = cli
        for word in shlex.split(line.partition("|")[0]):
            if word.startswith("--"):
                assert word in {option for parameter in command.params for option in parameter.opts}, line
            elif isinstance(command, click.Group):
                assert word in command.commands, line
                command = command.commands[word]
        assert not isinstance(command, click.Group), line


def test_every_metric_in_a_rule_is_in_the_catalogue_with_its_labels() -> None:
    unknown = defaultdict(set)
    for rule in EVERY_RULE:
        for name in metrics(rule["expr"]) - RECORDS.keys():
            if _base(name) not in CATALOGUE.keys() | FOREIGN:
                unknown[name].add(rule.get("alert") or rule["record"])
        for name, label, _value in _matchers(rule["expr"]):
            labels = CATALOGUE.get(_base(name), ("", set()))[1] | {"job", "instance"}
            if label not in labels | ({"le"} if name.endswith("_bucket") else set()):
                unknown[f"{name}{{{label}}}"].add(rule.get("alert") or rule["record"])
    assert not unknown


def test_what_is_not_exposed_yet_is_not_in_the_catalogue_and_is_used() -> None:
    used = {name for rule in EVERY_RULE for name in metrics(rule["expr"])}
    assert FOREIGN
    assert not FOREIGN & CATALOGUE.keys()
    assert used >= FOREIGN


def test_no_recording_rule_is_without_a_reader() -> None:
    assert {name for rule in ALERTS for name in metrics(rule["expr"])} >= RECORDS.keys()


async def test_values_of_labels_are_those_of_the_service(config: Config, clock: FrozenClock) -> None:
    routes = {(route.method, route.path) for route in (await composed(config, clock))[ROUTES].values()}
    known = {
        "event": {kind.tag for kind in KINDS},
        "outcome": set(LIMIT_OUTCOMES),
        "fault": {fault.word for fault in FAULTS.values()},
        "route": {path for _method, path in routes},
        "method": {method for method, _path in routes},
        "status": {"2xx", "3xx", "4xx", "5xx"},
        "reason": {"queue_full", "client_gone"},
        "job": {"authsvc"},
        "le": {str(bound) for bound in (*REQUEST_BUCKETS, *LAG_BUCKETS)},
    }
    named = {(label, each) for rule in EVERY_RULE for _name, label, value in _matchers(rule["expr"]) for each in value}
    assert {(label, value) for label, value in named if value not in known[label]} == set()
    for objective in objectives.read(OBJECTIVES):
        for route in objective.what.get("routes", ()):
            assert (objective.what["method"], route) in routes


def _laid_out(folder: Path, case: dict[str, Any], rules: Rules) -> Path:
    (folder / "rules.yml").write_text(write(rules))
    path = folder / "case.yml"
    path.write_text(yaml.safe_dump({**case, "rule_files": ["rules.yml"]}))
    return path


def _matchers(expression: str) -> Iterator[tuple[str, str, list[str]]]:
    """Yield metric, label and values of each matcher."""
    for name, inside in re.findall(r"(\w+)\{([^}]*)\}", expression):
        for label, value in re.findall(r'(\w+)=~?"([^"]*)"', inside):
            yield name, label, value.split("|")


def _base(name: str) -> str:
    """Return the histogram of a series of one, and else the name."""
    base = re.sub(r"_(bucket|count|sum)$", "", name)
    return base if CATALOGUE.get(base, ("",))[0] == "histogram" else name
