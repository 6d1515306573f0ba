"""A policy of each alert, with the expression, the time and the severity that its rule has.

The rules are those that promtool tests. Google asks of them: evaluation at multiples of 30 s, a time (`for`) of whole
seconds, names that are labels; and it knows nothing of recording rules.

On Cloud Run the sidecar gives what it scrapes `job="authsvc"`, the name of its RunMonitoring, and `instance="ID:9090"`;
`up` and `process_start_time_seconds` are there like everything else. Two metrics of the rules come from elsewhere, and
the recording rules of rules/cloud.yml make them of Google's own: the end of the certificate of the uptime check, the
last backup of the workflow that exports. What cannot be told in a stack has no policy, and `left_out` says why.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from infra.monitoring.cloud import documentation
from infra.monitoring.cloud.expressions import (
    RuleFiles,
    calls,
    check,
    from_cloud,
    of_stack,
    parse_error,
    rule_files,
    unknown,
    windowed,
)
from infra.monitoring.rules import Rules, inlined, milliseconds
from infra.settings import Settings, SettingsError

INTERVAL = 30
"""Seconds. An evaluation is at a multiple of it."""
_DEFAULT_INTERVAL = "1m"
_SEVERITIES = {"page": "CRITICAL", "ticket": "WARNING"}


@dataclass(frozen=True)
class AlertPolicy:
    """What Google is told of one alert."""

    key: str
    """Tells it apart from all others, and stays while its rule's name and labels do."""
    display_name: str
    severity: str
    """Google's: CRITICAL or WARNING."""
    is_page: bool
    rule_group: str
    alert_rule: str
    query: str
    duration: str
    evaluation_interval: str
    labels: dict[str, str]
    subject: str
    content: str
    dashboard: str
    """UID of the dashboard that shows it."""
    runbook: str | None
    """Its address, where that is known."""


@dataclass(frozen=True)
class AlertPolicies:
    """The policies of a stack, and by their alert's name the reasons of those that it has none for."""

    policies: list[AlertPolicy]
    left_out: dict[str, str]


def alert_policies(settings: Settings, files: RuleFiles | None = None) -> AlertPolicies:
    """Return the policies of a stack, of the rules in the repository or of `files`.

    Raises:
        SettingsError: rules that cannot be made policies, with a sentence for each that names file and alert.
    """
    files = rule_files() if files is None else files
    check(files)
    own = of_stack(files, settings)
    there = from_cloud(own)
    missing = {name: group for name, group in from_cloud(files).items() if name not in there}
    policies, left_out, faults = [], {}, []
    for file, group, rule in _inlined(own):
        if reason := _why_not(rule, settings, missing):
            left_out[rule["alert"]] = reason
        elif fault := _fault(group, rule):
            faults.append(f"{file}: {rule['alert']} {fault}")
        else:
            policies.append(_policy(file, group, rule, settings.monitoring.runbooks))
    twice = [key for key, count in Counter(policy.key for policy in policies).items() if count > 1]
    faults += [f"{key} is the name of two alerts: give one of them another name, or another label." for key in twice]
    if faults:
        raise SettingsError(faults)
    return AlertPolicies(policies, left_out)


def _inlined(files: RuleFiles) -> Iterator[tuple[str, Rules, Rules]]:
    """Yield file, group and rule of each alert."""
    named = [{"groups": [{**group, "file": name} for group in rules["groups"]]} for name, rules in files.items()]
    for group in inlined(named)["groups"]:
        for rule in group["rules"]:
            yield group["file"], group, {**rule, "expr": windowed(rule["expr"].strip())}


def _why_not(rule: Rules, settings: Settings, missing: dict[str, str]) -> str | None:
    if names := unknown(rule["expr"], missing):
        return f"{', '.join(sorted(names))} is not there: {_WITHOUT[missing[min(names)]]}"
    may_be_absent = settings.service.min_instances == 0
    if may_be_absent and parse_error(rule["expr"]) is None and calls(rule["expr"], {"absent", "absent_over_time"}):
        return "with service.minInstances 0 nobody being there is no fault"
    return None


_WITHOUT = {
    "public": "with service.minInstances 0 there are no uptime checks, which would keep an instance awake",
    "backup": "an external database is not exported by this stack",
}


def _fault(group: Rules, rule: Rules) -> str | None:
    """Return what the cloud would not take of a rule, as the end of a sentence."""
    if error := parse_error(rule["expr"]):
        return f"is no PromQL once recording rules are put in their place ({error}): mend its expr."
    interval = group.get("interval", _DEFAULT_INTERVAL)
    if milliseconds(interval) % (INTERVAL * 1000):
        return (
            f"is evaluated each {interval}, and Google Cloud does so at multiples of {INTERVAL} s: change its group's."
        )
    if milliseconds(rule.get("for", "0s")) % 1000:
        return f"waits for {rule['for']}, and Google Cloud counts in seconds: change its for."
    if rule.get("labels", {}).get("severity") not in _SEVERITIES:
        return "needs the label severity, page or ticket."
    absent = [
        name for name in ("summary", "description", "dashboard", "runbook_url") if name not in rule["annotations"]
    ]
    return f"needs the annotation {absent[0]}." if absent else None


def _policy(file: str, group: Rules, rule: dict[str, Any], runbooks: str | None) -> AlertPolicy:
    labels = rule["labels"]
    others = [value for name, value in sorted(labels.items()) if name != "severity"]
    severity = labels["severity"]
    return AlertPolicy(
        key=re.sub(r"[^a-z0-9]+", "-", "-".join([_words(rule["alert"]), severity, *others]).lower()),
        display_name=f"authsvc: {rule['alert']} ({', '.join([severity, *others])})",
        severity=_SEVERITIES[severity],
        is_page=severity == "page",
        rule_group=group["name"],
        alert_rule=rule["alert"],
        query=rule["expr"],
        duration=f"{milliseconds(rule.get('for', '0s')) // 1000}s",
        evaluation_interval=f"{milliseconds(group.get('interval', _DEFAULT_INTERVAL)) // 1000}s",
        labels=labels,
        subject=documentation.subject(rule),
        content=documentation.content(rule, file, runbooks),
        dashboard=rule["annotations"]["dashboard"].partition("/")[0],
        runbook=documentation.runbook_address(rule["annotations"]["runbook_url"], runbooks),
    )


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
