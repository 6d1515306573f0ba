"""Traces by OpenTelemetry, sent over OTLP: the request, the hash, and each SQL statement by its name.

The one door to that library, which is there only with the extra `otel`: import this where traces are asked for, and
nowhere else. Where to, how often and with which sampler is said by OpenTelemetry's own variables (docs/logging.md).

No attribute holds what a client sent: no path, no query, no header, no value of a statement.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

from authsvc import logs
from authsvc.traceparent import Trace

CLOSE_SECONDS = 1
"""For what is not sent yet at the end."""
METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})


class Tracing:
    """Makes the spans, and sends them from a thread of its own. `close` it at the end.

    Where nobody takes them they wait in a bounded queue, and the newest are lost: no request waits for that.
    """

    def __init__(self) -> None:
        """Read OpenTelemetry's variables.

        Raises:
            ValueError: one of them cannot be used.
        """
        resource = Resource.create({SERVICE_VERSION: version("authsvc")})
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):  # nobody has given it another
            resource = resource.merge(Resource({SERVICE_NAME: "authsvc"}))
        # Not at the interpreter's exit: `close` has its bound.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("authsvc")

    @contextmanager
    def request(self, method: str, route: str | None, parent: Trace | None) -> "Iterator[Answered]":
        """Have a span around a request; the log lines within, and that of the request, name it."""
        known = method if method in METHODS else None
        attributes = {"http.request.method": known or "_OTHER"}
        if route is not None:
            attributes["http.route"] = route
        with self._tracer.start_as_current_span(
            f"{known or 'HTTP'} {route or ''}".rstrip(),
            context=set_span_in_context(NonRecordingSpan(_context_of(parent))) if parent else None,
            kind=SpanKind.SERVER,
            attributes=attributes,
            # An exception's text may quote values.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            context = span.get_span_context()
            logs.TRACE.set(
                Trace(f"{context.trace_id:032x}", f"{context.span_id:016x}", sampled=context.trace_flags.sampled)
            )
            yield Answered(span)

    def hashed(self, waited: float, ago: float, seconds: float) -> None:
        """Record a hash that waited in its queue, began so many seconds `ago` and took so many."""
        attributes = {"authsvc.hash.wait_seconds": waited}
        self._past("password hash", SpanKind.INTERNAL, attributes, ago=ago, seconds=seconds)

    def queried(self, name: str, seconds: float, error: BaseException | None) -> None:
        """Record a statement that has just ended, by its name."""
        attributes: dict[str, str | float] = {"db.system.name": "postgresql", "db.query.summary": name}
        self._past(name, SpanKind.CLIENT, attributes, ago=seconds, seconds=seconds, error=error)

    async def close(self) -> None:
        """Send what waits, for at most CLOSE_SECONDS."""
        # A daemon: the exporter may still be waiting for an answer when the process ends.
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        await asyncio.to_thread(closing.join, CLOSE_SECONDS)

    def _past(
        self,
        name: str,
        kind: SpanKind,
        attributes: "dict[str, str | float] | dict[str, float]",
        *,
        ago: float,
        seconds: float,
        error: BaseException | None = None,
    ) -> None:
        # What happens beside all requests, as the poll of ended sessions, would be a trace of its own each time.
        if not get_current_span().is_recording():
            return
        began = time.time_ns() - round(ago * 1e9)
        span = self._tracer.start_span(name, kind=kind, attributes=attributes, start_time=began)
        if error is not None:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(StatusCode.ERROR)
        span.end(began + round(seconds * 1e9))


class Answered:
    """Tells the span of a request how it was answered."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def __call__(self, status: int, code: str | None) -> None:
        """`code` is that of a refusal."""
        self._span.set_attribute("http.response.status_code", status)
        if code is not None:
            self._span.set_attribute("error.type", code)
        if status >= 500:  # noqa: PLR2004 - what a client did wrong is no error of this span (semantic conventions)
            self._span.set_status(StatusCode.ERROR)


def _context_of(parent: Trace) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote=True, trace_flags=flags)
