"""PromQL as Google Cloud evaluates it: of the groups that a stack needs, each recording rule where its name stood.

Managed Service for Prometheus evaluates recording rules in Kubernetes alone, and Cloud Run is none:
https://cloud.google.com/stackdriver/docs/managed-prometheus/rules-managed
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import promql_parser

from infra.monitoring import RULES
from infra.monitoring.cloud import CLOUD_RULES, ROOT
from infra.monitoring.rules import Rules, each_rule, inlined, metrics, milliseconds, read
from infra.settings import Settings, SettingsError

RuleFiles = Mapping[str, Rules]
"""Rule files by their path in the repository."""

# `(…)[30d]` comes of a recording rule that was asked for a window: of an expression there only is a subquery.
_WINDOW_OF_EXPRESSION = re.compile(r"\)\[(\w+)\]")
_STEPS = 720
_MINUTE = 60_000


def rule_files() -> RuleFiles:
    """Return the rules of infra/monitoring/rules, and the cloud's own after them."""
    paths = [*sorted(RULES.glob("*.yml")), *sorted(CLOUD_RULES.glob("*.yml"))]
    return {str(path.relative_to(ROOT)): read(path) for path in paths}


def of_stack(files: RuleFiles, settings: Settings) -> RuleFiles:
    """Return the files with the groups that this stack has a use for, and its own values in those named `stack`."""
    values = {
        "authsvc_stack:instances:max": settings.service.max_instances,
        "authsvc_stack:database_connections:max": settings.database.max_connections,
        "authsvc_stack:database_disk_bytes:max": settings.database.disk_limit_gb * 10**9,
    }
    absent = {name for name, is_there in groups(settings).items() if not is_there}

    def own(group: Rules) -> Rules:
        if group["name"] != "stack":
            return group
        return {**group, "rules": [{**rule, "expr": f"vector({values[rule['record']]})"} for rule in group["rules"]]}

    return {
        name: {"groups": [own(group) for group in rules["groups"] if not (_is_cloud(name) and group["name"] in absent)]}
        for name, rules in files.items()
    }


def groups(settings: Settings) -> dict[str, bool]:
    """Return which groups of the cloud's rules a stack has a use for."""
    cloud_sql = settings.database.engine == "cloud-sql"
    database = settings.database
    return {
        "run": True,
        "jobs": True,
        "public": is_watched_from_outside(settings),
        "backup": database.engine != "external",
        "sql": cloud_sql,
        "replica": cloud_sql and bool(database.replica_region or database.read_replicas),
    }


def is_watched_from_outside(settings: Settings) -> bool:
    """Tell whether there are uptime checks: not where the service scales to zero, which they would keep awake."""
    return settings.service.min_instances > 0


def from_cloud(files: RuleFiles) -> dict[str, str]:
    """Return which metrics, if any, the cloud's rules make of Google's, with the group that does."""
    return {
        rule["record"]: group["name"]
        for name, rules in files.items()
        if _is_cloud(name)
        for group in rules["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


def check(files: RuleFiles) -> None:
    """Refuse rules that do not parse, as they are written.

    Raises:
        SettingsError: with a sentence for each, that names file and rule.
    """
    faults = [
        _fault(name, rule.get("alert") or rule["record"], error)
        for name, rules in files.items()
        for rule in each_rule([rules])
        if (error := parse_error(rule["expr"]))
    ]
    if faults:
        raise SettingsError(faults)


def parse_error(expression: str) -> str | None:
    """Return what is wrong with an expression, if anything is."""
    try:
        promql_parser.parse(expression)
    except ValueError as error:
        return str(error)
    return None


def inline(files: RuleFiles, queries: Iterable[str]) -> list[str]:
    """Return queries with each recording rule put where its name stood."""
    asked: Rules = {"groups": [{"name": "queries", "rules": [{"alert": "query", "expr": query} for query in queries]}]}
    records: Rules = {"groups": [{"name": "records", "rules": [*_records(files)]}]}
    return [windowed(rule["expr"]) for rule in each_rule([inlined([records, asked])])]


def windowed(expression: str) -> str:
    """Return an inlined expression in which a window over an expression is a subquery: `(…)[30d]` is `(…)[30d:1h]`."""

    def subquery(match: re.Match[str]) -> str:
        minutes = max(1, milliseconds(match[1]) // _STEPS // _MINUTE)
        return f")[{match[1]}:{minutes}m]"

    return _WINDOW_OF_EXPRESSION.sub(subquery, expression)


def calls(expression: str, functions: set[str]) -> bool:
    """Tell whether an expression calls one of these functions."""
    found = False

    def visit(each: promql_parser.Expr) -> bool:
        nonlocal found
        found = found or (isinstance(each, promql_parser.Call) and each.func.name in functions)
        return not found

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def unknown(expression: str, missing: Iterable[str]) -> set[str]:
    """Return which of these metrics an expression reads."""
    return metrics(expression) & set(missing)


def _records(files: RuleFiles) -> Iterator[Rules]:
    return (rule for rule in each_rule(files.values()) if "record" in rule)


def _is_cloud(name: str) -> bool:
    return Path(name).parent == CLOUD_RULES.relative_to(ROOT)


def _fault(name: str, rule: str, error: str) -> str:
    return f"{name}: {rule} is no PromQL ({error}): mend its expr."
