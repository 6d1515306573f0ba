"""Sessions in the database, and the feed of those that ended: no commit is missed, however late it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest

from authsvc.config import Config, DatabaseUrl
from authsvc.emails import EmailAddress
from authsvc.events import OPERATOR, EndedByLogout
from authsvc.store import sessions, users
from authsvc.store.database import Database
from authsvc.store.queries import queries

if TYPE_CHECKING:
    from authsvc.store.leases import Connection

NOW = datetime(2026, 11, 22, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
ADA = UUID(int=1)
HASH = "a hash"


def numbered(number: int) -> UUID:
    return UUID(int=number << 64)


async def opened(
    connection: Connection, session_id: UUID, now: datetime = NOW, password_hash: str = HASH
) -> int | None:
    return await sessions.open_session(
        connection,
        session_id=session_id,
        subject=ADA,
        password_hash=password_hash,
        now=now,
        expires_at=LATER,
        access_until=now + timedelta(minutes=15),
        origin=OPERATOR,
        authentication_methods=["pwd"],
    )


async def rotated(connection: Connection, counter: int, now: datetime = NOW) -> sessions.Rotated | None:
    return await sessions.rotate(
        connection,
        session_id=numbered(1),
        counter=counter,
        now=now,
        idle_since=now - timedelta(hours=1),
        access_until=now + timedelta(minutes=15),
    )


async def living(connection: Connection) -> set[UUID]:
    return {
        session.id for session in await sessions.of_subject(connection, ADA, now=NOW, idle_since=NOW - timedelta(1))
    }


@pytest.fixture
async def ada(database: Database) -> None:
    async with database.read() as connection:
        await users.insert(
            connection, public_id=ADA, email=EmailAddress("ada@example.com"), password_hash=HASH, now=NOW
        )


@pytest.fixture
async def connection(database: Database, ada: None) -> AsyncIterator[Connection]:
    assert ada is None
    async with database.read() as connection:
        yield connection


async def end(connection: Connection, number: int) -> None:
    """Open a session, and end it."""
    await opened(connection, numbered(number))
    assert await sessions.end_one(connection, session_id=numbered(number), subject=ADA) is not None


async def seen(connection: Connection, begin: int) -> tuple[set[UUID], int]:
    died, following = await sessions.revocations_since(connection, begin)
    return {each.session_id for each in died}, following


async def test_a_transaction_that_commits_after_several_looks_is_not_missed(
    database: Database, connection: Connection
) -> None:
    """It ended its session before the first look, and others that ended theirs later have been seen by then."""
    await opened(connection, numbered(1))
    async with database.transaction(OPERATOR) as late:
        await sessions.end_one(late.connection, session_id=numbered(1), subject=ADA)
        found, begin = await seen(connection, 0)
        assert found == set()
        for number in (2, 3, 4):
            await end(connection, number)
            found, begin = await seen(connection, begin)
            assert numbered(number) in found
    found, begin = await seen(connection, begin)
    assert numbered(1) in found
    found, _begin = await seen(connection, begin)
    assert found == set(), "the window closes once nobody is late"


async def test_a_transaction_that_writes_only_after_a_look_is_not_missed(
    database: Database, connection: Connection
) -> None:
    await opened(connection, numbered(1))
    async with database.transaction(OPERATOR) as late:
        await late.connection.fetchval("select count(*) from users")
        await end(connection, 2)
        _found, begin = await seen(connection, 0)
        await sessions.end_one(late.connection, session_id=numbered(1), subject=ADA)
        await end(connection, 3)
        _found, begin = await seen(connection, begin)
    assert numbered(1) in (await seen(connection, begin))[0]


async def test_what_was_rolled_back_never_happened(database: Database, connection: Connection) -> None:
    await opened(connection, numbered(1))

    async def fail() -> None:
        async with database.transaction(OPERATOR) as failing:
            await sessions.end_one(failing.connection, session_id=numbered(1), subject=ADA)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert (await seen(connection, 0))[0] == set()
    assert await living(connection) == {numbered(1)}


async def test_a_look_changes_nothing_and_works_where_nothing_may_be_written(connection: Connection) -> None:
    """As on a read replica; in one statement, as through a pooler that gives each transaction another connection."""
    await end(connection, 1)
    first = await seen(connection, 0)
    async with connection.transaction(readonly=True):
        assert await seen(connection, 0) == first
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with connection.transaction():
                await end(connection, 2)
    assert await seen(connection, 0) == first


async def test_a_look_works_without_prepared_statements(config: Config) -> None:
    """As PgBouncer wants it in transaction mode, before its version 1.21."""
    url = DatabaseUrl(config.database.url.reveal()).reveal()
    plain = await asyncpg.connect(url, statement_cache_size=0)
    try:
        rows = await plain.fetch(queries("sessions")["revocations_since"].sql, 0)
        assert len(rows) == 1
        assert rows[0]["next_transaction_id"] > 0
    finally:
        await plain.close()


async def test_a_look_reads_what_is_new_by_the_index(connection: Connection) -> None:
    await connection.execute(
        "insert into revocations (session_id, expires_at) select gen_random_uuid(), $1 from generate_series(1, 20000)",
        LATER,
    )
    await connection.execute("analyze revocations")
    _all, begin = await seen(connection, 0)
    sql = queries("sessions")["revocations_since"].sql
    plan = json.loads(await connection.fetchval(f"explain (analyze, format json) {sql}", begin))
    scans = [node for node in plan[0]["Plan"]["Plans"] if node.get("Relation Name") == "revocations"]
    assert [(node["Node Type"], node["Index Name"], node["Actual Rows"]) for node in scans] == [
        ("Index Scan", "revocations_transaction_id_idx", 0)
    ]


async def test_a_session_is_opened_only_by_the_hash_that_was_verified_and_on_an_open_account(
    connection: Connection,
) -> None:
    assert await opened(connection, numbered(1), password_hash="another") is None
    assert await opened(connection, numbered(1)) == 0
    assert await opened(connection, numbered(2)) == 1
    await connection.execute("update users set disabled_at = $1", NOW)
    assert await opened(connection, numbered(3)) is None


async def test_the_newest_token_is_replaced_and_the_one_before_it_yields_the_same(connection: Connection) -> None:
    """REF-01, REF-04"""
    await opened(connection, numbered(1))
    second = sessions.Rotated(ADA, 2, LATER)
    assert [await rotated(connection, counter) for counter in (1, 1, 1)] == [second] * 3
    assert await rotated(connection, 2) == sessions.Rotated(ADA, 3, LATER)
    assert await rotated(connection, 1) is None
    assert await rotated(connection, 4) is None, "one that was never given out"


async def test_only_a_token_whose_successor_was_used_ends_its_session(connection: Connection) -> None:
    """REF-02"""
    await opened(connection, numbered(1))
    await rotated(connection, 1)
    await rotated(connection, 2)
    for counter in (2, 3, 4):
        assert await sessions.end_reused(connection, session_id=numbered(1), counter=counter) is None
    ended = await sessions.end_reused(connection, session_id=numbered(1), counter=1)
    assert ended is not None
    assert (await seen(connection, 0))[0] == {numbered(1)}


@pytest.mark.parametrize(
    "age, is_live",
    [
        (timedelta(hours=1) - timedelta(microseconds=1), True),
        (timedelta(hours=1), False),
    ],
)
async def test_an_idle_session_is_over_from_the_very_moment(
    connection: Connection, age: timedelta, *, is_live: bool
) -> None:
    """REF-09"""
    await opened(connection, numbered(1))
    assert (await rotated(connection, 1, NOW + age) is not None) == is_live


async def test_of_too_many_sessions_those_used_longest_ago_end_and_never_the_one_just_opened(
    connection: Connection,
) -> None:
    """SES-07: not even when the clock of the instance that opened it is behind."""
    for number in range(1, 6):
        await opened(connection, numbered(number), NOW + timedelta(seconds=number))
    await opened(connection, numbered(6), NOW)
    ended = await sessions.end_oldest(connection, subject=ADA, opened=numbered(6), others=2)
    assert {each.session_id for each in ended} == {numbered(number) for number in (1, 2, 3)}
    assert await living(connection) == {numbered(number) for number in (4, 5, 6)}
    assert (await seen(connection, 0))[0] == {numbered(number) for number in (1, 2, 3)}


async def test_ending_the_oldest_waits_for_nobody(database: Database, connection: Connection) -> None:
    """Logins at once that each end several would wait for one another in a ring."""
    for number in range(1, 5):
        await opened(connection, numbered(number), NOW + timedelta(seconds=number))
    async with database.transaction(OPERATOR) as other:
        await sessions.end_one(other.connection, session_id=numbered(2), subject=ADA)
        ended = await sessions.end_oldest(connection, subject=ADA, opened=numbered(4), others=1)
    assert {each.session_id for each in ended} == {numbered(1)}


async def test_all_sessions_of_an_account_are_taken_in_one_order(database: Database, connection: Connection) -> None:
    """In the order of the table, which each refresh changes, two at once would wait for one another in a ring."""
    for number in (3, 2, 1):
        await opened(connection, numbered(number))
    async with database.transaction(OPERATOR) as holder:
        await holder.connection.execute("select id from sessions where id = $1 for update", numbered(2))

        async def end_all() -> int:
            async with database.transaction(OPERATOR) as transaction:
                return len(await sessions.end_all(transaction.connection, subject=ADA, kind=EndedByLogout))

        ending = asyncio.get_running_loop().create_task(end_all())
        waiting = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        while not await connection.fetchval(waiting):  # noqa: ASYNC110 - it has no event to tell
            await asyncio.sleep(0.01)
        free = await connection.fetch("select id from sessions for update skip locked")
        assert [row["id"] for row in free] == [numbered(3)]
    assert await ending == 3
