"""Structured logs on standard output: JSON lines, or readable colours in a terminal.

What is logged is a closed set of fields: never a password, a token, a cookie, an address or a query string. What
libraries say through `logging` takes the same road, without their exception texts: asyncpg quotes values and aiohttp
quotes header bytes in theirs.
"""

import json
import logging
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# About 3 MB of lines.
MAX_WAITING = 10_000
# Lines are written together: for each one alone the thread would take the interpreter from the event loop.
GATHER_SECONDS = 0.01
MOST_AT_ONCE = 64
# For what still waits to be written at the end.
FLUSH_SECONDS = 2

REQUEST_ID: ContextVar[str] = ContextVar("REQUEST_ID", default="")
"""The id of the request that is being answered: it stands in every line."""


def configure(log_format: str, level: str, stream: TextIO | None = None) -> None:
    """Send all log lines of at least `level` to standard output in `log_format` (auto: console in a terminal)."""
    stream = stream or sys.stdout
    console = log_format == "console" or (log_format == "auto" and stream.isatty())
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if console
        else structlog.processors.JSONRenderer(serializer=_to_json)
    )
    output = _Output(stream)
    structlog.configure(
        processors=[
            _add_context,
            _render_exception_frames,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: output,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)


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


def _add_context(_logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Add the level, the time and the request id: what structlog's own three processors do in thrice the time."""
    event["level"] = method
    event["timestamp"] = datetime.now(UTC).isoformat()  # noqa: TID251 - the time of a line is the machine's
    if request_id := REQUEST_ID.get():
        event["request_id"] = request_id
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
        structlog.get_logger().log(level, "library", logger=record.name, text=text, exc_info=error)


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
        with self._counting:
            self._lost += 1
            self.lost_in_all += 1

    def close(self) -> None:
        """Wait until all is written, but not for ever."""
        self._lines.put(None)
        self._thread.join(FLUSH_SECONDS)

    def _run(self) -> None:
        is_over = False
        while not is_over:
            lines, is_over = self._gathered()
            if not self._is_written(lines):
                with self._counting:
                    self._lost += len(lines)
            elif self._lost and self._lines.empty():
                with self._counting:
                    lost, self._lost = self._lost, 0
                structlog.get_logger().warning("log lines lost", count=lost)

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
