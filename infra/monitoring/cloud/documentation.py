"""What stands in a notification: the sentences of the alert, and its runbook.

Google fills in variables of its own, not Prometheus' templates:
https://cloud.google.com/monitoring/alerts/doc-variables. Which is which: https://cloud.google.com/monitoring/promql/promql-migrate.
"""

import re
from pathlib import PurePosixPath
from posixpath import normpath
from typing import Any

from infra.monitoring.cloud import ROOT

LIMIT = 8192
"""Bytes. Google takes 8,192 characters and 10,240 bytes; this is within both."""
SUBJECT_LIMIT = 255
"""Bytes, after which Google cuts a subject."""

_TEMPLATE = re.compile(r"\{\{\s*(.*?)\s*\}\}")
_LABEL = re.compile(r"\$labels\.(\w+)")
_VALUE = "${metric.label.value}"
_VALUES = {
    "$value": _VALUE,
    "$value | humanize": _VALUE,
    "$value | humanizePercentage": f"{_VALUE} * 100 %",
    "$value | humanizeDuration": f"{_VALUE} seconds",
}
_END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def translated(text: str) -> str:
    """Return sentences with Google's variables; one with a template that Google has no variable for is left out."""
    sentences = [_translated(sentence) for sentence in _END_OF_SENTENCE.split(text)]
    return " ".join(sentence for sentence in sentences if sentence)


def subject(rule: dict[str, Any]) -> str:
    """Return the subject of a notification: the alert's summary, after its severity."""
    text = f"[{rule['labels']['severity']}] {translated(rule['annotations']['summary']) or rule['alert']}"
    return text.encode()[:SUBJECT_LIMIT].decode(errors="ignore")


def content(rule: dict[str, Any], file: str, runbooks: str | None) -> str:
    """Return the Markdown of a notification, of `LIMIT` bytes at most.

    `runbooks` is the address of the folder docs/runbooks; without it, links name the file.

    Raises:
        FileNotFoundError: the rule names a runbook that is not there.
    """
    annotations = rule["annotations"]
    path = annotations["runbook_url"]
    runbook = _linked((ROOT / path).read_text("utf-8"), path, runbooks)
    sentences = f"{translated(annotations['summary'])} {translated(annotations['description'])}".strip()
    head = f"{sentences}\n\nAlert {rule['alert']} of {file}.\n\n"
    rest = f"\n\nMore: {_where(path, runbooks)}"
    return _cut(head + runbook.partition("\n")[2].strip(), LIMIT - len(rest.encode())) + rest


def runbook_address(path: str, runbooks: str | None) -> str | None:
    """Return the address of a runbook, where that of their folder is known."""
    return f"{runbooks.rstrip('/')}/{PurePosixPath(path).relative_to('docs/runbooks')}" if runbooks else None


def _translated(sentence: str) -> str:
    def variable(match: re.Match[str]) -> str:
        label = _LABEL.fullmatch(match[1])
        return f"${{metric_or_resource.label.{label[1]}}}" if label else _VALUES.get(match[1], match[0])

    text = _TEMPLATE.sub(variable, sentence)
    return "" if "{{" in text else text


def _linked(text: str, path: str, runbooks: str | None) -> str:
    """Return a runbook whose links lead somewhere from outside of the repository too."""

    def link(match: re.Match[str]) -> str:
        name, target = match.groups()
        if re.match(r"\w+://", target):
            return match[0]
        file = normpath(f"{PurePosixPath(path).parent}/{target}")
        if not runbooks:
            return f"{name} ({file})"
        return f"[{name}]({runbooks.rstrip('/').removesuffix('docs/runbooks')}{file})"

    return _LINK.sub(link, text)


def _where(path: str, runbooks: str | None) -> str:
    address = runbook_address(path, runbooks)
    return f"[{path}]({address})" if address else path


def _cut(text: str, limit: int) -> str:
    """Return as many paragraphs as there is room for."""
    if len(text.encode()) <= limit:
        return text
    mark = "\n\n…"
    kept = text.encode()[: limit - len(mark.encode())].decode(errors="ignore")
    return (kept.rpartition("\n\n")[0] or kept) + mark
