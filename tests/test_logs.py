"""Log lines: what they hold, what they never hold, and what a broken output does to the service."""

import asyncio
import fcntl
import io
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any, TextIO

import pytest
import structlog

from authsvc import logs
from authsvc.traceparent import Trace

CANARY = "hunter2-canary"


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail() -> None:
    raise LookupError(f"key {CANARY} in row (ada at example.com)")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_is_one_json_object(log: io.StringIO) -> None:
    token = logs.REQUEST_ID.set("r-1")
    structlog.get_logger().info("event", tag="session:login:success", status=200, text="zwei\nZeilen ü")
    logs.REQUEST_ID.reset(token)
    (line,) = lines(log)
    assert datetime.fromisoformat(line.pop("time")).utcoffset() == timedelta(0)
    assert line == {
        "event": "event",
        "severity": "INFO",
        "message": "event",
        "request_id": "r-1",
        "tag": "session:login:success",
        "status": 200,
        "text": "zwei\nZeilen ü",
    }


@pytest.mark.parametrize("level, heard", [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_only_what_is_grave_enough_is_said(level: str, heard: int) -> None:
    stream = io.StringIO()
    logs.configure("json", level, stream)
    for name in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger(), name)("x")
    assert len(lines(stream)) == heard


def by_structlog() -> None:
    structlog.get_logger().error("broken", exc_info=True)


def by_instance() -> None:
    structlog.get_logger().error("broken", exc_info=sys.exc_info()[1])


def by_a_library() -> None:
    logging.getLogger("library").error("broken %s", CANARY, exc_info=sys.exc_info())


def by_the_loop() -> None:
    message = f"broken\nhandle: {CANARY}"
    logging.getLogger("asyncio").error(message, exc_info=sys.exc_info())


def by_the_error_itself() -> None:
    logging.getLogger("library").error(sys.exc_info()[1], exc_info=sys.exc_info())


@pytest.mark.parametrize("say", [by_structlog, by_instance, by_a_library, by_the_loop, by_the_error_itself])
def test_an_exception_is_told_by_its_type_and_frames_and_never_by_its_text(
    log: io.StringIO, say: Callable[[], None]
) -> None:
    """LGX-03, LGX-06 (ASVS 16.5.1)."""
    try:
        fail()
    except LookupError:
        say()
    assert CANARY not in log.getvalue()
    (line,) = lines(log)
    assert line["error"] == "builtins.LookupError"
    assert [frame.rpartition(" ")[2] for frame in line["frames"]][-1] == "fail"
    assert f"{__file__}:" in line["frames"][-1]
    assert line["severity"] == "ERROR"


def test_where_no_exception_is_there_is_nothing_to_tell(log: io.StringIO) -> None:
    structlog.get_logger().error("x", exc_info=True)
    structlog.get_logger().error("x", exc_info=None)
    for line in lines(log):
        assert line.keys() == {"event", "message", "severity", "time"}


def test_libraries_say_their_constant_text_and_nothing_they_format(log: io.StringIO) -> None:
    """LGX-01 (ASVS 1.3.10)."""
    logging.getLogger("aiohttp.server").warning("Error handling request from %s", CANARY)
    logging.getLogger("chatty").info("not heard")
    (line,) = lines(log)
    assert line["message"] == "Error handling request from %s"
    assert line["logger"] == "aiohttp.server"
    assert line["severity"] == "WARNING"


@pytest.mark.parametrize(
    "number, level", [(30, "warning"), (35, "warning"), (40, "error"), (50, "critical"), (99, "critical")]
)
def test_a_library_may_use_levels_of_its_own(log: io.StringIO, number: int, level: str) -> None:
    logging.getLogger("library").log(number, "x")
    assert [line["severity"] for line in lines(log)] == [level.upper()]


@pytest.mark.parametrize("value", ["\ud800", 2**70, {1: "one"}, object, {"a", "b"}])
def test_a_strange_value_is_logged_in_some_way(log: io.StringIO, value: object) -> None:
    structlog.get_logger().info("x", value=value)
    (line,) = lines(log)
    assert line["value"]


def test_a_terminal_gets_colours_and_a_pipe_gets_json() -> None:
    for stream, choice, start in (
        (Terminal(), "auto", "\x1b["),
        (io.StringIO(), "auto", "{"),
        (Terminal(), "json", "{"),
        (io.StringIO(), "console", ""),
    ):
        logs.configure(choice, "info", stream)
        structlog.get_logger().info("serving", port=8080)
        assert stream.getvalue().startswith(start)
        assert ("\x1b" in stream.getvalue()) is start.startswith("\x1b")
        assert stream.getvalue().count("\n") == 1


def test_the_console_is_readable_and_keeps_each_event_on_a_line() -> None:
    stream = io.StringIO()
    logs.configure("console", "info", stream)
    try:
        fail()
    except LookupError:
        structlog.get_logger().exception("broken", status=500, text="a\nb\x1b[2J")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text[:-1].isprintable()
    assert CANARY not in text
    assert text[13:].startswith("ERROR    broken  ")
    assert "  500 " in text
    assert "error=builtins.LookupError" in text


def test_standard_output_is_where_lines_go(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", "info")
    structlog.get_logger().info("serving")
    assert json.loads(capsys.readouterr().out)["event"] == "serving"


def test_an_output_that_nobody_reads_fails_no_request() -> None:
    """LGX-07."""
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    logs.configure("json", "debug", stream)
    for name in ("debug", "info", "warning", "error", "critical"):
        getattr(structlog.get_logger(), name)("x" * 100_000)
    logging.getLogger("library").error("x")
    with pytest.raises(BrokenPipeError):
        stream.close()
    structlog.get_logger().info("closed")


@pytest.fixture
def pipe() -> Iterator[TextIO]:
    """The end to read of a real pipe, as small as they come, that the log goes to."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(reading) as reader, os.fdopen(writing, "w") as stream:
        logs.configure("json", "info", stream)
        yield reader


def take(pipe: TextIO, lines: int) -> list[dict[str, Any]]:
    return [json.loads(pipe.readline()) for _ in range(lines)]


def take_until_end(pipe: TextIO) -> list[dict[str, Any]]:
    lines = iter(lambda: json.loads(pipe.readline()), None)
    return list(takewhile(lambda line: line["event"] != "end", lines))


def test_a_reader_that_takes_nothing_stops_nobody_and_what_is_lost_is_counted(
    pipe: TextIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LGX-07, DOS-15 (CWE-400): the lines that wait are bounded, and come in their order when they are read again."""
    monkeypatch.setattr(logs, "MAX_WAITING", 100)
    with logs.in_the_background():
        log = structlog.get_logger()
        for number in range(1000):
            log.info("x", number=number, padding="y" * 100)
        said = [line := json.loads(pipe.readline())]
        while line["event"] != "log lines lost":
            said.append(line := json.loads(pipe.readline()))
        counted = logs.lines_lost()
    *numbers, lost = [line.get("number", line.get("count")) for line in said]
    # Which of them are lost depends on when the writer came to write.
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 1000 - lost
    assert counted == lost
    assert lost > 800


def test_what_waits_in_the_end_is_written_in_its_order_whoever_said_it(pipe: TextIO) -> None:
    with ThreadPoolExecutor() as threads:
        reading = threads.submit(take, pipe, 2001)
        with logs.in_the_background():
            for number in range(2000):
                structlog.get_logger().info("x", number=number, text="\ud800ü")
        structlog.get_logger().info("at once")
        said = reading.result()
    assert [line.get("number") for line in said] == [*range(2000), None]


def test_a_pipe_that_another_has_made_non_blocking_loses_no_line(pipe: TextIO) -> None:
    """CWE-390: its mode belongs to all who hold it, and a full one then says EAGAIN."""
    output = structlog.get_config()["logger_factory"]()
    os.set_blocking(output.descriptor, False)
    with ThreadPoolExecutor() as threads:
        with logs.in_the_background():
            for number in range(500):
                structlog.get_logger().info("x", number=number, padding="y" * 100)
            reading = threads.submit(take_until_end, pipe)
        os.set_blocking(output.descriptor, True)
        structlog.get_logger().info("end")
        assert [line["number"] for line in reading.result()] == [*range(500)]


def test_lines_that_the_output_does_not_take_are_counted_when_it_takes_them_again(tmp_path: Path) -> None:
    """CWE-778: a file that may grow no more, as on a full disk."""
    path = tmp_path / "log"
    _soft, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with path.open("w") as stream:
        logs.configure("json", "info", stream)
        with logs.in_the_background():
            writer = structlog.get_config()["logger_factory"]().writer
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
            try:
                for _ in range(3):
                    structlog.get_logger().info("x")
                while writer._lost < 3:
                    time.sleep(0.001)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, before)
            structlog.get_logger().info("y")
            while b"count" not in path.read_bytes():
                time.sleep(0.001)
            assert logs.lines_lost() == 3
    said = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["event"], line.get("count")) for line in said] == [("y", None), ("log lines lost", 3)]


def test_the_end_does_not_wait_for_a_reader_that_takes_nothing(pipe: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FLUSH_SECONDS", 0.01)
    with logs.in_the_background():
        for _ in range(100):
            structlog.get_logger().info("x" * 100)
    assert len(take(pipe, 100)) == 100


async def test_a_forgotten_failure_on_the_loop_is_told_without_its_text(log: io.StringIO) -> None:
    asyncio.get_running_loop().call_exception_handler(
        {"message": "lost", "exception": LookupError(CANARY), "x": CANARY}
    )
    (line,) = lines(log)
    assert (line["message"], line["error"]) == ("lost", "builtins.LookupError")
    assert CANARY not in log.getvalue()


def with_trace(project: str | None) -> dict[str, Any]:
    stream = io.StringIO()
    logs.configure("json", "info", stream, google_project=project)
    token = logs.TRACE.set(Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True))
    structlog.get_logger().info("x")
    logs.TRACE.reset(token)
    structlog.get_logger().info("y")
    first, second = lines(stream)
    assert second.keys() == {"event", "message", "severity", "time"}
    return {name: value for name, value in first.items() if name not in second}


def test_a_line_of_a_trace_names_it_and_for_google_cloud_as_that_wants_it() -> None:
    assert with_trace(None) == {
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
        "span_id": "00f067aa0ba902b7",
        "trace_sampled": True,
    }
    assert with_trace("my-project") == {
        "logging.googleapis.com/trace": "projects/my-project/traces/4bf92f3577b34da6a3ce929d0e0e4736",
        "logging.googleapis.com/spanId": "00f067aa0ba902b7",
        "logging.googleapis.com/trace_sampled": True,
    }


def said_of(share: float, status: int, ids: Iterable[str]) -> set[str]:
    """Log a request of each id; return the ids that have a line."""
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    log_request = logs.RequestLog(share)
    for each in ids:
        token = logs.REQUEST_ID.set(each)
        log_request("GET", "/", status, 0, None)
        logs.REQUEST_ID.reset(token)
    return {line["request_id"] for line in lines(stream)}


@pytest.mark.parametrize("form", ["0123456789abcdef-{:x}", "client-{}", "{:064d}"])
def test_of_good_answers_a_share_is_told_always_the_same(form: str) -> None:
    ids = [form.format(number) for number in range(10_000)]
    few, more = said_of(0.05, 200, ids), said_of(0.5, 204, reversed(ids))
    assert 300 < len(few) < 700
    assert 4500 < len(more) < 5500
    assert few < more
    assert said_of(0, 200, ids) == set()
    assert said_of(1, 299, ids) == set(ids)


@pytest.mark.parametrize("status", [101, 303, 400, 429, 500, 503])
def test_every_other_answer_is_told(status: int) -> None:
    assert said_of(0, status, ["a", "b", "c"]) == {"a", "b", "c"}


def test_the_requests_of_one_trace_are_told_together() -> None:
    for number in range(100):
        token = logs.TRACE.set(Trace(f"{number:032x}", "00f067aa0ba902b7", sampled=False))
        assert len(said_of(0.5, 200, [f"r-{each}" for each in range(20)])) in (0, 20)
        logs.TRACE.reset(token)


@pytest.mark.parametrize("status, severity", [(200, "INFO"), (404, "INFO"), (500, "WARNING"), (503, "WARNING")])
def test_a_request_is_a_line_that_cloud_logging_reads(log: io.StringIO, status: int, severity: str) -> None:
    logs.RequestLog()("PÖST", "/api/auth/login", status, 0.0123456789, "a_code")
    (line,) = lines(log)
    del line["time"]
    assert line == {
        "event": "request",
        "severity": severity,
        "message": f"? /api/auth/login {status}",
        "code": "a_code",
        "httpRequest": {
            "requestMethod": "?",
            "requestUrl": "/api/auth/login",
            "status": status,
            "latency": "0.012346s",
        },
    }


def test_a_request_on_the_console_is_method_route_status_and_time() -> None:
    stream = io.StringIO()
    logs.configure("console", "info", stream)
    logs.RequestLog()("POST", "/api/auth/login", 401, 0.0312, "invalid_credentials")
    assert stream.getvalue().split()[1:] == [
        "INFO",
        "POST",
        "/api/auth/login",
        "401",
        "31.2",
        "ms",
        "invalid_credentials",
    ]
