"""Log lines for people: the time of day, how grave it is, what happened, and the rest as key=value, all on one line."""

from collections.abc import Callable

from structlog.dev import Column, ConsoleRenderer, KeyValueColumnFormatter
from structlog.typing import EventDict, Processor, WrappedLogger

_RESET, _BOLD, _DIM = "\x1b[0m", "\x1b[1m", "\x1b[2m"
_RED, _GREEN, _YELLOW, _CYAN = "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"
_OF_SEVERITY = {"DEBUG": _DIM, "INFO": _GREEN, "WARNING": _YELLOW, "ERROR": _RED, "CRITICAL": _RED + _BOLD}
_LEFT_OUT = frozenset({"event", "httpRequest", "span_id", "trace_sampled"})
_OF_STATUS = {"2": _GREEN, "3": _CYAN, "4": _YELLOW, "5": _RED}


def for_terminals(*, colours: bool) -> list[Processor]:
    """Return the last processors of a line."""
    paint: Callable[[str, str], str] = _coloured if colours else lambda text, _colour: text
    reset, dim, bold, cyan = (_RESET, _DIM, _BOLD, _CYAN) if colours else ("", "", "", "")

    def severity(key: str, value: object) -> str:  # noqa: ARG001 - the name is structlog's
        return paint(f"{value:<8}", _OF_SEVERITY[str(value)])

    def status(key: str, value: object) -> str:  # noqa: ARG001
        return paint(str(value), _OF_STATUS.get(str(value)[:1], ""))

    plain = KeyValueColumnFormatter(None, dim, reset, value_repr=_on_one_line)
    columns = [
        Column("", KeyValueColumnFormatter(cyan, "", reset, value_repr=_quoted)),
        Column("time", plain),
        Column("severity", severity),
        Column("message", KeyValueColumnFormatter(None, bold, reset, value_repr=_on_one_line, width=36)),
        Column("status", status),
        Column("latency", plain),
        Column("code", KeyValueColumnFormatter(None, "", reset, value_repr=_on_one_line)),
    ]
    return [_shortened, ConsoleRenderer(columns=columns)]


def _shortened(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Leave out what a person at a terminal knows, and spread the request out."""
    shown = {name: value for name, value in event.items() if name not in _LEFT_OUT}
    shown["time"] = event["time"][11:23]
    if (request := event.get("httpRequest")) is not None:
        shown["message"] = f"{request['requestMethod']:<6} {request['requestUrl']}"
        shown["status"] = request["status"]
        shown["latency"] = f"{float(request['latency'].removesuffix('s')) * 1000:7.1f} ms"
    if shown.get("tag") == shown["message"]:
        del shown["tag"]
    return shown


def _coloured(text: str, colour: str) -> str:
    return f"{colour}{text}{_RESET}"


def _on_one_line(value: object) -> str:
    """Return it as a text that no terminal takes for a command, and no reader for two lines."""
    text = str(value)
    return text if text.isprintable() else repr(text)


def _quoted(value: object) -> str:
    text = _on_one_line(value)
    return repr(text) if " " in text and text[:1] not in "'\"[{(" else text
