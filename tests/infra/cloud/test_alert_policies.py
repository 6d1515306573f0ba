"""Each alert that promtool tests is one policy of the cloud: the same expression, time, labels and severity."""

import re
from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from infra.monitoring import RULES
from infra.monitoring.cloud import ROOT
from infra.monitoring.cloud.alert_policies import AlertPolicy, alert_policies
from infra.monitoring.cloud.documentation import LIMIT, SUBJECT_LIMIT, content, translated
from infra.monitoring.cloud.expressions import from_cloud, rule_files
from infra.monitoring.rules import each_rule, metrics, write
from infra.settings import SettingsError
from tests.infra.cloud.cloud import CERTIFICATE
from tests.infra.cloud.watched import EXTERNAL, dev, prod, substituted
from tests.infra.cloud.watched import PROD as PROD_SECTIONS
from tests.infra.conftest import Promtool

FILES = rule_files()
EVERY_RULE = list(each_rule(FILES.values()))
ALERTS = [rule for rule in EVERY_RULE if "alert" in rule]
PROD, DEV = alert_policies(prod()), alert_policies(dev())
CATALOGUE = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "metrics.md").read_text("utf-8"), re.MULTILINE))
CASES = sorted((RULES / "tests").glob("*.yml"))
# What is inlined is evaluated over the cases of an outage by tests/infra/test_rules.py; here it is one of each shape.
QUICK = [path for path in CASES if re.match("causes|objectives-outage-feed", path.name)]
REWRITTEN = {rule["alert"] for rule in ALERTS if metrics(rule["expr"]) & from_cloud(FILES).keys()}

every_policy = pytest.mark.parametrize("policy", PROD.policies, ids=lambda policy: policy.key)


def _key(alert: str, labels: dict[str, str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    return alert, tuple(sorted(labels.items()))


BY_KEY = {_key(rule["alert"], rule["labels"]): rule for rule in ALERTS}


def test_each_alert_is_exactly_one_policy() -> None:
    assert Counter(_key(each.alert_rule, each.labels) for each in PROD.policies) == dict.fromkeys(BY_KEY, 1)
    assert PROD.left_out == {}
    assert len({each.key for each in PROD.policies}) == len(PROD.policies)
    assert len({each.display_name for each in PROD.policies}) == len(PROD.policies)


@every_policy
def test_a_policy_asks_what_its_rule_asks(policy: AlertPolicy) -> None:
    rule = BY_KEY[_key(policy.alert_rule, policy.labels)]
    assert str(promql_parser.parse(policy.query)) == substituted(rule["expr"])


@every_policy
def test_a_policy_waits_as_long_and_is_evaluated_as_often(policy: AlertPolicy) -> None:
    rule = BY_KEY[_key(policy.alert_rule, policy.labels)]
    group = next(group for rules in FILES.values() for group in rules["groups"] if rule in group["rules"])
    assert policy.rule_group == group["name"]
    waits = promql_parser.parse_duration(rule["for"]).total_seconds() if "for" in rule else 0
    assert _seconds(policy.duration) == waits
    assert _seconds(policy.evaluation_interval) == promql_parser.parse_duration(group["interval"]).total_seconds()
    assert _seconds(policy.evaluation_interval) % 30 == 0


@pytest.mark.parametrize("path", QUICK, ids=lambda path: path.name)
def test_the_policies_come_at_the_minute_of_their_alerts(promtool: Promtool, path: Path, tmp_path: Path) -> None:
    """What Google is told, evaluated by a real Prometheus over the samples that the rules are tested with."""
    case = yaml.safe_load(path.read_text("utf-8"))
    for test in case["tests"]:
        test.pop("promql_expr_test", None)
        # Their metrics are made of others here: rules/tests of the cloud has their cases.
        test["alert_rule_test"] = [each for each in test["alert_rule_test"] if each["alertname"] not in REWRITTEN]
    asked = {each["alertname"] for test in case["tests"] for each in test["alert_rule_test"]}
    groups = [_as_group(policy) for policy in PROD.policies if policy.alert_rule in asked]
    case["rule_files"] = ["policies.yml"]
    (tmp_path / "policies.yml").write_text(write({"groups": groups}))
    (tmp_path / "case.yml").write_text(yaml.safe_dump(case))
    promtool.sees_alerts_come(tmp_path / "case.yml")


def test_a_changed_rule_changes_its_policy_and_no_other() -> None:
    files = deepcopy(FILES)
    rule = next(rule for rule in each_rule(files.values()) if rule.get("alert") == "DatabaseUnreachable")
    rule |= {"expr": "authsvc_database_reachable == 3", "for": "7m"}
    changed = alert_policies(prod(), files).policies
    different = [(new, old) for new, old in zip(changed, PROD.policies, strict=True) if new != old]
    assert [(new.key, new.query, new.duration) for new, _ in different] == [
        ("database-unreachable-page", "authsvc_database_reachable == 3", "420s")
    ]


def test_a_changed_recording_rule_changes_each_policy_that_reads_it() -> None:
    files = deepcopy(FILES)
    rule = next(rule for rule in each_rule(files.values()) if str(rule.get("record")).endswith(":ratio_rate3d"))
    rule["expr"] = "vector(0.5)"
    changed = alert_policies(prod(), files).policies
    different = [new.query for new, old in zip(changed, PROD.policies, strict=True) if new != old]
    assert len(different) == 1
    assert "vector(0.5)" in different[0]


@every_policy
def test_a_policy_reads_nothing_but_what_there_is(policy: AlertPolicy) -> None:
    for name in metrics(policy.query):
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        assert (
            name == "up"
            or {name, base} & CATALOGUE
            or re.match(r"(run|monitoring|cloudsql|alloydb|workflows)_googleapis_com:\w+$", name)
        )


@every_policy
def test_a_policy_says_what_happens_and_what_to_do(policy: AlertPolicy) -> None:
    rule = BY_KEY[_key(policy.alert_rule, policy.labels)]
    runbook = (ROOT / rule["annotations"]["runbook_url"]).read_text("utf-8")
    assert policy.severity == {"page": "CRITICAL", "ticket": "WARNING"}[rule["labels"]["severity"]]
    assert policy.is_page == (rule["labels"]["severity"] == "page")
    assert len(policy.content.encode()) <= LIMIT
    assert re.findall("^## .+", policy.content, re.MULTILINE) == re.findall("^## .+", runbook, re.MULTILINE)
    assert rule["annotations"]["runbook_url"] in policy.content
    assert len(policy.subject.encode()) <= SUBJECT_LIMIT
    for text in (policy.subject, policy.content):
        assert "{{" not in text
        # What Google does not know it renders as (none).
        known = r"\$\{metric\.label\.value\}|\$\{metric_or_resource\.label\.\w+\}"
        assert not re.search(r"\$\{", re.sub(known, "", text))


@every_policy
def test_a_notification_names_labels_that_the_query_keeps(policy: AlertPolicy) -> None:
    """`sum by (fault)` has no instance: a sentence about one would be about (none)."""
    grouped = re.match(r"(?:1 - )?(?:sum|max|min|count)\s*(?:by \(([^)]*)\))?", policy.query)
    if not grouped:
        return
    kept = {name.strip() for name in (grouped[1] or "").split(",")} | policy.labels.keys()
    assert set(re.findall(r"label\.(\w+)\}", policy.subject + policy.content)) <= kept | {"value"}


def test_a_long_runbook_is_cut_between_paragraphs_and_says_where_the_rest_is(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = BY_KEY[_key("NoInstance", {"severity": "page"})]
    paragraph = "Ä sentence of some length that is not cut in its middle, wherever the limit may be.\n\n"
    text = "# NoInstance\n\n" + paragraph * 200
    monkeypatch.setattr(Path, "read_text", lambda _path, _encoding: text)
    made = content(rule, "causes.yml", "https://git.example.com/authsvc/docs/runbooks")
    assert LIMIT - 2 * len(paragraph) < len(made.encode()) <= LIMIT
    *_, last, mark, more = made.split("\n\n")
    assert (last, mark) == (paragraph.strip(), "…")
    assert more == ("More: [docs/runbooks/NoInstance.md](https://git.example.com/authsvc/docs/runbooks/NoInstance.md)")


@pytest.mark.parametrize("policies", [PROD, DEV], ids=["prod", "dev"])
def test_links_of_a_runbook_lead_out_of_the_repository_or_name_the_file(policies: Any) -> None:
    for policy in policies.policies:
        for _, target in re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", policy.content):
            assert "://" in target
        for file in re.findall(r"\((docs/[\w/.-]+?\.md)[#)]", policy.content):
            assert (ROOT / file).is_file()


def test_links_of_a_runbook_are_addresses_where_that_of_the_folder_is_known() -> None:
    monitoring = {"emails": ["team@example.com"], "runbooks": "https://git.example.com/authsvc/docs/runbooks/"}
    policies = {policy.key: policy for policy in alert_policies(prod(monitoring=monitoring)).policies}
    made = policies["database-unreachable-page"]
    assert made.runbook == "https://git.example.com/authsvc/docs/runbooks/DatabaseUnreachable.md"
    assert "(https://git.example.com/authsvc/docs/operations.md#when-the-database-fails)" in made.content
    cloud = policies["public-url-failing-page"]
    assert cloud.runbook == "https://git.example.com/authsvc/docs/runbooks/google-cloud/PublicUrlFailing.md"
    assert "(https://git.example.com/authsvc/docs/runbooks/NoInstance.md)" in cloud.content


@pytest.mark.parametrize(
    "text, expected",
    [
        ("{{ $labels.instance }} is gone.", "${metric_or_resource.label.instance} is gone."),
        ("It had {{$value | humanize}} of them.", "It had ${metric.label.value} of them."),
        ("{{ $value | humanizePercentage }} are full.", "${metric.label.value} * 100 % are full."),
        ("Since {{ $value | humanizeDuration }}.", "Since ${metric.label.value} seconds."),
        ("It is late. {{ $value | humanizeTimestamp }} was the hour. Get up!", "It is late. Get up!"),
        ("{{ range query `up` }}x{{ end }}", ""),
        ("Nothing to fill in.", "Nothing to fill in."),
    ],
)
def test_templates_become_variables_or_their_sentence_goes(text: str, expected: str) -> None:
    assert translated(text) == expected


def test_where_nobody_must_be_there_nobody_being_there_is_no_alert() -> None:
    kept = {policy.alert_rule for policy in DEV.policies}
    assert DEV.left_out.keys() == {"NoInstance", "CertificateNearlyExpired"}
    # And of Google's metrics those of a replica and of checks from outside, which it has not.
    assert {rule["alert"] for rule in ALERTS} - kept - DEV.left_out.keys() == {"PublicUrlFailing", "ReplicaLagging"}


def test_a_database_that_is_not_cloud_sql_has_no_alerts_of_cloud_sql() -> None:
    made = alert_policies(prod(database=EXTERNAL))
    assert not [policy.key for policy in made.policies if "cloudsql" in policy.query]
    assert made.left_out.keys() == {"BackupTooOld"}


def test_of_alloydb_too_an_export_that_is_missing_is_told() -> None:
    of_alloydb = {"engine": "alloydb", "caCertificate": CERTIFICATE}
    made = alert_policies(prod(database=PROD_SECTIONS["authsvc:database"] | of_alloydb))
    (policy,) = (each for each in made.policies if each.alert_rule == "BackupTooOld")
    assert not made.left_out
    assert "alloydb_googleapis_com:instance_cpu_average_utilization" in policy.query


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"expr": "sum(rate(up[5m])"}, "infra/monitoring/rules/causes.yml: InstanceDown is no PromQL ("),
        ({"expr": "rate(up)"}, "infra/monitoring/rules/causes.yml: InstanceDown is no PromQL (expected type matrix"),
        ({"expr": "rate(authsvc:login_latency_bad:ratio_rate1h[5m:1m] offset 1x)"}, "InstanceDown is no PromQL ("),
        ({"for": "1500ms"}, "infra/monitoring/rules/causes.yml: InstanceDown waits for 1500ms"),
        (
            {"labels": {"severity": "whisper"}},
            "infra/monitoring/rules/causes.yml: InstanceDown needs the label severity",
        ),
        ({"annotations": {"summary": "Down."}}, "InstanceDown needs the annotation description"),
        ({"alert": "NoInstance", "labels": {"severity": "page"}}, "no-instance-page is the name of two alerts"),
    ],
    ids=["brackets", "types", "duration", "milliseconds", "severity", "annotations", "names"],
)
def test_a_rule_that_cannot_be_a_policy_is_one_sentence_with_file_and_alert(
    change: dict[str, Any], sentence: str
) -> None:
    files = deepcopy(FILES)
    rule = next(rule for rule in each_rule(files.values()) if rule.get("alert") == "InstanceDown")
    rule.update(change)
    with pytest.raises(SettingsError) as caught:
        alert_policies(prod(), files)
    (fault,) = caught.value.faults
    assert sentence in fault
    assert "\n" not in fault


def test_a_group_that_is_evaluated_at_odd_times_is_refused() -> None:
    files = deepcopy(FILES)
    group = next(group for rules in files.values() for group in rules["groups"] if group["name"] == "instances")
    group["interval"] = "45s"
    with pytest.raises(SettingsError, match="NoInstance is evaluated each 45s, and Google Cloud does so at multiples"):
        alert_policies(prod(), files)


def _as_group(policy: AlertPolicy) -> dict[str, Any]:
    rule = {
        "alert": policy.alert_rule,
        "expr": policy.query,
        "for": policy.duration,
        "labels": policy.labels,
        "annotations": BY_KEY[_key(policy.alert_rule, policy.labels)]["annotations"],
    }
    return {"name": policy.key, "interval": policy.evaluation_interval, "rules": [rule]}


def _seconds(duration: str) -> int:
    match = re.fullmatch(r"(\d+)s", duration)
    assert match, duration
    return int(match[1])
