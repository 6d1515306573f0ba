"""Where a request comes from, as sessions and the journal keep it."""

from functools import partial

from aiohttp import hdrs, web

from authsvc.events import Origin

MAX_AGENT_LENGTH = 256


def origin_of(request: web.Request) -> Origin:
    """Return the network address of the other end, and its User-Agent, shortened, in printable characters."""
    agent = request.headers.get(hdrs.USER_AGENT, "")[:MAX_AGENT_LENGTH]
    printable = "".join(character if character.isprintable() else "?" for character in agent)
    return Origin(request.remote, printable or None, partial(_is_connected, request))


def _is_connected(request: web.Request) -> bool:
    """Tell whether the client is still there: aiohttp lets a handler run to its end all the same."""
    transport = request.transport
    return transport is not None and not transport.is_closing()
