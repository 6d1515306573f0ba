"""W3C Trace Context: where a request stands in a trace (https://www.w3.org/TR/trace-context/#traceparent-header)."""

import re
from dataclasses import dataclass

HEADER = "traceparent"

# What a later version adds comes behind another dash; version 00 has no more, and ff is no version (§3.2.2).
_TRACEPARENT = re.compile(
    r"(?!ff|00.{53}-)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(-.*)?"
)
_SAMPLED = 1


@dataclass(frozen=True, slots=True)
class Trace:
    """A trace and one span of it, in lower-case hexadecimal digits; `sampled`: whether somebody records it."""

    trace_id: str
    span_id: str
    sampled: bool


def read(text: str) -> Trace | None:
    """Return what a `traceparent` says, or None where it is malformed: then it counts as not sent (§3.2.2.5)."""
    match = _TRACEPARENT.fullmatch(text)
    if match is None:
        return None
    return Trace(match["trace"], match["span"], bool(int(match["flags"], 16) & _SAMPLED))
