"""Rules as data: what is read from an expression, and what changes when it is scaled, inlined or linked."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from authsvc.metrics import Metrics
from infra.monitoring import OBJECTIVES, RULES, objectives
from infra.monitoring.__main__ import main
from infra.monitoring.rules import Rules, inlined, linked, metrics, read, scaled, scaled_duration


def _file(*rules: dict[str, object]) -> Rules:
    return {"groups": [{"name": "group", "interval": "1m", "rules": list(rules)}]}


@pytest.mark.parametrize(
    "expression, names",
    [
        ('sum by (instance) (rate(a_total{b="c_total",d=~"e|f"}[5m])) / on(instance) (g > bool 0)', {"a_total", "g"}),
        ("level:a:rate5m > 14.4 * 0.001 and up{x='}'} or vector(0)", {"level:a:rate5m", "up"}),
        ("time() - max(a) > 1e3", {"a"}),
        ("absent(up == 1) unless b offset 5m", {"up", "b"}),
    ],
)
def test_the_metrics_of_an_expression(expression: str, names: set[str]) -> None:
    assert metrics(expression) == names - {"m"}


@pytest.mark.parametrize(
    "duration, factor, scaled_to",
    [
        ("1h", 1 / 60, "1m"),
        ("5m", 1 / 60, "5s"),
        ("3d", 1 / 60, "72m"),
        ("30s", 1 / 60, "500ms"),
        ("1h30m", 2, "3h"),
        ("2m", 1, "2m"),
    ],
)
def test_a_duration_times_a_factor(duration: str, factor: float, scaled_to: str) -> None:
    assert scaled_duration(duration, factor) == scaled_to


def test_what_would_be_shorter_than_a_millisecond_is_refused() -> None:
    with pytest.raises(ValueError, match=r"1s times 0.0001 is less than a millisecond: take a larger factor"):
        scaled_duration("1s", 0.0001)


def test_windows_waits_and_intervals_are_scaled_and_nothing_else() -> None:
    expression = 'rate(a_1h{b="[5m] offset 5m"}[5m:30s]) > 300 and b:rate5m offset 1h > time() - 3600'
    rules = _file({"alert": "A", "expr": expression, "for": "2m", "annotations": {"summary": "in the last 1h"}})
    changed = scaled(rules, 1 / 60)
    assert changed["groups"][0]["interval"] == "1s"
    assert changed["groups"][0]["rules"] == [
        {
            "alert": "A",
            "expr": 'rate(a_1h{b="[5m] offset 5m"}[5s:500ms]) > 300 and b:rate5m offset 1m > time() - 3600',
            "for": "2s",
            "annotations": {"summary": "in the last 1h"},
        }
    ]
    assert rules["groups"][0]["rules"][0]["for"] == "2m", "what was given is left as it is"


def test_recording_rules_stand_where_their_names_stood_also_within_each_other() -> None:
    rules = inlined(
        [
            _file({"record": "a:b", "expr": "rate(c[5m])\n"}, {"record": "a:b:c", "expr": "a:b / 2"}),
            _file({"alert": "A", "expr": 'a:b:c > 1 and x{y="a:b"} > a:b:cd'}),
        ]
    )
    assert [rule["expr"] for rule in rules["groups"][0]["rules"]] == ['((rate(c[5m])) / 2) > 1 and x{y="a:b"} > a:b:cd']


def test_a_recording_rule_that_adds_labels_cannot_be_inlined() -> None:
    with pytest.raises(ValueError, match="a:b adds labels"):
        inlined([_file({"record": "a:b", "expr": "c", "labels": {"d": "e"}})])


def test_links_lead_to_the_addresses_that_are_given() -> None:
    rules = _file({"alert": "A", "expr": "a", "annotations": {"dashboard": "b/c", "runbook_url": "docs/runbooks/A.md"}})
    changed = linked(
        rules,
        runbooks="https://git.example.com/runbooks/",
        dashboards="https://grafana.example.com",
        panels={"b/c": 3},
    )
    assert changed["groups"][0]["rules"][0]["annotations"] == {
        "dashboard": "https://grafana.example.com/d/b?viewPanel=3",
        "runbook_url": "https://git.example.com/runbooks/A.md",
    }
    assert linked(rules) == rules


def test_annotations_that_two_rules_share_are_linked_once() -> None:
    """YAML's anchors give two rules one dictionary."""
    shared = {"dashboard": "b/c"}
    rules = _file(
        {"alert": "A", "expr": "a", "annotations": shared}, {"alert": "B", "expr": "b", "annotations": shared}
    )
    changed = linked(rules, dashboards="https://grafana.example.com")["groups"][0]["rules"]
    assert [rule["annotations"]["dashboard"] for rule in changed] == ["https://grafana.example.com/d/b"] * 2


def test_the_command_writes_all_rules_into_a_folder(tmp_path: Path) -> None:
    arguments = ["--into", str(tmp_path / "new"), "--scale", "1/60", "--runbooks", "https://git.example.com"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    written = {path.name: read(path) for path in (tmp_path / "new").iterdir()}
    expected = {path.name: read(path) for path in RULES.glob("*.yml")}
    assert written == {
        name: linked(scaled(rules, 1 / 60), runbooks="https://git.example.com") for name, rules in expected.items()
    }


@pytest.mark.parametrize("factor", ["0", "-1", "fast", "1/0"])
def test_a_factor_that_is_none_is_refused(factor: str) -> None:
    result = CliRunner().invoke(main, ["--scale", factor])
    assert result.exit_code == 2
    assert "Give a number above 0: 1/60, or 0.1." in result.output


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"target": 1}, "target 1 must be below 1 and above 0.9306"),
        ({"target": 0.93}, "target 0.93 must be below 1 and above 0.9306"),
        ({"targett": 0.9}, "has targett, which is not understood"),
        ({"latency": {}}, "needs exactly one of availability, latency, feed"),
        ({"availability": {"method": "GET"}}, "availability lacks routes"),
        ({"name": "login_latency"}, "name login_latency is given twice"),
        ({"alert": "LoginLatencyBudgetBurn"}, "alert LoginLatencyBudgetBurn is given twice"),
    ],
)
def test_an_objective_at_fault_is_refused_in_a_sentence(
    change: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    document = yaml.safe_load(OBJECTIVES.read_text("utf-8"))
    document["objectives"][0].update(change)
    with pytest.raises(objectives.ObjectivesError, match=sentence):
        objectives.read(_written(tmp_path, document))


@pytest.mark.parametrize("seconds", [0.3, 10, 0, "0.5", None])
def test_a_latency_that_no_bucket_counts_is_refused_with_the_buckets_that_there_are(
    seconds: object, tmp_path: Path
) -> None:
    sentence = f"login_latency: latency: seconds {seconds} is no bucket of the histogram: take one of 0.001, .*, 2.5, 5"
    with pytest.raises(objectives.ObjectivesError, match=sentence):
        objectives.read(_written(tmp_path, _with_login_latency(seconds)))


@pytest.mark.parametrize("seconds", [1, 0.5])
def test_a_bucket_is_spelt_as_the_service_spells_it(seconds: float, tmp_path: Path) -> None:
    exposed = Metrics()
    exposed.request("POST", "/login", 200, seconds)
    expression = objectives.read(_written(tmp_path, _with_login_latency(seconds)))[1].ratio("5m")
    (bound,) = set(re.findall(r'le="([^"]+)"', expression))
    assert f'status="2xx",le="{bound}"}} 1' in exposed.render().decode()


def _with_login_latency(seconds: object) -> Any:
    document = yaml.safe_load(OBJECTIVES.read_text("utf-8"))
    document["objectives"][1]["latency"]["seconds"] = seconds
    return document


def _written(folder: Path, document: object) -> Path:
    file = folder / "objectives.yml"
    file.write_text(yaml.safe_dump(document))
    return file
