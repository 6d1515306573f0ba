"""The connections of a port: how many there are, how long each may take, and who gives way to a newcomer.

aiohttp knows one limit alone, for an idle connection. Here a head, and an answer that is not taken, have theirs too.
What is no HTTP is refused by the application as everything else is; aiohttp quotes it in its answer and its log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast
from weakref import WeakSet

from aiohttp import EMPTY_PAYLOAD, StreamReader, web

from authsvc.web.routes import MALFORMED

MAX_LINE_BYTES = 4096
MAX_FIELD_BYTES = 8190
MAX_FIELDS = 64
# Of a head that has not ended: the parser bounds each field and their number, 1 MiB together, and holds it twice.
MAX_HEAD_BYTES = 32 * 1024
# Of a body that nobody reads yet: then no more is read, or at a 16th as many chunks, which cost more than they hold.
UNREAD_BYTES = 16 * 1024
# Beyond the 60 s that load balancers keep idle connections, so that it is they who close one, never both at once.
KEEPALIVE_SECONDS = 75
# For the head of a request, from the connection or from the head's first bytes on.
HEAD_SECONDS = 10
# For a client to take what waits for it.
TAKE_SECONDS = 30
# What a client still sends after its answer is read and thrown away, that the answer is not lost to a reset.
LINGER_SECONDS = 2

# How often it is looked whether all is answered, at the end alone: counting them would cost each request.
_LOOK_SECONDS = 0.02
# Of one small request that waits for its turn, which costs less than to stop reading.
_WAITING_BYTES = 4096
# No head can go on with it: the parser refuses the head as it refuses any that is malformed.
_NO_HTTP = b"\0"

Handle = Callable[[Any], Awaitable[web.StreamResponse]]


class Connections:
    """The open connections of one port, at most `limit`.

    Beyond it those that wait for their client give way, the one that waits longest first: for a request, for the rest
    of its body, or to have an answer taken. Where none does the newcomer is hung up on.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: set[Connection] = set()
        self._waiting: dict[Connection, None] = {}
        # Closed ones as well, as long as what they asked for is still worked on.
        self._all: WeakSet[Connection] = WeakSet()

    def __len__(self) -> int:
        return len(self._open)

    def accept(self, server: web.Server) -> asyncio.Protocol:
        """Return the protocol of a new connection."""
        if len(self._open) >= self._limit:
            waiting = next((each for each in self._waiting if each.waits_for_its_client), None)
            if waiting is None:
                return _HungUp()
            waiting.hang_up()
        return Connection(server, self)

    def opened(self, connection: "Connection") -> None:
        """Count a connection that waits for its first request."""
        self._open.add(connection)
        self._all.add(connection)
        self._waiting[connection] = None

    def closed(self, connection: "Connection") -> None:
        """Count a connection no more."""
        self._open.discard(connection)
        self._waiting.pop(connection, None)

    def asks(self, connection: "Connection", body: StreamReader) -> None:
        """Let a connection not give way while its request is being answered, once the `body` has come."""
        connection.end_of_head()
        self._waiting.pop(connection, None)
        if not body.is_eof():
            connection.body = body
            self._waiting[connection] = None
            body.on_eof(partial(self._has_come, connection, body))

    def waits(self, connection: "Connection") -> None:
        """Let a connection give way again, after all that wait already."""
        if connection.body is not None:
            connection.body = None
            self._waiting.pop(connection, None)
        if connection in self._open:
            self._waiting[connection] = None

    async def all_answered(self) -> None:
        """Return when nothing is in flight: no answer is being made, or has not left yet."""
        while any(each.is_answering for each in self._all):  # noqa: ASYNC110 - nobody tells it
            await asyncio.sleep(_LOOK_SECONDS)

    def _has_come(self, connection: "Connection", body: StreamReader) -> None:
        if connection.body is body:
            connection.body = None
            self._waiting.pop(connection, None)


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
            read_bufsize=UNREAD_BYTES,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_FIELDS,
            auto_decompress=False,
        )
        self._connections = connections
        self._head: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None
        # Bytes of a head that has not ended, and the body of the last head that has.
        self._unended = 0
        self._last_body: StreamReader = EMPTY_PAYLOAD
        self.body: StreamReader | None = None
        """Of the request that is being answered, where not all of it has come."""

    @property
    def waits_for_its_client(self) -> bool:
        """Whether it is the client that has to do something now."""
        return self.idle or self.body is not None or self._taking is not None

    @property
    def idle(self) -> bool:
        """Whether all requests that have come are answered."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def is_answering(self) -> bool:
        """Whether an answer is being made, or has not left yet."""
        return self._request_in_progress or (self.transport is not None and self.transport.get_write_buffer_size() > 0)

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
        """Bound a head and the trailers of a body, and give a later head its time, from its first bytes on.

        Theirs are the bytes that bring neither a whole head nor any of a body. Whole requests that wait for their turn
        pause the reading, since they are kept, too.
        """
        requests, body = self._request_count, self._last_body
        received = body.total_bytes
        super().data_received(data)
        if requests != self._request_count:
            self._unended = 0
            self._requests_have_come(body, data)
        elif received != body.total_bytes or self._buffer_paused:
            self._unended = 0
        else:
            self._bound_unended(len(data))
        if self._head is None and self.idle:
            self._head = self._loop.call_later(HEAD_SECONDS, self.hang_up)

    def _requests_have_come(self, body: StreamReader, data: bytes) -> None:
        if not body.is_eof():
            # Nothing else comes before the end of a body: what has come was no part of one.
            body.set_exception(web.RequestPayloadError("malformed"))
            self._lingering_time = 0  # it would read on, and log what it meets as an error
        self._last_body = self._messages[-1][1]
        if self._waiter is None and (len(self._messages) > 1 or len(data) > _WAITING_BYTES):
            self._pause_reading_for_buffer()

    def _bound_unended(self, more: int) -> None:
        self._unended += more
        if self._unended <= MAX_HEAD_BYTES:
            return
        if self._last_body.is_eof():
            self._unended = 0
            super().data_received(_NO_HTTP)
        else:
            self.hang_up()

    def _resume_reading_if_drained(self) -> None:
        """Read on once no request waits for its turn. aiohttp does from 16 on, of up to 64 KiB each."""
        if not self._messages:
            super()._resume_reading_if_drained()

    def end_of_head(self) -> None:
        """Stop the clock of the head that has come."""
        if self._head is not None:
            self._head.cancel()
            self._head = None

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
        # Not asked for its class: uvloop's transports are none of asyncio's.
        cast("asyncio.Transport", transport).abort()
