"""Structured logs on standard output: JSON lines, or readable colours in a terminal.

What is logged is a closed set of fields: never a password, a token, a cookie, an address or a query string. What
libraries say through `logging` takes the same road, without their exception texts: asyncpg quotes values and aiohttp
quotes header bytes in theirs.
"""

import json
import logging
import sys
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

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
    structlog.configure(
        processors=[
            _add_context,
            _render_exception_frames,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_names: _Output(stream),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_ToStructlog()], level=logging.WARNING, force=True)


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

    def msg(self, message: str) -> None:
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warning = error = critical = msg
