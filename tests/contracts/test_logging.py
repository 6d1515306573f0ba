"""docs/logging.md and the code name the same lines and fields."""

import ast
import dataclasses
import json
import re
import signal
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

import authsvc
from authsvc.events import KINDS
from tests.attacks.test_canaries import FORM, PERSON, bearer
from tests.cli.conftest import Running, Start, settings, start
from tests.conftest import Client

__all__ = ["settings", "start"]  # the fixtures of a process

DOCUMENT = (Path(__file__).parents[2] / "docs" / "logging.md").read_text("utf-8")
FIELDS = dict(
    re.findall(r"^\| `([\w.]+)` \| (every line|lines of a \w* ?request|`request`) \|", DOCUMENT, re.MULTILINE)
)
LINES = {
    event: (severity, set(re.findall(r"`(\w+)`", own)))
    for event, severity, own in re.findall(r"^\| `([\w ]+)` \| ([A-Z]\w+[^|]*) \| ([^|]+) \| ", DOCUMENT, re.MULTILINE)
}
GOOGLE = dict(re.findall(r"^\| `(\w+)` \| `(logging\.googleapis\.com/\w+)`", DOCUMENT, re.MULTILINE))
LEVELS = {"debug", "info", "warning", "error", "critical"}
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


def said_in_the_code() -> Iterator[tuple[str, str, set[str]]]:
    """Yield name, severity and fields of each line that is spelt out in the code."""
    for path in Path(authsvc.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr=level), args=[ast.Constant(value=str(name))], keywords=keywords):
                    fields = {keyword.arg for keyword in keywords if keyword.arg}
                    if level in LEVELS and len(fields) == len(keywords):
                        if "exc_info" in fields:
                            fields = fields - {"exc_info"} | {"error", "frames"}
                        yield name, level.upper(), fields


def test_every_line_of_the_code_is_told_with_its_fields_and_no_other() -> None:
    found = {name: (severity, fields) for name, severity, fields in said_in_the_code()}
    made_up = {name: LINES[name] for name in ("request", "event", "library")}
    assert found | made_up == LINES
    assert LINES["event"][1] == {"tag"} | {field.name for kind in KINDS for field in dataclasses.fields(kind)}


def a_real_run(running: Running) -> list[dict[str, Any]]:
    """Do what leaves lines of most kinds; return them."""
    running.until_it_says('"event":"serving"')
    assert running.ask("/api/auth/register", PERSON, TRACED).status == 201
    pair = running.ask("/api/auth/login", PERSON, TRACED).json()
    assert running.ask("/api/auth/login", {**PERSON, "password": "not the password"}, TRACED).status == 401
    assert running.ask("/api/auth/me", headers=bearer("no.token.this")).status == 401
    assert running.ask("/api/auth/me?token=SECRET", headers=bearer(pair["access_token"])).status == 200
    assert running.ask("/no/such/SECRET", headers={"traceparent": f"00-{'0' * 32}-{SPAN}-01"}).status == 404
    assert running.ask("/api/auth/logout", b"", {**bearer(pair["access_token"])}).status < 300
    assert running.ask("/login", urlencode({**PERSON, "form_token": "x"}).encode(), FORM).status == 403
    running.send(signal.SIGTERM)
    assert running.ends() == 0
    return [json.loads(line) for line in running.said.splitlines()]


@pytest.mark.parametrize("project", ["", "my-project"])
def test_the_fields_of_a_real_run_are_those_of_the_tables(settings: dict[str, str], start: Start, project: str) -> None:
    lines = a_real_run(start("serve", settings={**settings, "AUTHSVC_LOG_GOOGLE_PROJECT": project}))
    renamed = {GOOGLE[name] if project else name: name for name in GOOGLE}
    seen: dict[str, set[str]] = {}
    for line in lines:
        fields = {renamed.get(name, name) for name in line} - {"httpRequest"}
        fields |= {f"httpRequest.{name}" for name in line.get("httpRequest", {})}
        common = {name for name, where in FIELDS.items() if where != "`request`" or line["event"] == "request"}
        assert {name for name, where in FIELDS.items() if where == "every line"} <= fields
        assert fields - common <= LINES[line["event"]][1]
        assert line["severity"] in LINES[line["event"]][0]
        seen.setdefault(line["event"], set()).update(fields)
    assert {"request", "event", "access_token_refused", "serving", "draining", "stopped"} <= seen.keys()
    assert seen["request"] == FIELDS.keys()
    said = json.dumps([line for line in lines if line["event"] != "serving"])
    assert [word for word in ("SECRET", "not the password", "@", "127.0.0.1") if word in said] == []


def test_the_lines_of_a_traced_request_name_its_trace_and_no_other_does(settings: dict[str, str], start: Start) -> None:
    lines = a_real_run(start("serve", settings={**settings, "AUTHSVC_LOG_GOOGLE_PROJECT": "my-project"}))
    traced = [line for line in lines if "logging.googleapis.com/trace" in line]
    assert {line["logging.googleapis.com/trace"] for line in traced} == {f"projects/my-project/traces/{TRACE}"}
    assert {line["logging.googleapis.com/spanId"] for line in traced} == {SPAN}
    assert [line["message"] for line in traced] == [
        "user:register:success",
        "POST /api/auth/register 201",
        "session:login:success",
        "POST /api/auth/login 200",
        "session:login:failure",
        "POST /api/auth/login 401",
    ]


def test_a_refusal_tells_its_code_in_the_line_of_its_request(settings: dict[str, str], start: Start) -> None:
    """ASVS 16.3.3: in the API, on a page, at an unknown path."""
    lines = a_real_run(start("serve", settings=settings))
    assert [(line["message"], line["code"]) for line in lines if "code" in line] == [
        ("POST /api/auth/login 401", "invalid_credentials"),
        ("GET /api/auth/me 401", "invalid_token"),
        ("GET unmatched 404", "not_found"),
        ("POST /login 403", "stale_form"),
    ]
    assert not [
        line
        for line in lines
        if line["event"] == "request" and line["httpRequest"]["status"] >= 400 and "code" not in line
    ]


def test_of_good_answers_only_a_share_is_told_and_of_all_else_everything(
    settings: dict[str, str], start: Start
) -> None:
    lines = a_real_run(start("serve", settings={**settings, "AUTHSVC_LOG_SAMPLE_2XX": "0"}))
    told = [line["httpRequest"]["status"] for line in lines if line["event"] == "request"]
    assert told == [401, 401, 404, 403]
    assert "session:login:success" in {line["message"] for line in lines}


async def test_a_request_without_a_good_traceparent_has_no_trace(client: Client, log: StringIO) -> None:
    """Nor that of the request before it on the same connection."""
    for headers in (TRACED, {}, {"traceparent": "00-no"}, {**TRACED, "traceparent": TRACED["traceparent"].upper()}):
        await client.get("/api/auth/me", headers=headers)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line.get("trace_id") for line in lines if line["event"] == "request"] == [TRACE, None, None, None]
