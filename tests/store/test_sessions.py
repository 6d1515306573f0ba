"""Sessions in the database: opened, renewed, ended."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from authsvc.events import OPERATOR, EndedByLogout
from authsvc.store import sessions
from authsvc.store.database import Database
from tests.store.conftest import ADA, LATER, NOW, living, numbered, opened, seen

if TYPE_CHECKING:
    from authsvc.store.leases import Connection


async def rotated(connection: Connection, counter: int, now: datetime = NOW) -> sessions.Rotated | None:
    return await sessions.rotate(
        connection,
        session_id=numbered(1),
        counter=counter,
        now=now,
        idle_since=now - timedelta(hours=1),
        access_until=now + timedelta(minutes=15),
    )


async def test_a_session_is_opened_only_by_the_hash_that_was_verified_and_on_an_open_account(
    connection: Connection,
) -> None:
    assert await opened(connection, numbered(1), password_hash="another") is None
    assert await opened(connection, numbered(1)) == 0
    assert await opened(connection, numbered(2)) == 1
    await connection.execute("update users set disabled_at = $1", NOW)
    assert await opened(connection, numbered(3)) is None


async def test_the_newest_token_is_replaced_and_the_one_before_it_yields_the_same(connection: Connection) -> None:
    """REF-01, REF-04 (RFC 9700)"""
    await opened(connection, numbered(1))
    second = sessions.Rotated(ADA, 2, LATER)
    assert [await rotated(connection, counter) for counter in (1, 1, 1)] == [second] * 3
    assert await rotated(connection, 2) == sessions.Rotated(ADA, 3, LATER)
    assert await rotated(connection, 1) is None
    assert await rotated(connection, 4) is None, "one that was never given out"


async def test_only_a_token_whose_successor_was_used_ends_its_session(connection: Connection) -> None:
    """REF-02 (ASVS 10.4.5)"""
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
    """REF-09 (ASVS 7.3.1)"""
    await opened(connection, numbered(1))
    assert (await rotated(connection, 1, NOW + age) is not None) == is_live


async def test_of_too_many_sessions_those_used_longest_ago_end_and_never_the_one_just_opened(
    connection: Connection,
) -> None:
    """SES-07 (ASVS 7.1.2): not even when the clock of the instance that opened it is behind."""
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
