"""Two servers and one address: a standby that streams from a primary, and a switch in front of them."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from authsvc import embedded


@contextmanager
def standby_of(primary: embedded.Server, folder: Path) -> Iterator[embedded.Server]:
    """Run a hot standby of a server that has 20 connections, until the block ends."""
    data = folder / "postgres"
    command = [
        str(primary.installation.bin / "pg_basebackup"),
        *("--dbname", primary.url, "--pgdata", str(data), "--write-recovery-conf"),
        *("--wal-method", "stream", "--checkpoint", "fast", "--no-sync"),
    ]
    subprocess.run(command, check=True, capture_output=True)
    if os.geteuid() == 0:
        owner = Path(f"/proc/{primary.pid}").stat()
        subprocess.run(["chown", "-R", f"{owner.st_uid}:{owner.st_gid}", data], check=True)
    settings = {"max_connections": "20"}
    with embedded.serve(folder, pg_bin=primary.installation.bin, durable=False, settings=settings) as server:
        yield server


class Switch:
    """A TCP address; who connects reaches the server that it leads to at that moment, and stays there."""

    def __init__(self, server: embedded.Server) -> None:
        self.server = server
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()

    def url_of(self, database: str) -> str:
        """Return the address of a database, whichever server has it."""
        return f"postgresql://authsvc@127.0.0.1:{self.port}/{database}?sslmode=disable"

    async def cut(self) -> None:
        """Close every connection, as a proxy does whose server has gone."""
        for writer in self._open:
            writer.transport.abort()
        while self._open:  # noqa: ASYNC110 - each leaves when its two ways have ended
            await asyncio.sleep(0.01)

    @classmethod
    @asynccontextmanager
    async def before(cls, server: embedded.Server) -> AsyncIterator["Switch"]:
        """Listen until the block ends."""
        switch = cls(server)
        listening = await asyncio.start_server(switch._carry, "127.0.0.1", 0)
        switch.port = listening.sockets[0].getsockname()[1]
        try:
            yield switch
        finally:
            listening.close()
            await switch.cut()
            await listening.wait_closed()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        where = parse_qs(urlsplit(self.server.url).query)
        path = f"{where['host'][0]}/.s.PGSQL.{where['port'][0]}"
        self._open.add(writer)
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(path)
            await asyncio.gather(_pipe(reader, server_writer), _pipe(server_reader, writer))
        except OSError:
            writer.close()
        finally:
            self._open.discard(writer)


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while received := await reader.read(65_536):
            writer.write(received)
            await writer.drain()
    writer.close()
