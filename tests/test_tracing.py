"""Traces over the wire: the service as it runs, real SQL, and a receiver that decodes OTLP."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from authsvc import tracing
from tests.attacks.test_canaries import PERSON, bearer
from tests.cli.conftest import Running, Start, environment, eventually, run, settings, start

__all__ = ["settings", "start"]  # the fixtures of a process

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
SERVER, INTERNAL, CLIENT = 2, 1, 3
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@dataclass(frozen=True)
class Received:
    """A span, as it came over the wire."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent: str
    began: int
    ended: int
    failed: bool
    attributes: dict[str, Any]
    said: str = field(repr=False)


class Receiver(ThreadingHTTPServer):
    """An OTLP receiver: HTTP with protobuf, as a collector speaks it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[bytes] = []
        self.asked: list[tuple[str, str, str | None]] = []
        self.resource: dict[str, Any] = {}

    @property
    def variables(self) -> dict[str, str]:
        return {
            "AUTHSVC_TRACES": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.server_address[1]}",
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=of-the-collector",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def spans(self) -> list[Received]:
        found = []
        for body in list(self.bodies):
            for of_resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource = _plain(of_resource.resource.attributes)
                found += [_received(span) for scope in of_resource.scope_spans for span in scope.spans]
        return found

    def span(self, name: str) -> Received:
        (found,) = (span for span in self.spans() if span.name == name)
        return found


def _plain(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def _received(span: Any) -> Received:
    return Received(
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        span.status.code == span.status.STATUS_CODE_ERROR,
        _plain(span.attributes),
        str(span),
    )


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Content-Type"], self.headers["x-key"]))
        self.server.bodies.append(body)
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def running(settings: dict[str, str], start: Start, receiver: Receiver) -> Running:
    running = start("serve", settings={**settings, **receiver.variables})
    running.until_it_says('"event":"serving"')
    return running


def lines_of(running: Running) -> list[dict[str, Any]]:
    return [json.loads(line) for line in running.said.splitlines()]


def ended(running: Running) -> None:
    running.send(signal.SIGTERM)
    assert running.ends() == 0


def test_a_login_is_a_span_of_its_caller_over_its_statements_and_its_hash(running: Running, receiver: Receiver) -> None:
    assert running.ask("/api/auth/register", PERSON).status == 201
    assert running.ask("/api/auth/login?next=canary", PERSON, SAMPLED).status == 200
    ended(running)
    login = receiver.span("POST /api/auth/login")
    assert (login.kind, login.trace_id, login.parent) == (SERVER, TRACE, PARENT)
    assert login.attributes == {
        "http.request.method": "POST",
        "http.route": "/api/auth/login",
        "http.response.status_code": 200,
    }
    within = [span for span in receiver.spans() if span.trace_id == TRACE and span is not login][:]
    children = [span for span in within if span.span_id != login.span_id]
    assert {span.parent for span in children} == {login.span_id}
    (hashed,) = (span for span in children if span.kind == INTERNAL)
    assert hashed.name == "password hash"
    assert hashed.attributes.keys() == {"authsvc.hash.wait_seconds"}
    assert 0 <= hashed.attributes["authsvc.hash.wait_seconds"] < (login.ended - login.began) / 1e9
    assert login.began <= hashed.began < hashed.ended <= login.ended
    statements = [span for span in children if span.kind == CLIENT]
    names = [span.name for span in sorted(statements, key=lambda span: span.began)]
    assert {"BEGIN", "COMMIT", "sessions.open_session", "journal.append_journal"} <= set(names), names
    for span in statements:
        assert span.attributes == {"db.system.name": "postgresql", "db.query.summary": span.name}
        assert login.began <= span.began <= span.ended
        assert not span.failed
    assert receiver.resource["service.name"] == "authsvc"
    assert set(receiver.asked) == {("/v1/traces", "application/x-protobuf", "of-the-collector")}


def test_the_lines_of_a_traced_request_name_its_own_span(running: Running, receiver: Receiver) -> None:
    assert running.ask("/api/auth/me", headers=SAMPLED).status == 401
    assert running.ask("/api/auth/me").status == 401
    ended(running)
    spans = {(span.trace_id, span.span_id) for span in receiver.spans()}
    lines = [line for line in lines_of(running) if line["event"] == "request"]
    assert {(line["trace_id"], line["span_id"]) for line in lines} == spans
    assert [line["trace_id"] == TRACE for line in lines] == [True, False]


def test_nothing_that_a_client_sent_is_in_a_span(running: Running, receiver: Receiver) -> None:
    """LGX-01, LGX-03, LGX-05: addresses, passwords, tokens, paths, queries, headers, methods, values of statements."""
    assert running.ask("/api/auth/register", PERSON).status == 201
    assert running.ask("/api/auth/register", PERSON).status == 409  # a violation that PostgreSQL quotes the value of
    pair = running.ask("/api/auth/login", PERSON).json()
    session = running.ask("/api/auth/sessions", headers=bearer(pair["access_token"])).json()["sessions"][0]["id"]
    odd = {"User-Agent": "canary-agent", "X-Request-Id": "canary-id", "tracestate": "canary=1", "baggage": "canary=1"}
    for path in ("/canary-path?canary=1", "/api/auth/verify?canary=1", f"/api/auth/sessions/{session}?canary"):
        running.ask(path, headers={**odd, **bearer(pair["access_token"])})
    running.ask("/login", urlencode({**PERSON, "form_token": "canary"}).encode(), FORM)
    running.ask("/api/auth/refresh", {"refresh_token": pair["refresh_token"]})
    with socket.create_connection(("127.0.0.1", int(running.settings["AUTHSVC_PORT"]))) as raw:
        raw.sendall(b"CANARY / HTTP/1.1\r\nHost: canary.example\r\nConnection: close\r\n\r\n")
        assert b" 40" in raw.makefile("rb").readline()
    ended(running)
    said = "".join(span.said for span in receiver.spans())
    secrets = {
        *PERSON.values(),
        pair["access_token"],
        pair["refresh_token"],
        "canary",
        "CANARY",
        "eyJ",
        "$argon2",
        session,
        "select ",
        "127.0.0.1",
    }
    assert [secret for secret in secrets if secret in said] == []
    assert {"GET /api/auth/sessions/{id}", "GET", "HTTP"} & {span.name for span in receiver.spans()} >= {"GET", "HTTP"}
    refused = [span for span in receiver.spans() if span.failed]
    assert {span.attributes["error.type"] for span in refused} == {"UniqueViolationError"}


def test_who_is_not_recorded_by_its_caller_is_not_by_us(running: Running, receiver: Receiver) -> None:
    unsampled = {"traceparent": f"00-{TRACE}-{PARENT}-00"}
    assert running.ask("/api/auth/login", {**PERSON, "password": "not the password"}, unsampled).status == 401
    assert running.ask("/login", headers={"traceparent": f"00-{'0' * 32}-{PARENT}-00"}).status == 200
    ended(running)
    assert [span.name for span in receiver.spans()] == ["GET /login"]
    assert receiver.span("GET /login").parent == ""
    (line,) = (line for line in lines_of(running) if line["message"] == "POST /api/auth/login 401")
    assert (line["trace_id"], line["trace_sampled"]) == (TRACE, False)


def test_what_happens_beside_all_requests_is_no_trace(
    settings: dict[str, str], start: Start, receiver: Receiver
) -> None:
    """The feed of ended sessions is asked for all the time."""
    running = start("serve", settings={**settings, **receiver.variables, "AUTHSVC_REVOCATION_POLL_SECONDS": "0.01"})
    eventually(running.is_ready, "it is ready")
    for _ in range(20):
        assert running.ask("/login").status == 200
    ended(running)
    assert {span.name for span in receiver.spans() if not span.parent} == {"GET /login"}


def test_an_error_of_ours_is_one_of_its_span_and_a_refusal_is_not(
    settings: dict[str, str], start: Start, receiver: Receiver
) -> None:
    nowhere = "postgresql://nobody:x@127.0.0.1:1/nothing"
    running = start("serve", settings={**settings, **receiver.variables, "AUTHSVC_DATABASE_URL": nowhere})
    running.until_it_says('"event":"serving"')
    assert running.ask("/api/auth/login", PERSON).status == 503
    assert running.ask("/api/auth/me").status == 401
    ended(running)
    failed, refused = receiver.span("POST /api/auth/login"), receiver.span("GET /api/auth/me")
    assert (failed.failed, failed.attributes["error.type"]) == (True, "temporarily_unavailable")
    assert (refused.failed, refused.attributes["error.type"]) == (False, "missing_credentials")


@pytest.mark.parametrize("away", ["refuses", "says nothing"])
def test_a_collector_that_is_away_holds_up_neither_requests_nor_the_end(
    settings: dict[str, str], start: Start, away: str
) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        if away == "says nothing":
            listening.listen()
        variables = {
            "AUTHSVC_TRACES": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{listening.getsockname()[1]}",
            # Far beyond the patience of `ends`.
            "OTEL_EXPORTER_OTLP_TIMEOUT": "3600",
            "OTEL_BSP_SCHEDULE_DELAY": "20",
            "OTEL_BSP_MAX_QUEUE_SIZE": "8",
            "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
        }
        running = start("serve", settings={**settings, **variables})
        running.until_it_says('"event":"serving"')
        for _ in range(50):
            assert running.ask("/api/auth/me").status == 401
        ended(running)
    lines = lines_of(running)
    assert lines[-1]["event"] == "stopped" or lines[-1]["event"] == "library"
    assert "Traceback" not in running.said


async def test_the_end_does_not_wait_for_a_collector_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{listening.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
        monkeypatch.setattr(tracing, "CLOSE_SECONDS", 0.01)
        spans = await asyncio.to_thread(tracing.Tracing)
        with spans.request("GET", "/login", None) as answered:
            answered(200, None)
        await spans.close()
        (closing,) = (thread for thread in threading.enumerate() if thread.name == "traces")
        # It goes on by itself, and would hold up no interpreter's exit.
        assert closing.daemon
        connection, _address = await asyncio.to_thread(listening.accept)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await asyncio.to_thread(closing.join)
    connection.close()


@pytest.fixture
def without_opentelemetry(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The settings of an installation without the extra: the import fails as it does there."""
    folder = tmp_path_factory.mktemp("path")
    (folder / "opentelemetry.py").write_text("raise ModuleNotFoundError('no')\n")
    return {**settings, "PYTHONPATH": str(folder)}


@pytest.mark.parametrize("command", ["serve", "check-config"])
def test_who_asks_for_traces_without_the_extra_is_told_so(without_opentelemetry: dict[str, str], command: str) -> None:
    done = run(command, settings={**without_opentelemetry, "AUTHSVC_TRACES": "otlp"})
    assert done.returncode == 78
    said, *faults = done.stderr.splitlines()
    assert said == "authsvc cannot start with this configuration:"
    fault = "AUTHSVC_TRACES is otlp, and OpenTelemetry is not installed: pip install 'authsvc[otel]', or set it to off."
    assert faults == [f"  - {fault}"]


def test_a_variable_that_opentelemetry_cannot_use_is_a_fault_too(settings: dict[str, str]) -> None:
    queue = {"OTEL_BSP_MAX_QUEUE_SIZE": "1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"}
    done = run("check-config", settings={**settings, **queue, "AUTHSVC_TRACES": "otlp"})
    assert done.returncode == 78
    assert "OpenTelemetry cannot use one of its own variables" in done.stderr


def test_without_traces_nothing_of_opentelemetry_is_loaded(
    without_opentelemetry: Mapping[str, str], start: Start
) -> None:
    script = "import sys; import authsvc.__main__, authsvc.app, authsvc.server; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment(without_opentelemetry),
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded & {"opentelemetry", "google", "requests", "urllib3"} == set()
    running = start("serve", settings=without_opentelemetry)
    running.until_it_says('"event":"serving"')
    assert running.ask("/api/auth/register", PERSON, SAMPLED).status == 201
    ended(running)
