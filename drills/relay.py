"""A way to PostgreSQL that can be slow, silent or cut."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

CHUNK = 65_536


class Relay:
    """Passes bytes on between a listening TCP socket and the server's own."""

    def __init__(self, socket_path: str) -> None:
        self._delay_seconds = 0.0
        self._socket_path = socket_path
        self._passes = asyncio.Event()
        self._passes.set()
        self._is_cut = False
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def listening(self, at: socket.socket) -> AsyncIterator[Self]:
        """Listen until the block ends."""
        server = await asyncio.start_server(self._serve, sock=at, backlog=512)
        try:
            yield self
        finally:
            server.close()
            self._abort()

    @asynccontextmanager
    async def slow(self, seconds: float) -> AsyncIterator[None]:
        """Hold up each answer."""
        self._delay_seconds = seconds
        try:
            yield
        finally:
            self._delay_seconds = 0.0

    @asynccontextmanager
    async def cut(self) -> AsyncIterator[None]:
        """Reset every connection, and each new one."""
        self._is_cut = True
        self._abort()
        try:
            yield
        finally:
            self._is_cut = False

    @asynccontextmanager
    async def silent(self) -> AsyncIterator[None]:
        """Let nothing through, and tell nobody; what was held up arrives afterwards."""
        self._passes.clear()
        try:
            yield
        finally:
            self._passes.set()

    def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._is_cut:
                return
            await self._passes.wait()
            there, back = await asyncio.open_unix_connection(self._socket_path)
            self._writers.add(back)
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._pass_on(reader, back, is_answer=False))
                    tasks.create_task(self._pass_on(there, writer, is_answer=True))
            finally:
                back.transport.abort()
                self._writers.discard(back)
        except (OSError, ExceptionGroup):  # one side is gone: so is the other
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        while data := await reader.read(CHUNK):
            await self._passes.wait()
            if is_answer and self._delay_seconds:
                await asyncio.sleep(self._delay_seconds)
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError
