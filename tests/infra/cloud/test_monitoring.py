"""What the component registers of a stack: who is told, of what, and what is asked from outside."""

import json
import re
from copy import deepcopy
from typing import Any

import pulumi
import pytest
import yaml

from authsvc.web.keys import JWKS_PATH
from infra import stack
from infra.components.monitoring import (
    JWKS_TEXT,
    LOGIN_PATH,
    LOGIN_TEXT,
    Monitoring,
    MonitoringArgs,
    recipients_of,
)
from infra.monitoring import OBJECTIVES, objectives
from infra.monitoring.cloud.expressions import rule_files
from infra.monitoring.cloud.objectives import service_level_objectives
from infra.monitoring.cloud.plan import plan
from infra.monitoring.rules import each_rule
from infra.settings import Settings, SettingsError
from infra.sizing import stack_file
from tests.conftest import Client
from tests.infra.cloud import stacks
from tests.infra.cloud.recording import record
from tests.infra.cloud.watched import DEV, dev, prod

Inputs = list[tuple[str, dict[str, Any]]]
POLICY = "gcp:monitoring/alertPolicy:AlertPolicy"
CHANNEL = "gcp:monitoring/notificationChannel:NotificationChannel"
UPTIME = "gcp:monitoring/uptimeCheckConfig:UptimeCheckConfig"
DASHBOARD = "gcp:monitoring/dashboard:Dashboard"
SLO = "gcp:monitoring/slo:Slo"


def registered(settings: Settings) -> Inputs:
    """Return type and inputs of what is registered of a stack."""

    def program() -> None:
        url = pulumi.Output.from_input(f"https://{settings.domain or 'authsvc-1.europe-west1.run.app'}")
        Monitoring("authsvc", MonitoringArgs(settings.project, settings.monitoring, plan(settings), url))

    return [(each.type, each.inputs) for each in record(program, stack=settings.stack)]


def of(made: Inputs, kind: str) -> list[dict[str, Any]]:
    """Return the inputs of each resource of a type."""
    return [inputs for each, inputs in made if each == kind]


@pytest.fixture(scope="module")
def made() -> Inputs:
    return registered(prod())


def test_each_policy_is_registered_once_and_as_planned(made: Inputs) -> None:
    planned = {policy.display_name: policy for policy in plan(prod()).alerts.policies}
    policies = {inputs["displayName"]: inputs for inputs in of(made, POLICY)}
    assert len(of(made, POLICY)) == len(planned)
    assert policies.keys() == planned.keys()
    for name, inputs in policies.items():
        policy = planned[name]
        (condition,) = inputs["conditions"]
        assert condition["conditionPrometheusQueryLanguage"] == {
            "query": policy.query,
            "duration": policy.duration,
            "evaluationInterval": policy.evaluation_interval,
            "ruleGroup": policy.rule_group,
            "alertRule": policy.alert_rule,
            "labels": policy.labels,
            # The service has not written a metric yet when it is made.
            "disableMetricValidation": True,
        }
        assert (inputs["severity"], inputs["combiner"]) == (policy.severity, "OR")
        assert inputs["documentation"]["content"] == policy.content
        assert inputs["documentation"]["mimeType"] == "text/markdown"
        assert inputs["documentation"]["subject"] == policy.subject
        assert set(inputs["alertStrategy"]["notificationPrompts"]) == {"OPENED", "CLOSED"}
        assert inputs["alertStrategy"]["autoClose"] == "1800s"


def test_pages_reach_everybody_and_tickets_those_who_work_by_day(made: Inputs) -> None:
    addresses = {inputs["labels"]["email_address"] for inputs in of(made, CHANNEL)}
    assert addresses == {"team@example.com", "pager@example.com"}
    severities = set()
    for inputs in of(made, POLICY):
        severity = inputs["conditions"][0]["conditionPrometheusQueryLanguage"]["labels"]["severity"]
        severities.add(severity)
        told = {re.sub(r"^.*/authsvc-|-[0-9a-f]{7}$", "", channel) for channel in inputs["notificationChannels"]}
        assert told == (addresses if severity == "page" else {"team@example.com"})
    assert severities == {"page", "ticket"}


def test_where_only_a_pager_is_given_tickets_reach_it_and_an_address_given_twice_is_one_channel() -> None:
    only = prod(monitoring={"pagerEmails": ["pager@example.com"]})
    for policy in plan(only).alerts.policies:
        assert recipients_of(policy, only.monitoring) == ["pager@example.com"]
    twice = prod(monitoring={"emails": ["a@example.com"], "pagerEmails": ["a@example.com"]})
    made = registered(twice)
    assert len(of(made, CHANNEL)) == 1
    assert all(len(inputs["notificationChannels"]) == 1 for inputs in of(made, POLICY))


def test_an_alert_links_to_its_dashboard_and_to_its_runbook_where_that_is_known() -> None:
    runbooks = "https://git.example.com/authsvc/docs/runbooks"
    made = registered(prod(monitoring={"emails": ["team@example.com"], "runbooks": runbooks}))
    for inputs in of(made, POLICY):
        links = {link["displayName"]: link["url"] for link in inputs["documentation"]["links"]}
        assert len(links) <= 3
        assert re.fullmatch(
            r"https://console\.cloud\.google\.com/monitoring/dashboards/builder/authsvc-[a-z-]+-[0-9a-f]{7}\?project=my-company-auth",
            links["Dashboard"],
        )
        assert links["Runbook"].startswith(f"{runbooks}/")


def test_all_is_in_the_project_with_every_dashboard(made: Inputs) -> None:
    assert {inputs["project"] for kind, inputs in made if kind.startswith("gcp:")} == {"my-company-auth"}
    boards = [json.loads(inputs["dashboardJson"]) for inputs in of(made, DASHBOARD)]
    assert {board["displayName"] for board in boards} == {
        board["displayName"] for board in plan(prod()).dashboards.values()
    }


def test_the_public_url_is_asked_from_outside_by_https_from_enough_places(made: Inputs) -> None:
    checks = of(made, UPTIME)
    assert {inputs["httpCheck"]["path"] for inputs in checks} == {LOGIN_PATH, JWKS_PATH}
    for inputs in checks:
        assert inputs["monitoredResource"] == {
            "type": "uptime_url",
            "labels": {"project_id": "my-company-auth", "host": "auth.example.com"},
        }
        http = inputs["httpCheck"]
        assert (http["useSsl"], http["validateSsl"], http["port"]) == (True, True, 443)
        # Google wants three places at least; the USA has three of them.
        assert set(inputs["selectedRegions"]) >= {"USA", "EUROPE", "ASIA_PACIFIC"}
        # The alert looks at each minute.
        assert inputs["period"] == "60s"


async def test_the_service_gives_what_the_checks_look_for(client: Client) -> None:
    for path, text in ((LOGIN_PATH, LOGIN_TEXT), (JWKS_PATH, JWKS_TEXT)):
        response = await client.get(path)
        assert response.status == 200
        assert text in await response.text()
    # It is not on any page: what stands in for the login page would not pass.
    assert LOGIN_TEXT not in await (await client.get("/")).text()


def test_what_scales_to_zero_is_not_kept_awake_by_checks() -> None:
    made = registered(dev())
    assert not of(made, UPTIME)


def test_where_nobody_is_told_there_is_no_policy_and_a_rule_that_is_wrong_is_refused_all_the_same() -> None:
    made = registered(dev())
    assert not of(made, CHANNEL)
    assert not of(made, POLICY)
    assert of(made, DASHBOARD)
    with pytest.raises(SettingsError, match="is no PromQL"):
        plan(dev(), {"rules.yml": {"groups": [{"name": "g", "rules": [{"alert": "A", "expr": "sum("}]}]}})
    heard = Settings.read("dev", {**DEV, "authsvc:monitoring": {"pagerEmails": ["pager@example.com"]}})
    policies = of(registered(heard), POLICY)
    assert policies
    assert all(len(inputs["notificationChannels"]) == 1 for inputs in policies)


def test_objectives_are_those_of_the_file_that_count_requests(made: Inputs) -> None:
    promised = {each.name.replace("_", "-"): each for each in objectives.read(OBJECTIVES) if each.kind != "feed"}
    registered_ = {inputs["sloId"]: inputs for inputs in of(made, SLO)}
    assert registered_.keys() == promised.keys()
    for slo_id, inputs in registered_.items():
        objective = promised[slo_id]
        assert inputs["goal"] == pytest.approx(float(objective.target))
        assert inputs["rollingPeriodDays"] == 30
        indicator = inputs["requestBasedSli"]
        if objective.kind == "latency":
            cut = indicator["distributionCut"]
            assert cut["range"] == {"max": objective.what["seconds"]}
            assert labels_of(cut["distributionFilter"]) == {
                "metric.type": {"prometheus.googleapis.com/authsvc_http_request_duration_seconds/histogram"},
                "status": {"2xx", "3xx"},
                **_everywhere(objective),
            }
        else:
            ratio = indicator["goodTotalRatio"]
            total = {
                "metric.type": {"prometheus.googleapis.com/authsvc_http_requests_total/counter"},
                **_everywhere(objective),
            }
            assert labels_of(ratio["totalServiceFilter"]) == total
            assert labels_of(ratio["badServiceFilter"]) == {**total, "status": {"5xx"}}


def test_the_first_update_of_a_stack_has_no_objective_of_a_metric_that_is_not_there_yet() -> None:
    """Google: “The metric referenced by the provided filter is unknown”, which ends the update."""
    for name in ("dev", "prod"):
        file = yaml.safe_load((stacks.INFRA / f"Pulumi.{name}.yaml").read_text())["config"]
        filled_in = Settings.read(name, stack_file.filled_in(file, stacks.FILLED_IN))
        assert not of(registered(filled_in), SLO)


def test_what_an_objective_looks_at_is_what_its_alerts_look_at() -> None:
    """Its filters, and the matchers of the recording rules: method, route, status."""
    rules = {rule["record"]: rule["expr"] for rule in each_rule(rule_files().values()) if "record" in rule}
    for objective in service_level_objectives():
        expression = rules[f"authsvc:{objective.slo_id.replace('-', '_')}_bad:ratio_rate1h"]
        asked = {
            label: set(values.split("|"))
            for label, values in re.findall(r'(method|route|status)=~?"([^"]+)"', expression)
        }
        told = labels_of(objective.distribution or objective.bad or "")
        assert {name: told[name] for name in asked} == asked


@pytest.mark.parametrize("expression", ["sum(up", "rate(up)"])
def test_a_rule_that_does_not_parse_stops_the_stack_before_anything_is_registered(
    expression: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = deepcopy(rule_files())
    next(rule for rule in each_rule(files.values()) if rule.get("alert") == "InstanceDown")["expr"] = expression
    monkeypatch.setattr("infra.monitoring.cloud.alert_policies.rule_files", lambda: files)
    # No engine is there: whatever registered something would fail for that.
    with pytest.raises(SettingsError) as caught:
        stack.build(prod())
    (fault,) = caught.value.faults
    assert fault.startswith("infra/monitoring/rules/causes.yml: InstanceDown is no PromQL (")


def test_where_runbooks_are_is_an_address() -> None:
    with pytest.raises(SettingsError) as caught:
        prod(monitoring={"emails": ["team@example.com"], "runbooks": "docs/runbooks"})
    assert caught.value.faults == [
        "authsvc:monitoring.runbooks must be the address of the folder docs/runbooks; it is 'docs/runbooks'."
    ]


def _everywhere(objective: objectives.Objective) -> dict[str, set[str]]:
    return {
        "resource.type": {"prometheus_target"},
        "job": {"authsvc"},
        "method": {objective.what["method"]},
        "route": set(objective.what["routes"]),
    }


def labels_of(text: str) -> dict[str, set[str]]:
    """Return what a monitoring filter asks of each label, and refuse what is none."""
    found = {}
    for clause in text.split(" AND "):
        match = re.fullmatch(
            r'(metric\.type|resource\.type|(?:metric|resource)\.labels\.(\w+))=("[^"]+"|one_of\(.+\))', clause
        )
        assert match, clause
        found[match[2] or match[1]] = set(re.findall(r'"([^"]+)"', match[3]))
    return found
