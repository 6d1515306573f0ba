"""Requests offered at a rate, whether or not the former ones were answered; latency counts from when each was due.

A closed loop asks less the slower the answers are, and so does not see what it does to the others. The client is as
little as can be, since it shares the cores with what it measures: prepared bytes, and of the answer the status.
"""

import asyncio
import re
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_HEAD_END = b"\r\n\r\n"


@dataclass
class Offered:
    """What came of it."""

    answers: list[tuple[float, int]] = field(default_factory=list)
    """When each came, of `time.perf_counter`, and its status; 0 where the connection broke.

    uvloop's own clock counts in milliseconds.
    """
    latencies: list[float] = field(default_factory=list)
    """Seconds from when a request was due to its answer."""

    def statuses(self, began: float, ended: float) -> Counter[int]:
        """Return how many answers of each status came within a time."""
        return Counter(status for moment, status in self.answers if began <= moment < ended)


class _Connection(asyncio.Protocol):
    """A kept-alive connection with one request on its way."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._received = b""
        self._answered: asyncio.Future[int] | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none by their class

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(exc or ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(_HEAD_END)
        if not separator or self._answered is None or self._answered.done():
            return
        status, length = _STATUS.match(head), _LENGTH.search(head + b"\r\n")
        if status is not None and len(body) >= (int(length[1]) if length else 0):
            self._received = b""
            self._answered.set_result(int(status[1]))

    @property
    def is_open(self) -> bool:
        """Tell whether it can be used again."""
        return self._transport is not None and not self._transport.is_closing()

    async def ask(self, request: bytes) -> int:
        """Return the status of the answer."""
        if self._transport is None:
            raise ConnectionResetError
        self._answered = self._loop.create_future()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.abort()


class Offerer:
    """Offers requests to one address."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._idle: deque[_Connection] = deque()
        self._open = 0

    def request(self, method: str, path: str, *, body: bytes = b"", bearer: str | None = None) -> bytes:
        """Return a request as bytes."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        lines += [f"Authorization: Bearer {bearer}"] if bearer else []
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def offer(self, requests: Sequence[bytes], *, rate: float, seconds: float) -> Offered:
        """Send them in turn, `rate` a second; return when all are answered."""
        offered, began, number = Offered(), time.perf_counter(), 0
        async with asyncio.TaskGroup() as tasks:
            while (due := began + number / rate) < began + seconds:
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                tasks.create_task(self._send(requests[number % len(requests)], due, offered))
                number += 1
        return offered

    async def keep_busy(self, requests: Sequence[bytes], *, clients: int, seconds: float) -> Offered:
        """Send them as fast as so many clients can that wait for each answer."""
        offered, end = Offered(), time.perf_counter() + seconds

        async def client(first: int) -> None:
            number = first
            while time.perf_counter() < end:
                await self._send(requests[number % len(requests)], time.perf_counter(), offered)
                number += clients

        await asyncio.gather(*(client(number) for number in range(clients)))
        return offered

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def _send(self, request: bytes, due: float, offered: Offered) -> None:
        try:
            connection = await self._connection()
            status = await connection.ask(request)
        except OSError:
            offered.answers.append((time.perf_counter(), 0))
            return
        offered.answers.append((time.perf_counter(), status))
        offered.latencies.append(time.perf_counter() - due)
        self._idle.append(connection)

    async def _connection(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        loop = asyncio.get_running_loop()
        _transport, connection = await loop.create_connection(lambda: _Connection(loop), self._host, self._port)
        return connection
