"""The check of names sees each kind of name that the cloud would refuse."""

from typing import Any

import pytest

from tests.infra.cloud import cloud, names
from tests.infra.cloud.recording import Registered


def registered(kind: str, inputs: dict[str, Any], logical: str = "authsvc") -> Registered:
    kind = f"gcp:{kind}"
    return Registered(
        type=kind,
        name=logical,
        urn=f"urn:pulumi:test::authsvc::{kind}::{logical}",
        inputs=inputs,
        outputs=cloud.Cloud(cloud.PROJECT, cloud.REGION).make(kind, logical, inputs).state,
        secret_paths=frozenset(),
        parent="",
        dependencies=frozenset(),
    )


RUN = "cloudrunv2/service:Service"
ALERT = "monitoring/alertPolicy:AlertPolicy"


def run(container: dict[str, Any], **template: Any) -> dict[str, Any]:
    return {"name": "authsvc", "location": cloud.REGION, "template": {"containers": [container], **template}}


def alert(query: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    return {"displayName": "x", "conditions": [{"conditionPrometheusQueryLanguage": query}], **inputs}


@pytest.mark.parametrize(
    "kind, inputs",
    [
        ("serviceaccount/account:Account", {"accountId": "authsvc-serve"}),
        ("storage/bucket:Bucket", {"location": "EU"}),
        (RUN, run({"envs": [{"name": "AUTHSVC_PORT", "value": "8080"}]}, labels={"app": "authsvc"})),
        ("compute/network:Network", {"name": "authsvc"}),
        (
            ALERT,
            alert({"alertRule": "Slow", "duration": "120s", "evaluationInterval": "60s", "labels": {"Big": "x/y"}}),
        ),
        ("monitoring/dashboard:Dashboard", {"dashboardJson": "{}"}),
        ("monitoring/notificationChannel:NotificationChannel", {"labels": {"email_address": "ada@example.com"}}),
    ],
)
def test_what_the_cloud_takes_passes(kind: str, inputs: dict[str, Any]) -> None:
    assert not names.faults(registered(kind, inputs))


@pytest.mark.parametrize(
    "kind, inputs, fault",
    [
        ("serviceaccount/account:Account", {"accountId": "serve"}, "'serve' (5 characters), and must be 6 to 30"),
        ("serviceaccount/account:Account", {"accountId": "authsvc-" + "x" * 23}, "(31 characters)"),
        ("storage/bucket:Bucket", {"name": "google-backup"}, "without google"),
        ("storage/bucket:Bucket", {"name": "Backup"}, "3 to 63"),
        ("secretmanager/secret:Secret", {"secretId": "database/url"}, "letters, digits, _ and -"),
        ("sql/databaseInstance:DatabaseInstance", {"name": "x" * 68, "region": cloud.REGION}, "up to 67"),
        ("sql/user:User", {"name": "authsvc-owner"}, "a name of PostgreSQL"),
        ("compute/urlMap:URLMap", {"name": "authsvc_map"}, "a letter first"),
        ("cloudscheduler/job:Job", {"name": "every day"}, "up to 500"),
        ("projects/service:Service", {"service": "run"}, "the name of an API"),
        ("spanner/instance:Instance", {"name": "x"}, "no rule for the name of spanner/instance:Instance"),
        (RUN, run({}) | {"name": "x" * 50}, "up to 49"),
        (RUN, run({}) | {"labels": {"App": "x"}}, "'App' is no key of a label"),
        (RUN, run({}, labels={"app": "Auth service"}), "'Auth service' is no value of a label"),
        (RUN, run({"name": "App"}), "'App' names a container or a volume"),
        (RUN, run({"envs": [{"name": "PORT"}]}), "'PORT' is no name for a variable"),
        (RUN, run({"envs": [{"name": "A-B"}]}), "'A-B' is no name for a variable"),
        (RUN, run({"envs": [{"name": "A"}, {"name": "A"}]}), "A is set twice"),
        (RUN, run({"volumeMounts": [{"name": "keys"}]}), "'keys' is mounted, and no volume has that name"),
        (ALERT, alert({"alertRule": "Too slow"}), "'Too slow' is no name of a label of Prometheus"),
        (ALERT, alert({"labels": {"9": "x"}}), "'9' is no name of a label of Prometheus"),
        (ALERT, alert({"evaluationInterval": "45s"}), "evaluationInterval is '45s'"),
        (ALERT, alert({"duration": "2m"}), "duration is '2m'"),
        (ALERT, alert({}, documentation={"content": "é" * 4097}), "has 8194 bytes"),
        (ALERT, alert({}, documentation={"links": [{}] * 4}), "more than 3"),
        (ALERT, alert({}, displayName="x" * 513), "longer than 512"),
        (ALERT, alert({}, userLabels={"severity": "Page!"}), "'Page!' is no value of a label"),
        (ALERT, alert({}, userLabels={f"l{n}": "x" for n in range(65)}), "65 labels, and 64 are the most"),
        (
            "compute/securityPolicy:SecurityPolicy",
            {"name": "authsvc", "rules": [{"priority": 1}, {"priority": 1}]},
            "priority 1 is that of two rules",
        ),
        (
            "compute/securityPolicy:SecurityPolicy",
            {"name": "authsvc", "rules": [{"priority": 1, "description": "x" * 65}]},
            "longer than 64",
        ),
    ],
)
def test_what_the_cloud_would_refuse_is_seen(kind: str, inputs: dict[str, Any], fault: str) -> None:
    (found,) = names.faults(registered(kind, inputs))
    assert fault in found


def test_a_name_that_pulumi_makes_is_seen_too() -> None:
    (found,) = names.faults(registered("compute/network:Network", {}, logical="a" * 56))
    assert "(64 characters)" in found
