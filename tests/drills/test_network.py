"""The way to PostgreSQL that the drill cuts: a link of the kernel's where one can be made, a relay elsewhere."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drills import network
from drills.network import Network
from drills.relay import Relay

PATIENCE_SECONDS = 30


@pytest.fixture(params=[True, False], ids=["as it is made here", "without the right to"])
async def way(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Network, tuple[str, int]]]:
    """Return the network, and the address at its far end, where what is sent comes back."""
    if not request.param:
        monkeypatch.setattr("os.geteuid", lambda: 1000)

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    path = str(tmp_path / "socket")
    server = await asyncio.start_unix_server(echo, path)
    with network.made() as (listening, link):
        address = listening.getsockname()
        async with Relay(path).listening(listening) as relay:
            yield Network(relay, link), address
    server.close()


async def said(address: tuple[str, int], words: bytes = b"x") -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(words)
        return await reader.readexactly(len(words))
    finally:
        writer.transport.abort()


async def test_what_is_cut_says_so_at_once_and_works_again_afterwards(way: tuple[Network, tuple[str, int]]) -> None:
    net, address = way
    assert await said(address) == b"x"
    async with net.cut(), asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await said(address)
    assert await said(address) == b"x"


async def test_what_is_silent_loses_nothing_that_it_does_not_get_again(way: tuple[Network, tuple[str, int]]) -> None:
    net, address = way
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"1")
    assert await reader.readexactly(1) == b"1"
    async with net.silent():
        writer.write(b"2")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await reader.readexactly(1) == b"2"
    writer.transport.abort()


async def test_what_is_slow_comes_that_much_later(way: tuple[Network, tuple[str, int]]) -> None:
    net, address = way
    loop = asyncio.get_running_loop()
    async with net.slow(0.2):
        began = loop.time()
        assert await said(address) == b"x"
        assert loop.time() - began >= 0.2


def test_nothing_of_a_link_is_left() -> None:
    with network.made() as (listening, link):
        assert listening.getsockname()[0] == (link.address if link else "127.0.0.1")
    assert f"drill{os.getpid()}" not in {name for _index, name in socket.if_nameindex()}
