"""A TCP proxy between the service and its PostgreSQL: it delays, throttles, swallows and cuts, at a chosen moment."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

CHUNK = 65_536


class Strike(Enum):
    """What becomes of the next COMMIT, or of another thing that passes."""

    CUT_BEFORE = auto()
    """The query never reaches the server."""
    CUT_AFTER = auto()
    """The server's answer never reaches the service."""
    SWALLOW_ANSWER = auto()
    """The same, and the connection stays open: nothing comes on it any more."""


@dataclass(eq=False)
class Link:
    """One connection of the service, and the one to the server that it goes on to."""

    service: asyncio.StreamWriter
    server: asyncio.StreamWriter
    swallows: bool = False

    def cut(self) -> None:
        for writer in (self.service, self.server):
            writer.transport.abort()


@dataclass(eq=False)
class Proxy:
    """Listens on 127.0.0.1; goes on to the Unix socket of a server, which may be another for the next connection."""

    socket: str
    delay: float = 0
    """Seconds that each chunk takes, each way."""
    bytes_per_second: float = float("inf")
    struck: int = 0
    port: int = 0
    _strike: Strike | None = None
    _mark: bytes = b""
    _links: set[Link] = field(default_factory=set)
    _open: asyncio.Event = field(default_factory=asyncio.Event)
    _sockets: asyncio.Server | None = None

    async def start(self) -> None:
        self._open.set()
        self._sockets = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._sockets.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._sockets is not None
        self._sockets.close()
        self._open.set()
        self.cut()
        await self._sockets.wait_closed()

    def strike(self, strike: Strike, mark: bytes | None = None) -> None:
        """Strike at the next chunk with this `mark`: by default that of COMMIT, which ends otherwise than in BEGIN."""
        self._strike = strike
        self._mark = mark or (b"COMMIT;" if strike is Strike.CUT_BEFORE else b"COMMIT\0")

    def cut(self) -> None:
        """End every connection, as a router that forgot them does."""
        for link in set(self._links):
            link.cut()

    def black_hole(self) -> None:
        """Let nothing through in either direction: connections are taken, and that is all."""
        self._open.clear()

    def let_through(self) -> None:
        self._open.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            from_server, to_server = await asyncio.open_unix_connection(self.socket)
        except OSError:
            writer.transport.abort()
            return
        link = Link(writer, to_server)
        self._links.add(link)
        with suppress(OSError):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._carry(link, reader, to_server, asked=True))
                tasks.create_task(self._carry(link, from_server, writer, asked=False))
        link.cut()
        self._links.discard(link)

    async def _carry(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, asked: bool
    ) -> None:
        while chunk := await reader.read(CHUNK):
            await self._open.wait()
            await asyncio.sleep(self.delay + len(chunk) / self.bytes_per_second)
            strike = self._strike
            if strike and self._mark in chunk and asked is (strike is Strike.CUT_BEFORE):
                self._strike = None
                self.struck += 1
                link.swallows = strike is Strike.SWALLOW_ANSWER
                if not link.swallows:
                    break
            if not link.swallows:
                writer.write(chunk)
                await writer.drain()
        if not link.swallows:
            link.cut()
