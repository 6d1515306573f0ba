"""Lending connections: in turn, within the time, and no turn is ever lost."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

import asyncpg
import psycopg
import pytest

from authsvc.config import Config
from authsvc.refusals import DatabaseUnavailable
from authsvc.store.database import Database

if TYPE_CHECKING:
    from authsvc.store.leases import Connection


@pytest.fixture
async def single(config: Config) -> AsyncIterator[Database]:
    """A database with one connection, whose holder is cut off after 1.5 seconds."""
    settings = dataclasses.replace(config.database, pool_size=1, acquire_seconds=5, statement_seconds=0.5)
    database = Database(settings)
    await database.open()
    yield database
    await database.close()


async def pid(connection: Connection) -> int:
    return int(await connection.fetchval("select pg_backend_pid()"))


def end_backend(config: Config, backend: int) -> None:
    with psycopg.connect(config.database.url.reveal(), autocommit=True) as other:
        other.execute("select pg_terminate_backend(%s, 5000)", [backend])


async def closing(connection: Connection) -> None:
    """Wait until the driver knows that it is closed."""
    async with asyncio.timeout(10):
        with suppress(asyncpg.InterfaceError):  # it has noticed, and taken the connection back
            while not connection.is_closed():  # noqa: ASYNC110 - asyncpg has no event for it
                await asyncio.sleep(0.01)


async def test_who_asks_first_is_served_first(single: Database) -> None:
    served: list[int] = []
    first = asyncio.Event()

    async def ask(number: int) -> None:
        async with single.read() as connection:
            if number == 0:
                await first.wait()
            served.append(number)
            await pid(connection)

    async with asyncio.TaskGroup() as tasks:
        for number in range(20):
            tasks.create_task(ask(number))
        await asyncio.sleep(0)
        first.set()
    assert served == list(range(20))


async def test_a_connection_that_dies_in_the_hand_costs_no_turn(single: Database, config: Config) -> None:
    async with single.read() as connection:
        backend = await pid(connection)
        await asyncio.to_thread(end_backend, config, backend)
        await closing(connection)
    async with single.read() as connection:
        assert await pid(connection) != backend


async def test_a_waiter_who_gives_up_costs_no_turn(single: Database) -> None:
    async def wait() -> None:
        async with single.read():
            pass

    async with single.read(), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
    async with single.read() as connection:
        assert await pid(connection)


async def test_who_waits_is_counted_while_he_waits_and_for_how_long(single: Database) -> None:
    waits = single.figures.waits

    async def wait() -> None:
        async with single.read():
            pass

    async with asyncio.TaskGroup() as tasks, single.read() as connection:
        for _ in range(3):
            tasks.create_task(wait())
        gone = tasks.create_task(wait())
        await asyncio.sleep(0)
        assert (single.in_use, single.waiting) == (1, 4)
        gone.cancel()
        await asyncio.sleep(0)
        assert (single.in_use, single.waiting) == (1, 3)
        before = waits.sum
        await connection.fetchval("select pg_sleep(0.05)")
    assert (single.in_use, single.waiting) == (0, 0)
    assert sum(waits.counts) == 5
    assert waits.sum - before >= 3 * 0.05


async def test_what_the_database_does_wrong_is_counted_by_its_word(config: Config) -> None:
    hurried = Database(dataclasses.replace(config.database, pool_size=1, acquire_seconds=0.2, statement_seconds=0.5))
    await hurried.open()
    assert set(hurried.figures.faults.values()) == {0}
    async with hurried.read():
        with pytest.raises(DatabaseUnavailable):
            async with hurried.read():
                pass
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            async with hurried.read() as connection:
                await connection.fetchval("select pg_sleep(5)")
    await hurried.close()
    assert {word: count for word, count in hurried.figures.faults.items() if count} == {
        "pool_exhausted": 1,
        "too_slow": 2,
    }


async def test_who_holds_too_long_is_cut_off_and_the_next_is_served(single: Database) -> None:
    """DBF-13 (ASVS 1.4.3): no time limit of the server helps where the server does not answer."""
    backend = 0

    async def hold() -> None:
        nonlocal backend
        async with single.read() as connection:
            backend = await pid(connection)
            await closing(connection)
            await pid(connection)

    with pytest.raises(DatabaseUnavailable):
        await hold()
    async with single.read() as connection:
        assert await pid(connection) != backend


async def test_a_dead_connection_in_the_hand_ends_no_time_limit(config: Config) -> None:
    impatient = Database(dataclasses.replace(config.database, pool_size=1, acquire_seconds=2.5, statement_seconds=0.5))
    await impatient.open()
    async with impatient.read() as connection:
        await asyncio.to_thread(end_backend, config, await pid(connection))
        with pytest.raises(DatabaseUnavailable):
            async with impatient.read():
                pass
    await impatient.close()


async def test_after_a_fail_over_no_connection_passes_from_hand_to_hand(single: Database) -> None:
    """DBF-07: the one in the hand is of a standby."""
    backends: list[int] = []

    async def ask() -> None:
        async with single.read() as connection:
            backends.append(await pid(connection))

    async with asyncio.TaskGroup() as tasks:
        async with single.read() as connection:
            backends.append(await pid(connection))
            waiting = [tasks.create_task(ask()) for _ in range(2)]
            await asyncio.sleep(0)
            await single._leases.expire()
        await asyncio.gather(*waiting)
    assert backends[0] != backends[1] == backends[2]
