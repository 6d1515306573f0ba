"""Several servers in one URL: one that is silent keeps nobody from the other."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from authsvc.config import Config, DatabaseUrl
from authsvc.refusals import DatabaseUnavailable
from authsvc.store.database import Database
from authsvc.store.hosts import Hosts


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A server that takes connections and says nothing, as one whose network is gone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


def asked(server: socket.socket) -> int:
    """How many connections it was asked for since the last look."""
    number = 0
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(server.accept()[0])
            except BlockingIOError:
                return number
            number += 1


def both(config: Config, server: socket.socket, acquire_seconds: float) -> Database:
    url = urlsplit(config.database.url.reveal())
    (folder,) = parse_qs(url.query)["host"]
    hosts = f"host=127.0.0.1,{folder}&port={server.getsockname()[1]},5432&target_session_attrs=read-write"
    several = DatabaseUrl(f"postgresql://authsvc@{url.path}?{hosts}")
    return Database(dataclasses.replace(config.database, url=several, acquire_seconds=acquire_seconds))


async def test_where_the_first_is_silent_the_second_is_reached_and_asked_first_from_then_on(
    config: Config, silent: socket.socket
) -> None:
    database = both(config, silent, acquire_seconds=4)
    await database.open()
    try:
        assert asked(silent) == 1
        async with database.read() as first, database.read() as second, database.read() as third:
            assert {await each.fetchval("select 1") for each in (first, second, third)} == {1}
        assert database.connections == 3
        assert asked(silent) == 0
    finally:
        await database.close()


async def test_where_all_are_silent_the_refusal_is_the_one_of_a_single_server(
    config: Config, silent: socket.socket
) -> None:
    port = silent.getsockname()[1]
    url = DatabaseUrl(f"postgresql://authsvc@/authsvc?host=127.0.0.1,127.0.0.1&port={port},{port}")
    database = Database(dataclasses.replace(config.database, url=url, acquire_seconds=0.2))
    await database.open()
    try:
        with pytest.raises(DatabaseUnavailable):
            async with database.read():
                pass
        assert asked(silent) >= 2
    finally:
        await database.close()


async def test_where_one_answers_and_is_the_wrong_one_that_is_what_is_said(
    config: Config, silent: socket.socket
) -> None:
    url = urlsplit(config.database.url.reveal())
    (folder,) = parse_qs(url.query)["host"]
    port = silent.getsockname()[1]
    dsn = f"postgresql://authsvc@{url.path}?host={folder},127.0.0.1&port=5432,{port}&target_session_attrs=standby"
    with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
        await Hosts(dsn).connect(dsn, timeout=0.4)
    assert asked(silent) == 1


@pytest.mark.parametrize(
    "url, several",
    [
        ("postgresql://a@h/d", False),
        ("postgresql://a@/d", False),
        ("postgresql://a@/d?host=/run/postgresql", False),
        ("postgresql://a@h1,h2/d", True),
        ("postgresql://a@h1:1,h2:2/d", True),
        ("postgresql://a:p%40@/d?host=h1,h2&port=5432", True),
    ],
)
def test_the_servers_of_a_url_are_read_as_libpq_does(url: str, *, several: bool) -> None:
    assert Hosts(url).several is several


async def test_a_cancelled_wait_asks_no_further_server(silent: socket.socket) -> None:
    port = silent.getsockname()[1]
    dsn = f"postgresql://authsvc@/authsvc?host=127.0.0.1,127.0.0.1&port={port},{port}"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await Hosts(dsn).connect(dsn, timeout=60)
    assert asked(silent) == 1
