"""The connections of a port: how many there are, how long each may take, and who gives way to a newcomer.

aiohttp knows one limit alone, for an idle connection. Here a head, and an answer that is not taken, have theirs too.
What is no HTTP is refused by the application as everything else is; aiohttp quotes it in its answer and its log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from authsvc.web.middleware import MALFORMED

MAX_LINE_BYTES = 4096
MAX_FIELD_BYTES = 8190
# Beyond the 60 s that load balancers keep idle connections, so that it is they who close one, never both at once.
KEEPALIVE_SECONDS = 75
# For the head of a request, from the connection or from the head's first bytes on.
HEAD_SECONDS = 10
# For a client to take what waits for it.
TAKE_SECONDS = 30
# What a client still sends after its answer is read and thrown away, that the answer is not lost to a reset.
LINGER_SECONDS = 2

Handle = Callable[[Any], Awaitable[web.StreamResponse]]


class Connections:
    """The open connections of one port, at most `limit`.

    Beyond it those that wait for a request give way, the one that waits longest first; where all are busy the newcomer
    is hung up on.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}
        self._in_flight = 0
        self._none_in_flight = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    def accept(self, server: web.Server) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        if len(self._open) >= self._limit:
            idle = next((each for each in self._waiting if each.idle), None)
            if idle is None:
                return _HungUp()
            idle.hang_up()
        return Connection(server, self)

    def opened(self, connection: "Connection") -> None:
        """Count a connection that waits for its first request."""
        self._open.add(connection)
        self._waiting[connection] = None

    def closed(self, connection: "Connection") -> None:
        """Count a connection no more."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def asks(self, connection: "Connection") -> None:
        """Let a connection not give way: its request is being answered."""
        connection.end_of_head()
        self._waiting.pop(connection, None)

    def waits(self, connection: "Connection") -> None:
        """Let a connection give way again, after all that wait already."""
        if connection in self._open:
            self._waiting[connection] = None

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Count a request whose answer is made, or sent."""
        self._in_flight += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._none_in_flight.set()

    async def all_answered(self) -> None:
        """Return when nothing is in flight."""
        while self._in_flight:
            self._none_in_flight.clear()
            await self._none_in_flight.wait()


class Connection(web.RequestHandler):
    """One connection of a client."""

    def __init__(self, server: web.Server, connections: Connections) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # aiohttp's own word for none
            logger=logging.getLogger("aiohttp.server"),
            keepalive_timeout=KEEPALIVE_SECONDS,
            lingering_time=LINGER_SECONDS,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            auto_decompress=False,
        )
        self._connections = connections
        self._head: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether all requests that have come are answered."""
        return self._waiter is not None and not self._waiter.done()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Give the first head its time."""
        super().connection_made(transport)
        self._connections.opened(self)
        self._head = self._loop.call_later(HEAD_SECONDS, self.hang_up)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the clocks."""
        self._connections.closed(self)
        self.end_of_head()
        self._taken()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Give a later head its time, from its first bytes on: what comes while a request is answered is a body's."""
        super().data_received(data)
        if self._head is None and self.idle:
            self._head = self._loop.call_later(HEAD_SECONDS, self.hang_up)

    def end_of_head(self) -> None:
        """Stop the clock of the head that has come."""
        if self._head is not None:
            self._head.cancel()
            self._head = None

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer: what is sent as it is read is in flight until its end."""
        with self._connections.in_flight():
            return await super().finish_response(request, resp, start_time)

    def pause_writing(self) -> None:
        """Give the client its time to take what waits for it."""
        super().pause_writing()
        self._taking = self._loop.call_later(TAKE_SECONDS, self.hang_up)

    def resume_writing(self) -> None:
        """Stop that clock."""
        super().resume_writing()
        self._taken()

    def hang_up(self) -> None:
        """Close at once, whatever the client has not taken yet."""
        transport = self.transport
        self._connections.closed(self)
        self.force_close()
        if transport is not None:
            transport.abort()

    def _taken(self) -> None:
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None

    def _make_error_handler(self, _fault: object) -> Handle:
        handle = self._request_handler

        async def refuse(request: web.BaseRequest) -> web.StreamResponse:
            assert handle is not None  # noqa: S101 - it is the server's
            request[MALFORMED] = True
            response: web.StreamResponse = await handle(request)
            response.force_close()
            return response

        return refuse


class _HungUp(asyncio.Protocol):
    """A connection that nobody has a hand free for."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a TCP socket
        transport.abort()
