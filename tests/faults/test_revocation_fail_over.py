"""The feed of revocations when another server answers: restarted, after a crash, a standby, and the new primary."""

import asyncio
import dataclasses
import io
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
import psycopg
import pytest

from authsvc import embedded
from authsvc.app import _look
from authsvc.config import Config, DatabaseUrl
from authsvc.revocations import NIL, START, Page, Position, Revocations
from authsvc.store.database import Database
from authsvc.store.queries import queries
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.faults.conftest import Fallible, assert_unavailable, until
from tests.faults.fail_over import Switch, standby_of
from tests.web.helpers import composed

VERIFY = "/api/auth/verify"
REVOKE = "insert into revocations (session_id, expires_at) values ('{}', '{}')"
NEXT_NUMBER = "select pg_current_xact_id()::text::bigint"
LATER = datetime(2099, 1, 1, tzinfo=UTC)
FIRST, SECOND = UUID(int=1), UUID(int=2)


@pytest.fixture
async def switch(fallible: Fallible) -> AsyncIterator[Switch]:
    async with Switch.before(fallible.server) as switch:
        yield switch


@pytest.fixture
def standby(fallible: Fallible, tmp_path_factory: pytest.TempPathFactory) -> Iterator[embedded.Server]:
    with standby_of(fallible.server, tmp_path_factory.mktemp("standby")) as server:
        yield server


@pytest.fixture
def config(config: Config, fallible: Fallible, switch: Switch) -> Config:
    """Each instance looks once, when it starts, by way of the switch."""
    return dataclasses.replace(
        config,
        database=dataclasses.replace(config.database, url=DatabaseUrl(switch.url_of(fallible.name))),
        sessions=dataclasses.replace(config.sessions, poll_seconds=60, stale_seconds=5),
    )


class Follower:
    """The feed as the service has it: one connection, by way of the switch."""

    def __init__(self, database: Database) -> None:
        self.asked: list[Position] = []
        self._database = database
        self.revocations = Revocations(self._look, FrozenClock(), poll_seconds=60, stale_seconds=5)

    async def _look(self, after: Position) -> Page:
        self.asked.append(after)
        return await _look(self._database, after)

    async def look(self) -> bool:
        """Look once; tell whether that look ended."""
        self.revocations._looked_at = float("-inf")
        await self.revocations.refresh()
        return not self.revocations.is_stale()


@pytest.fixture
async def follower(config: Config) -> AsyncIterator[Follower]:
    database = Database(dataclasses.replace(config.database, pool_size=1))
    await database.open()
    yield Follower(database)
    await database.close()


async def revoke(url: str, session_id: UUID) -> None:
    await asyncio.to_thread(execute, url, REVOKE.format(session_id, LATER))


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.mark.parametrize("end", [embedded.Server.kill, embedded.Server.stop], ids=["crash", "restart"])
async def test_a_failed_look_goes_on_and_after_a_restart_of_the_server_all_is_read_again(
    end: Callable[[embedded.Server], None], fallible: Fallible, switch: Switch, follower: Follower
) -> None:
    """DBF-06 (CWE-613): of a restart in order, the statistics know nothing."""
    await revoke(fallible.url.reveal(), FIRST)
    assert await follower.look()
    following = follower.revocations._next_transaction_id
    await asyncio.to_thread(end, fallible.server)
    await switch.cut()
    assert not await follower.look()
    await asyncio.to_thread(fallible.server.start)
    await until(follower.look, wanted=True)
    assert set(follower.asked[1:-1]) == {(following, NIL)}, "as far as anybody knew"
    assert follower.asked[-1] == START
    assert FIRST in follower.revocations


async def test_a_connection_that_was_cut_has_nothing_read_again(
    fallible: Fallible, switch: Switch, follower: Follower
) -> None:
    """DBF-03 (CWE-405): a million entries are not read for one lost connection."""
    assert await follower.look()
    await switch.cut()
    await revoke(fallible.url.reveal(), FIRST)
    await until(follower.look, wanted=True)
    assert START not in follower.asked[1:]
    assert FIRST in follower.revocations


async def test_after_a_crash_of_the_server_under_a_living_postmaster_nothing_is_missed(
    fallible: Fallible, follower: Follower
) -> None:
    """DBF-07 (CWE-613): it gives numbers out again that no disk had: what comes under them would be missed."""
    fallible.run(
        "alter system set wal_writer_delay = '10s'",
        "alter system set wal_writer_flush_after = '1GB'",
        "alter system set bgwriter_delay = '10s'",
        "select pg_reload_conf()",
    )
    with psycopg.connect(fallible.url.reveal(), autocommit=True) as connection:
        connection.execute("select pg_sleep(0.5)")
        for _ in range(50):
            connection.execute("begin; select pg_current_xact_id(); rollback")
        assert await follower.look()
        passed, postmaster = follower.revocations._next_transaction_id, fallible.server.pid
        os.kill(connection.info.backend_pid, signal.SIGKILL)

    async def back() -> bool:
        try:
            return bool(await asyncio.to_thread(fallible.ask, f"{NEXT_NUMBER} < {passed - 10}"))
        except psycopg.OperationalError:
            return False

    await until(back, wanted=True)
    assert fallible.server.pid == postmaster
    await revoke(fallible.url.reveal(), FIRST)
    await asyncio.to_thread(use_numbers_up_to, passed, fallible.url.reveal())  # nobody looks before
    await until(follower.look, wanted=True)
    assert FIRST in follower.revocations
    fallible.run("alter system reset all", "select pg_reload_conf()")


def use_numbers_up_to(last: int, url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        while (row := connection.execute(NEXT_NUMBER).fetchone()) and row[0] <= last:
            pass


async def test_the_statement_runs_on_a_read_replica_and_the_service_believes_none_before_its_promotion(
    fallible: Fallible, switch: Switch, follower: Follower, standby: embedded.Server, log: io.StringIO
) -> None:
    """SES-09, DBF-08 (CWE-613): how far it is behind nobody knows. No look fails between the two primaries."""
    await revoke(fallible.url.reveal(), FIRST)
    replica = await asyncpg.connect(standby.url_of(fallible.name))
    try:
        await until(lambda: replica.fetchval("select count(*) from revocations"), 1)
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await replica.execute("delete from revocations")
        server, row = await replica.fetch(queries("sessions")["revocations_since"].sql, *START, 100)
        assert server["in_recovery"]
        assert row["session_id"] == FIRST
    finally:
        await replica.close()

    switch.server = standby
    await switch.cut()

    async def reached() -> tuple[bool, bool]:
        return await follower.look(), '"error":"StandbyError"' in log.getvalue()

    await until(reached, (False, True))
    assert len(follower.revocations) == 0
    switch.server = fallible.server
    assert await follower.look(), "the connection to the standby is not used again"
    await asyncio.to_thread(fallible.server.kill)
    await asyncio.to_thread(execute, standby.url, "select pg_promote()")
    await revoke(standby.url_of(fallible.name), SECOND)
    switch.server = standby
    await switch.cut()
    before = len(follower.asked)
    await until(follower.look, wanted=True)
    assert START in follower.asked[before:]
    assert SECOND in follower.revocations


async def test_with_a_standby_behind_the_address_nobody_is_let_in_by_what_it_says(
    config: Config, clock: FrozenClock, switch: Switch, serve: Serve, standby: embedded.Server
) -> None:
    """SES-09 (CWE-613): when what is known is too old, the database decides, and a standby is none."""
    client: Client = await serve(await composed(config, clock))
    await make.user(client)
    token = make.bearer(await make.access_token(client))
    assert (await client.get(VERIFY, headers=token)).status == 204
    switch.server = standby
    await switch.cut()
    clock.advance(5.001)
    for _ in range(3):
        await assert_unavailable(await client.get(VERIFY, headers=token))
    await asyncio.to_thread(execute, standby.url, "select pg_promote()")
    await until(lambda: status_of(client, token), 204)


async def status_of(client: Client, headers: dict[str, str]) -> int:
    return (await client.get(VERIFY, headers=headers)).status
