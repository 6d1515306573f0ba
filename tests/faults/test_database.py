"""The database fails, in every way we could think of: 503 while it does, and back by itself."""

import asyncio
import io
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress

import argon2
import psycopg
import pytest

from authsvc.embedded import Server
from tests import make
from tests.cli.conftest import eventually
from tests.faults.conftest import Fallible, Scene, assert_unavailable, until

CUT = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'authsvc'"


@pytest.mark.parametrize("end", [Server.stop, Server.kill])
async def test_while_the_database_is_down_it_is_503_and_after_that_as_before(
    end: Callable[[Server], None], fallible: Fallible, scene: Scene
) -> None:
    """DBF-01, DBF-02, MET-06 (ASVS 16.5.2)"""
    await asyncio.to_thread(end, fallible.server)
    await scene.assert_unavailable()
    await asyncio.to_thread(fallible.server.start)
    await scene.assert_recovers()


async def test_a_crash_of_the_server_forgets_what_the_limits_counted_and_nothing_else(
    fallible: Fallible, scene: Scene
) -> None:
    """DOS-14 (PostgreSQL documentation, CREATE TABLE, UNLOGGED): see docs/decisions/0011-limits.md."""
    counted = "select count(*) from attempts"
    assert await asyncio.to_thread(fallible.ask, counted) > 0
    await asyncio.to_thread(fallible.server.stop)
    await asyncio.to_thread(fallible.server.start)
    assert await asyncio.to_thread(fallible.ask, counted) > 0
    await asyncio.to_thread(fallible.server.kill)
    await asyncio.to_thread(fallible.server.start)
    assert await asyncio.to_thread(fallible.ask, counted) == 0
    await scene.assert_recovers()


async def test_a_restart_under_load_costs_503s_and_no_other_answer(fallible: Fallible, scene: Scene) -> None:
    """DBF-02 (SQLSTATE 57P01, ASVS 16.5.2)"""
    statuses: Counter[int] = Counter()
    is_over = asyncio.Event()

    async def load() -> None:
        while not is_over.is_set():
            statuses[(await scene.me()).status] += 1
            statuses[(await scene.log_in()).status] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(load())
        await asyncio.to_thread(fallible.server.stop)
        await asyncio.to_thread(fallible.server.start)
        await scene.until_ready()
        is_over.set()
    assert statuses.keys() == {200, 503}
    await scene.assert_recovers()


async def test_connections_that_were_cut_while_idle_are_made_anew(fallible: Fallible, scene: Scene) -> None:
    """DBF-03 (SQLSTATE 57P01)"""
    await asyncio.gather(*(scene.me() for _ in range(4)))
    await asyncio.to_thread(fallible.run, CUT)
    await scene.until_ready()
    await scene.assert_recovers()


@contextmanager
def suspended(fallible: Fallible) -> Iterator[None]:
    """A black hole: the kernel accepts connections, and nobody answers."""
    pids = [fallible.server.pid, *fallible.backends()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def locked(fallible: Fallible) -> Iterator[None]:
    with psycopg.connect(fallible.url.reveal()) as connection:
        connection.execute("lock table users in access exclusive mode")
        yield


@contextmanager
def closed(fallible: Fallible) -> Iterator[None]:
    fallible.administer(f"alter database {fallible.name} allow_connections false", CUT)
    yield
    fallible.administer(f"alter database {fallible.name} allow_connections true")


@contextmanager
def locked_out(fallible: Fallible) -> Iterator[None]:
    """The server asks for a password that the service does not have."""
    before = fallible.rules.read_text()
    fallible.rules.write_text("local all all scram-sha-256\n")
    with psycopg.connect(fallible.server.url, autocommit=True) as connection:
        connection.execute("select pg_reload_conf()")
        connection.execute(CUT)
        yield
        fallible.rules.write_text(before)
        connection.execute("select pg_reload_conf()")


@contextmanager
def full(fallible: Fallible) -> Iterator[None]:
    fallible.administer(CUT)
    held: list[psycopg.Connection] = []
    try:
        while True:
            with suppress(psycopg.OperationalError):
                while len(held) < 100:
                    held.append(psycopg.connect(fallible.url.reveal(), autocommit=True))
            # As long as the service was quick enough to get one of them again, it answers.
            if not held[0].execute(CUT).fetchall():
                break
        yield
    finally:
        for connection in held:
            connection.close()


@asynccontextmanager
async def lasting(fault: Callable[[Fallible], AbstractContextManager[None]], fallible: Fallible) -> AsyncIterator[None]:
    """Hold a fault without blocking the loop."""
    manager = fault(fallible)
    await asyncio.to_thread(manager.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(manager.__exit__, None, None, None)


@pytest.mark.parametrize(
    "fault, word",
    [
        (suspended, "unreachable"),
        (locked, "locked"),
        (closed, "closed"),
        (locked_out, "not_admitted"),
        (full, "too_many_connections"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
async def test_a_fault_is_503_for_everybody_at_once_and_ends_by_itself(
    fault: Callable[[Fallible], AbstractContextManager[None]],
    word: str,
    fallible: Fallible,
    scene: Scene,
    log: io.StringIO,
) -> None:
    """DBF-04, DBF-06, DBF-09, DBF-13, DBF-17 (ASVS 16.5.2): of three times as many requests as connections none hangs.

    The log says which fault it is.
    """
    await asyncio.gather(*(scene.me() for _ in range(4)))
    async with lasting(fault, fallible):
        for response in await asyncio.gather(*(scene.me() for _ in range(12))):
            await assert_unavailable(response)
        for ask in (scene.log_in, scene.register):
            await assert_unavailable(await ask())
        assert (await scene.admin.get("/livez")).status == 200
        if fault is not locked:  # then it is one table, and readiness asks another
            assert await scene.readiness() == (503, "database_unavailable")
    assert f'"fault":"{word}"' in log.getvalue()
    await scene.assert_recovers()


@pytest.mark.parametrize("config", [20], indirect=True)
async def test_a_pool_that_is_exhausted_is_503_after_the_wait_for_a_connection(
    fallible: Fallible, scene: Scene, log: io.StringIO
) -> None:
    """DBF-04 (ASVS 15.2.2): not aiohttp's own 504, and what holds the connections is not disturbed."""
    async with asyncio.TaskGroup() as tasks, lasting(locked, fallible):
        holding = [tasks.create_task(scene.me()) for _ in range(4)]
        await until(lambda: asyncio.to_thread(fallible.waiting), 4)
        await assert_unavailable(await scene.me())
        assert '"fault":"pool_exhausted"' in log.getvalue()
    assert [each.result().status for each in holding] == [200] * 4
    await scene.assert_recovers()


@contextmanager
def read_only(fallible: Fallible) -> Iterator[None]:
    setting = "default_transaction_read_only"

    def becomes(state: str) -> None:
        # A session hears of the new setting between two statements.
        eventually(lambda: fallible.ask(f"show {setting}") == state, f"{setting} = {state}")

    fallible.run(f"alter system set {setting} = on", "select pg_reload_conf()")
    becomes("on")
    yield
    fallible.run(f"set {setting} = off", f"alter system reset {setting}", "select pg_reload_conf()")
    becomes("off")


async def test_a_primary_that_became_read_only_is_503_for_writes_until_it_is_one_again(
    fallible: Fallible, scene: Scene
) -> None:
    """DBF-07 (SQLSTATE 25006): who only reads is served meanwhile."""
    async with lasting(read_only, fallible):
        await assert_unavailable(await scene.register())
        await assert_unavailable(await scene.log_in())
        assert (await scene.me()).status == 200
    await scene.assert_recovers()


async def test_a_hash_that_cannot_be_renewed_is_503_and_renewed_by_the_next_login(
    fallible: Fallible, scene: Scene
) -> None:
    """LGN-20 (SQLSTATE 25006): each login writes its session, so nobody is logged in where nothing can be written."""
    weak = argon2.PasswordHasher(1, 8, 1, type=argon2.Type.I).hash(make.PASSWORD)
    weaken = f"update users set password_hash = '{weak}'"  # noqa: S608 - a hash of this file
    await asyncio.to_thread(fallible.run, weaken)
    async with lasting(read_only, fallible):
        await assert_unavailable(await scene.log_in())
        assert await asyncio.to_thread(fallible.ask, "select password_hash from users") == weak
    assert (await scene.log_in()).status == 200
    assert await asyncio.to_thread(fallible.ask, "select password_hash from users") != weak


@pytest.mark.parametrize(
    "lost", ["delete from sessions", "update sessions set counter = 1"], ids=["sessions", "counters"]
)
async def test_after_a_partial_restore_a_token_is_good_or_none(lost: str, fallible: Fallible, scene: Scene) -> None:
    """DBF-19 (CWE-613): a session that is not there, or is younger than its token, is no error, and no way in."""
    pair = await make.tokens(scene.client)
    for _renewal in range(3):
        body = {"refresh_token": pair["refresh_token"]}
        pair = await (await scene.client.post("/api/auth/refresh", json=body)).json()
    await asyncio.to_thread(fallible.run, lost)
    answer = await scene.client.post("/api/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    assert (answer.status, (await answer.json())["code"]) == (400, "invalid_grant")
    assert (await scene.log_in()).status == 200


async def test_a_connection_cut_within_a_transaction_leaves_nothing_behind(fallible: Fallible, scene: Scene) -> None:
    """DBF-01, DBF-14 (ASVS 2.3.3): after a 503 the same request can be sent again."""
    async with lasting(locked, fallible), asyncio.TaskGroup() as tasks:
        asked = tasks.create_task(scene.register())
        await until(lambda: asyncio.to_thread(fallible.waiting), 1)
        await asyncio.to_thread(fallible.run, CUT)
        await assert_unavailable(await asked)
    await scene.assert_recovers()


async def test_a_black_hole_within_a_transaction_is_503_too(fallible: Fallible, scene: Scene) -> None:
    """DBF-13 (CWE-1088): neither the statement nor the rollback nor the return of the connection gets an answer."""
    async with asyncio.TaskGroup() as tasks, lasting(locked, fallible):
        asked = tasks.create_task(scene.register())
        await until(lambda: asyncio.to_thread(fallible.waiting), 1)
        async with lasting(suspended, fallible):
            await assert_unavailable(await asked)
    await scene.assert_recovers()
