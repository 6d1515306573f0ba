"""Structured logs on standard output: JSON lines, or readable colours in a terminal.

The fields have the names that Google Cloud Logging knows (docs/logging.md), and are a closed set: never a password, a
token, a cookie, an address or a query string. What libraries say through `logging` takes the same road, without their
exception texts: asyncpg quotes values and aiohttp quotes header bytes in theirs.
"""

import json
import logging
import os
import select
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from authsvc.console import for_terminals
from authsvc.traceparent import Trace

# About 3 MB of lines.
MAX_WAITING = 10_000
# Lines are written together: for each one alone the thread would take the interpreter from the event loop.
GATHER_SECONDS = 0.01
MOST_AT_ONCE = 64
# For what still waits to be written at the end.
FLUSH_SECONDS = 2

REQUEST_ID: ContextVar[str] = ContextVar("REQUEST_ID", default="")
"""The id of the request that is being answered: it stands in every line."""
TRACE: ContextVar[Trace | None] = ContextVar("TRACE", default=None)
"""Where that request stands in a trace, if it does: in every line too."""

_SEVERITIES = {name: name.upper() for name in ("debug", "info", "warning", "error", "critical")}


def configure(log_format: str, level: str, stream: TextIO | None = None, google_project: str | None = None) -> None:
    """Send all log lines of at least `level` to standard output in `log_format` (auto: console in a terminal).

    With a `google_project` a trace is named as Cloud Logging finds it there.
    """
    stream = stream or sys.stdout
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    renderers: list[Processor] = (
        for_terminals(colours=stream.isatty()) if console else [structlog.processors.JSONRenderer(serializer=_to_json)]
    )
    output = _Output(stream)
    structlog.configure(
        processors=[_Context(google_project), _render_exception_frames, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: output,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)


class RequestLog:
    """The one line of each request."""

    def __init__(self, share: float = 1) -> None:
        """Of the good answers (2xx) only a `share`, from 0 to 1, leaves a line; all others always do."""
        self._bound = share * 2**32
        self._log = structlog.get_logger()

    def __call__(self, method: str, route: str, status: int, seconds: float, code: str | None) -> None:
        """Write the line, with the route's template and never the path or its query; `code` is that of a refusal."""
        if self._bound < 2**32 and 200 <= status < 300 and self._is_left_out():  # noqa: PLR2004 - 2xx
            return
        method = method if method.isascii() else "?"
        request = {"requestMethod": method, "requestUrl": route, "status": status, "latency": f"{seconds:.6f}s"}
        more = {} if code is None else {"code": code}
        say = self._log.info if status < 500 else self._log.warning  # noqa: PLR2004 - 5xx
        say("request", message=f"{method} {route} {status}", httpRequest=request, **more)

    def _is_left_out(self) -> bool:
        # Not by chance: who looks for a trace finds all of its requests, or none.
        trace = TRACE.get()
        chosen_by = REQUEST_ID.get() if trace is None else trace.trace_id
        return zlib.crc32(chosen_by.encode()) >= self._bound


@contextmanager
def in_the_background() -> Iterator[None]:
    """Let a thread write the lines while this lasts: a reader who does not take them stops nobody.

    More than MAX_WAITING do not wait: they are lost, as are those that cannot be written, and a line says how many. In
    the end what waits is written, for at most FLUSH_SECONDS.
    """
    output = structlog.get_config()["logger_factory"]()
    writer = output.writer = _Writer(output.descriptor)
    try:
        yield
    finally:
        output.writer = None
        writer.close()


class _Context:
    """Adds severity, message, time and whose request it is: what structlog's own processors do in thrice the time."""

    def __init__(self, google_project: str | None) -> None:
        self._prefix, self._names = "", ("trace_id", "span_id", "trace_sampled")
        if google_project:
            self._prefix = f"projects/{google_project}/traces/"
            self._names = (
                "logging.googleapis.com/trace",
                "logging.googleapis.com/spanId",
                "logging.googleapis.com/trace_sampled",
            )

    def __call__(self, _logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        event["severity"] = _SEVERITIES[method]
        event.setdefault("message", event["event"])
        event["time"] = datetime.now(UTC).isoformat()  # noqa: TID251 - the time of a line is the machine's
        if request_id := REQUEST_ID.get():
            event["request_id"] = request_id
        if trace := TRACE.get():
            of_trace, of_span, sampled = self._names
            event[of_trace], event[of_span] = self._prefix + trace.trace_id, trace.span_id
            event[sampled] = trace.sampled
        return event


def _to_json(event: EventDict, **_options: object) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:  # a lone surrogate, an integer of more than 64 bits: a strange value must not fail a request
        return json.dumps(event, default=str)


def _render_exception_frames(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace `exc_info` by the exception's type and its frames: where it happened, never with which values."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if not isinstance(error, BaseException):
        return event
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno} {trace.tb_frame.f_code.co_name}")
        trace = trace.tb_next
    return {**event, "error": f"{type(error).__module__}.{type(error).__qualname__}", "frames": frames}


class _ToStructlog(logging.Handler):
    """Carries the lines of libraries over: logger, level and the type of the exception, no formatted values."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        # record.msg is the library's constant text; its arguments may hold what a client sent, and so may the lines
        # below the first that asyncio adds to its own.
        text = record.msg.partition("\n")[0] if isinstance(record.msg, str) else type(record.msg).__name__
        # structlog knows no levels between the five.
        level = min(record.levelno // 10 * 10, logging.CRITICAL)
        if type(error).__module__ == "aiohttp.http_exceptions":
            # A client's fault, and anybody can be that client.
            level, error = logging.INFO, None
        structlog.get_logger().log(level, "library", message=text, logger=record.name, exc_info=error)


class _Output(structlog.WriteLogger):
    """An output that may be a pipe nobody reads any more: a lost log line must not fail a request."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._stream = stream
        self.writer: _Writer | None = None

    @property
    def descriptor(self) -> int:
        """The file descriptor that the lines go to."""
        return self._stream.fileno()

    def msg(self, message: str) -> None:
        if self.writer is not None:
            self.writer.put(message)
            return
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warning = error = critical = msg


def lines_lost() -> int:
    """Return how many lines were lost since the thread that writes them began."""
    output = structlog.get_config()["logger_factory"]()
    return output.writer.lost_in_all if isinstance(output, _Output) and output.writer else 0


class _Writer:
    """A thread that writes lines in their order.

    By the descriptor: a stream's lock, held by a thread that is stuck, would end the interpreter in a fatal error.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._room = select.poll()
        self._room.register(descriptor, select.POLLOUT)
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._lost, self._counting = 0, threading.Lock()
        self.lost_in_all = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Have a line written soon, or lose it."""
        if self._lines.qsize() < MAX_WAITING:
            self._lines.put(line)
            return
        self._count_lost(1)

    def close(self) -> None:
        """Wait until all is written, but not for ever."""
        self._lines.put(None)
        self._thread.join(FLUSH_SECONDS)

    def _run(self) -> None:
        is_over = False
        while not is_over:
            lines, is_over = self._gathered()
            if not self._is_written(lines):
                self._count_lost(len(lines))
            elif self._lost and self._lines.empty():
                with self._counting:
                    lost, self._lost = self._lost, 0
                structlog.get_logger().warning("log lines lost", count=lost)

    def _count_lost(self, lines: int) -> None:
        with self._counting:
            self._lost += lines
            self.lost_in_all += lines

    def _gathered(self) -> tuple[list[str], bool]:
        """Wait for a line; return it with what came soon after, and whether that was all."""
        lines: list[str] = []
        line = self._lines.get()
        if line is not None and self._lines.qsize() < MOST_AT_ONCE:
            time.sleep(GATHER_SECONDS)
        while line is not None:
            lines.append(line)
            if len(lines) == MOST_AT_ONCE or self._lines.empty():
                return lines, False
            line = self._lines.get()
        return lines, True

    def _is_written(self, lines: list[str]) -> bool:
        data = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
        try:
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:
                    # Another process has made it so: a descriptor's mode belongs to all who hold it.
                    self._room.poll()
        except (OSError, ValueError):
            return False
        return True
