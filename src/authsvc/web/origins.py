"""Where a request comes from, as sessions, the journal and the limits keep it.

`X-Forwarded-For` is a text that anybody can send: each proxy adds on the right whom it was asked by, so that only what
the trusted ones added is true. It is walked from the right, as far as they reach.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog
from aiohttp import hdrs, web

from authsvc import addresses
from authsvc.addresses import Address
from authsvc.environment import TrustedProxies
from authsvc.events import Origin
from authsvc.web.cookies import Cookie

MAX_AGENT_LENGTH = 256
MOST_PROXIES = 32


@dataclass
class Origins:
    """Which proxies are believed, and the cookie of a browser that logged in before."""

    trusted: TrustedProxies | None
    known_browser: Cookie
    _has_warned: bool = field(default=False, init=False)

    def warn_of_ignored(self) -> None:
        """Say once that a proxy may stand before this service that nobody told it of."""
        if not self._has_warned:
            self._has_warned = True
            structlog.get_logger().warning(
                "forwarded_for_ignored",
                advice="A request had X-Forwarded-For, and no proxy is trusted. If one stands before this service, set"
                " AUTHSVC_TRUSTED_PROXIES: without it the limits count everybody behind it as one.",
            )


ORIGINS = web.AppKey("ORIGINS", Origins)


@dataclass(frozen=True)
class ClientAddress:
    """The address that a request is taken to come from, None where it has none (a Unix socket); and why that one."""

    address: str | None
    why: str


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: TrustedProxies | None) -> ClientAddress:
    """Return whom a request comes from: `peer` is the other end, `forwarded_for` the header's lines, in order.

    Whatever the header lacks, or says that is no address, leaves the peer: never what a client wrote.
    """
    other_end = addresses.parse(peer or "")
    fallback = None if other_end is None else str(other_end)
    if not forwarded_for:
        return ClientAddress(fallback, "there is no X-Forwarded-For, and this is the other end of the connection")
    if trusted is None:
        return ClientAddress(fallback, "no proxy is trusted (AUTHSVC_TRUSTED_PROXIES), and this is the other end")
    entries = ",".join(forwarded_for).rsplit(",", MOST_PROXIES)[-MOST_PROXIES:]
    if trusted.hops:
        if len(entries) < trusted.hops:
            return ClientAddress(
                fallback, f"the header has fewer entries than {trusted.hops}, and this is the other end"
            )
        found = addresses.parse(entries[-trusted.hops])
        if found is None:
            return ClientAddress(fallback, "that entry of the header is no address, and this is the other end")
        return ClientAddress(str(found), f"entry {trusted.hops} from the right, as many as there are trusted proxies")
    return _walk(other_end, entries, trusted)


def _walk(other_end: Address | None, entries: Sequence[str], trusted: TrustedProxies) -> ClientAddress:
    fallback = None if other_end is None else str(other_end)
    if other_end is None or not trusted.include(other_end):
        return ClientAddress(fallback, "the other end is no trusted proxy, and its header counts for nothing")
    for entry in reversed(entries):
        found = addresses.parse(entry)
        if found is None:
            return ClientAddress(fallback, "an entry of the header is no address, and this is the other end")
        if not trusted.include(found):
            return ClientAddress(str(found), "the first from the right that is no trusted proxy")
    return ClientAddress(fallback, "the header names trusted proxies alone, and this is the other end")


def origin_of(request: web.Request) -> Origin:
    """Return whom a request comes from; of the User-Agent the begin, in printable characters."""
    origins = request.app[ORIGINS]
    lines = request.headers.getall(hdrs.X_FORWARDED_FOR, [])
    if lines and origins.trusted is None:
        origins.warn_of_ignored()
    client = client_address(request.remote, lines, origins.trusted)
    agent = request.headers.get(hdrs.USER_AGENT, "")[:MAX_AGENT_LENGTH]
    if not agent.isprintable():
        agent = "".join(character if character.isprintable() else "?" for character in agent)
    return Origin(client.address, agent or None, origins.known_browser.read(request), partial(_is_connected, request))


def _is_connected(request: web.Request) -> bool:
    """Tell whether the client is still there: aiohttp lets a handler run to its end all the same."""
    transport = request.transport
    return transport is not None and not transport.is_closing()
