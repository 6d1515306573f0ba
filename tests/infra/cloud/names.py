"""Checks names against the patterns and lengths of the cloud, which mocks and types know nothing of.

Where a stack gives no name, Pulumi makes one of the logical name and eight characters; that one is checked as well.
"""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.infra.cloud.recording import Registered


class Rule(NamedTuple):
    """Where the name of a type stands, what it must match, and that in words."""

    field: str
    pattern: str
    words: str


RFC1035 = r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
RFC1035_WORDS = "up to 63 of a-z, 0-9 and -, a letter first, no - last"
LABEL_KEY, LABEL_VALUE, MAX_LABELS = r"[a-z][a-z0-9_-]{0,62}", r"[a-z0-9_-]{0,63}", 64
PROMETHEUS_LABEL = r"[a-zA-Z_][a-zA-Z0-9_]*"
LABELS = (
    ("labels",),
    ("userLabels",),
    ("settings", "userLabels"),
    ("template", "labels"),
    ("template", "template", "labels"),
)
"""Where the labels of a resource stand."""
RESERVED_VARIABLES = r"PORT|K_SERVICE|K_REVISION|K_CONFIGURATION|CLOUD_RUN_.*|X_GOOGLE_.*"

_COMPUTE = Rule("name", RFC1035, RFC1035_WORDS)
RULES = {
    "serviceaccount/account:Account": Rule(
        "accountId", r"[a-z][a-z0-9-]{4,28}[a-z0-9]", "6 to 30 of a-z, 0-9 and -, a letter first, no - last"
    ),
    "storage/bucket:Bucket": Rule(
        "name", r"(?!goog)(?!.*google)[a-z0-9][a-z0-9_-]{1,61}[a-z0-9]", "3 to 63 of a-z, 0-9, - and _, without google"
    ),
    "cloudrunv2/service:Service": Rule(
        "name", r"[a-z]([a-z0-9-]{0,47}[a-z0-9])?", "up to 49 of a-z, 0-9 and -, a letter first, no - last"
    ),
    "cloudrunv2/job:Job": _COMPUTE,
    "cloudrunv2/jobIamMember:JobIamMember": _COMPUTE,
    "secretmanager/secret:Secret": Rule("secretId", r"[A-Za-z0-9_-]{1,255}", "up to 255 letters, digits, _ and -"),
    # 98 together with the id of the project, which has up to 30, and a colon.
    "sql/databaseInstance:DatabaseInstance": Rule(
        "name", r"[a-z]([a-z0-9-]{0,65}[a-z0-9])?", "up to 67 of a-z, 0-9 and -, a letter first, no - last"
    ),
    "sql/database:Database": Rule("name", r"[a-z_][a-z0-9_]{0,62}", "a name of PostgreSQL that needs no quotes"),
    "sql/user:User": Rule("name", r"[a-z_][a-z0-9_]{0,62}", "a name of PostgreSQL that needs no quotes"),
    "artifactregistry/repository:Repository": Rule("repositoryId", RFC1035, RFC1035_WORDS),
    "workflows/workflow:Workflow": Rule(
        "name", r"[a-z]([a-z0-9_-]{0,62}[a-z0-9])?", "up to 64 of a-z, 0-9, - and _, a letter first"
    ),
    "cloudscheduler/job:Job": Rule("name", r"[A-Za-z0-9_-]{1,500}", "up to 500 letters, digits, _ and -"),
    "monitoring/genericService:GenericService": Rule("serviceId", r"[a-z0-9-]{1,63}", "up to 63 of a-z, 0-9 and -"),
    "monitoring/customService:CustomService": Rule("serviceId", r"[a-z0-9-]{1,63}", "up to 63 of a-z, 0-9 and -"),
    "monitoring/slo:Slo": Rule("sloId", r"[a-z0-9-]{1,63}", "up to 63 of a-z, 0-9 and -"),
    "logging/metric:Metric": Rule(
        "name", r"[A-Za-z0-9_.,+!*'()%/-]{1,100}", "up to 100 letters, digits and _-.,+!*',()%/"
    ),
    "projects/iAMCustomRole:IAMCustomRole": Rule("roleId", r"[A-Za-z0-9_.]{3,64}", "3 to 64 letters, digits, _ and ."),
    "projects/service:Service": Rule("service", r"[a-z]+\.googleapis\.com", "the name of an API"),
    "alloydb/cluster:Cluster": Rule("clusterId", RFC1035, RFC1035_WORDS),
    "alloydb/instance:Instance": Rule("instanceId", RFC1035, RFC1035_WORDS),
    "iam/workloadIdentityPool:WorkloadIdentityPool": Rule(
        "workloadIdentityPoolId", r"(?!gcp-)[a-z0-9-]{4,32}", "4 to 32 of a-z, 0-9 and -, without gcp- in front"
    ),
}
"""By the type, without its package. Those of compute and of the certificates have one rule together."""

UNNAMED = frozenset({"monitoring/notificationChannel:NotificationChannel", "monitoring/alertPolicy:AlertPolicy"})
"""The cloud itself names these."""


def faults(resource: Registered) -> list[str]:
    """Return a sentence for each name of a resource of Google Cloud that the cloud would refuse."""
    package, _, kind = resource.type.partition(":")
    if package != "gcp":
        return []
    found = [*_of_name(resource, kind), *_of_labels(resource, kind)]
    found += {
        "cloudrunv2/service:Service": lambda inputs: _of_containers(inputs["template"]),
        "cloudrunv2/job:Job": lambda inputs: _of_containers(inputs["template"]["template"]),
        "monitoring/alertPolicy:AlertPolicy": _of_alert,
        "compute/securityPolicy:SecurityPolicy": _of_security_policy,
    }.get(kind, lambda _: [])(resource.inputs)
    return [f"{resource.name}: {fault}" for fault in found]


def _of_name(resource: Registered, kind: str) -> Iterator[str]:
    one_rule = kind.startswith(("compute/", "certificatemanager/"))
    rule = RULES.get(kind) or (_COMPUTE if one_rule and "name" in resource.outputs else None)
    if rule is None:
        if named := {"name"} & resource.inputs.keys() - ({"name"} if kind in UNNAMED else set()):
            yield f"no rule for the {named.pop()} of {kind}: add it to names.py"
        return
    name = str(resource.outputs.get(rule.field, ""))
    if not re.fullmatch(rule.pattern, name):
        yield f"{rule.field} is {name!r} ({len(name)} characters), and must be {rule.words}"


def _of_labels(resource: Registered, kind: str) -> Iterator[str]:
    for *path, last in LABELS:
        if kind.startswith("monitoring/") and last == "labels":
            continue  # there they are what a channel or a resource is known by
        inside: Any = resource.inputs
        for key in path:
            inside = inside.get(key, {})
        yield from _of_label_set(inside.get(last, {}), ".".join([*path, last]))


def _of_label_set(labels: dict[str, Any], where: str) -> Iterator[str]:
    if len(labels) > MAX_LABELS:
        yield f"{where} has {len(labels)} labels, and {MAX_LABELS} are the most"
    for key, value in labels.items():
        if not re.fullmatch(LABEL_KEY, key):
            yield f"{where}: {key!r} is no key of a label: up to 63 of a-z, 0-9, _ and -, a letter first"
        if not re.fullmatch(LABEL_VALUE, str(value)):
            yield f"{where}.{key}: {value!r} is no value of a label: up to 63 of a-z, 0-9, _ and -"


def _of_containers(template: dict[str, Any]) -> Iterator[str]:
    volumes = {each["name"] for each in template.get("volumes", [])}
    for name in volumes | {each.get("name", "app") for each in template["containers"]}:
        if not re.fullmatch(RFC1035, name):
            yield f"{name!r} names a container or a volume, and must be {RFC1035_WORDS}"
    for container in template["containers"]:
        variables = [each["name"] for each in container.get("envs", [])]
        for name in variables:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or re.fullmatch(RESERVED_VARIABLES, name):
                yield f"{name!r} is no name for a variable, or one that Cloud Run sets itself"
        if twice := {name for name in variables if variables.count(name) > 1}:
            yield f"{', '.join(sorted(twice))} is set twice"
        for name in {each["name"] for each in container.get("volumeMounts", [])} - volumes:
            yield f"{name!r} is mounted, and no volume has that name"


def _of_alert(inputs: dict[str, Any]) -> Iterator[str]:
    if len(inputs["displayName"]) > 512:
        yield "displayName is longer than 512 characters"
    documentation = inputs.get("documentation", {})
    if (size := len(documentation.get("content", "").encode())) > 8192:
        yield f"documentation.content has {size} bytes, and 8192 are the most"
    if len(documentation.get("links", [])) > 3:
        yield "documentation.links has more than 3"
    for condition in inputs["conditions"]:
        query = condition.get("conditionPrometheusQueryLanguage", {})
        for name in [*query.get("labels", {}), *filter(None, [query.get("alertRule")])]:
            if not re.fullmatch(PROMETHEUS_LABEL, name):
                yield f"{name!r} is no name of a label of Prometheus"
        for key in ("duration", "evaluationInterval"):
            seconds = re.fullmatch(r"(\d+)s", query.get(key, "30s"))
            if not seconds or (key == "evaluationInterval" and int(seconds[1]) % 30):
                yield f"{key} is {query[key]!r}, and must be seconds such as '60s', the interval a multiple of 30"


def _of_security_policy(inputs: dict[str, Any]) -> Iterator[str]:
    rules = inputs.get("rules", [])
    priorities = [each["priority"] for each in rules]
    for priority in {each for each in priorities if priorities.count(each) > 1}:
        yield f"priority {priority} is that of two rules"
    for rule in rules:
        if len(rule.get("description", "")) > 64:
            yield f"description {rule['description']!r} is longer than 64 characters"
