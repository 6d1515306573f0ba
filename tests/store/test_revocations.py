"""The feed of sessions that ended: read page by page, and no commit is missed, however late it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg
import pytest

from authsvc.config import Config, DatabaseUrl
from authsvc.events import OPERATOR, EndedByLogout
from authsvc.revocations import NIL, Page, Position, Revocations
from authsvc.store import sessions
from authsvc.store.database import Database
from authsvc.store.queries import queries
from tests.conftest import FrozenClock
from tests.store.conftest import ADA, LATER, end, living, numbered, opened, seen

if TYPE_CHECKING:
    from authsvc.store.leases import Connection


class Paged:
    """Looks of two rows a page; in front of the second page of a look something may happen."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.asked: list[Position] = []
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, after: Position) -> Page:
        self.asked.append(after)
        if after[1] != NIL and self.meanwhile is not None:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        return await sessions.revocations_since(self.connection, after, most=2)


@pytest.fixture
def paged(connection: Connection) -> Paged:
    return Paged(connection)


@pytest.fixture
def revocations(paged: Paged, clock: FrozenClock) -> Revocations:
    return Revocations(paged, clock, poll_seconds=60, stale_seconds=5)


async def died(database: Database, revocations: Revocations) -> tuple[set[UUID], set[UUID]]:
    """Return what is known to have died, and what has died."""
    async with database.read() as connection:
        rows = await connection.fetch("select session_id from revocations")
    told = {row["session_id"] for row in rows}
    return {session_id for session_id in told if session_id in revocations}, told


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


async def test_pages_follow_each_other_and_miss_nothing(
    connection: Connection, paged: Paged, revocations: Revocations
) -> None:
    for number in range(1, 6):
        await end(connection, number)
    await revocations.refresh()
    assert len(paged.asked) == 3
    assert len(revocations) == 5
    await revocations.refresh()
    assert len(paged.asked) == 4, "nothing is read twice once nobody is late"


async def test_many_of_one_transaction_are_read_in_pages_too(
    database: Database, connection: Connection, paged: Paged, revocations: Revocations
) -> None:
    for number in range(1, 6):
        await opened(connection, numbered(number))
    async with database.transaction(OPERATOR) as transaction:
        assert len(await sessions.end_all(transaction.connection, subject=ADA, kind=EndedByLogout)) == 5
    await revocations.refresh()
    assert len(paged.asked) == 3
    assert {transaction_id for transaction_id, _session_id in paged.asked[1:]} == {paged.asked[1][0]}
    assert len(revocations) == 5


async def test_a_commit_between_two_pages_to_a_place_already_read_is_found_by_the_next_look(
    database: Database, connection: Connection, paged: Paged, revocations: Revocations
) -> None:
    """Its number is the lowest: it began before all the others, and committed when their first page had been read."""
    await opened(connection, numbered(1))
    late = database.transaction(OPERATOR)
    transaction = await late.__aenter__()
    await sessions.end_one(transaction.connection, session_id=numbered(1), subject=ADA)
    for number in range(2, 6):
        await end(connection, number)

    async def commit() -> None:
        await late.__aexit__(None, None, None)

    paged.meanwhile = commit
    await revocations.refresh()
    assert numbered(1) not in revocations
    assert len(revocations) == 4
    await revocations.refresh()
    assert numbered(1) in revocations


async def test_a_commit_while_a_look_has_failed_is_found_when_it_goes_on_or_by_the_next(
    database: Database, connection: Connection, paged: Paged, revocations: Revocations
) -> None:
    """Both kinds at once: to a place already read, and to one still before it."""
    for number in (1, 9):
        await opened(connection, numbered(number))
    async with database.transaction(OPERATOR) as early:
        await sessions.end_one(early.connection, session_id=numbered(1), subject=ADA)
        for number in (2, 3, 4):
            await end(connection, number)
        async with database.transaction(OPERATOR) as behind:
            await sessions.end_one(behind.connection, session_id=numbered(9), subject=ADA)

            async def fail() -> None:
                raise ConnectionError

            paged.meanwhile = fail
            await revocations.refresh()
            assert len(revocations) == 2
    await revocations.refresh()
    assert len(paged.asked) == len(set(paged.asked)) + 1, "only the page that failed was asked for twice"
    assert numbered(9) in revocations
    await revocations.refresh()
    assert await died(database, revocations) == ({numbered(number) for number in (1, 2, 3, 4, 9)},) * 2


async def test_whatever_the_order_of_commits_a_look_begun_after_them_knows_all(
    database: Database, connection: Connection, revocations: Revocations
) -> None:
    """Four who each end one session after the other, in transactions of random length, and looks all the time."""
    lanes, each = 4, 25
    for number in range(lanes * each):
        await opened(connection, numbered(number + 1))

    async def end_some(lane: int) -> None:
        for number in range(lane * each, (lane + 1) * each):
            async with database.transaction(OPERATOR) as transaction:
                await transaction.connection.execute("select pg_current_xact_id(), pg_sleep(random() * 0.01)")
                await sessions.end_one(transaction.connection, session_id=numbered(number + 1), subject=ADA)
                await transaction.connection.execute("select pg_sleep(random() * 0.01)")

    async def look() -> None:
        while True:
            await revocations.refresh()

    looking = asyncio.get_running_loop().create_task(look())
    async with asyncio.TaskGroup() as tasks:
        for lane in range(lanes):
            tasks.create_task(end_some(lane))
    looking.cancel()
    await asyncio.wait([looking])
    await revocations.refresh()
    known, told = await died(database, revocations)
    assert known == told
    assert len(told) == lanes * each


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
        rows = await plain.fetch(queries("sessions")["revocations_since"].sql, 0, NIL, 100)
        assert len(rows) == 1
        assert rows[0]["oldest_running"] > 0
    finally:
        await plain.close()


@pytest.mark.parametrize("share", [0, 0.5, 1])
async def test_a_page_is_read_by_the_index_and_no_row_more(connection: Connection, *, share: float) -> None:
    """At the start, in the middle of all, and where nothing is new."""
    many, most = 20_000, 10
    await connection.execute(
        "insert into revocations (session_id, expires_at) select gen_random_uuid(), $1 from generate_series(1, $2)",
        LATER,
        many,
    )
    await connection.execute("analyze revocations")
    places = "select transaction_id::text::bigint, session_id from revocations order by 1, 2"
    after = await connection.fetchrow(f"{places} offset $1 limit 1", max(0, int(many * share) - 1))
    assert after is not None
    sql = queries("sessions")["revocations_since"].sql
    plan = json.loads(await connection.fetchval(f"explain (analyze, format json) {sql}", *after, most))
    scans = [node for node in nodes(plan[0]["Plan"]) if node.get("Relation Name") == "revocations"]
    assert [(node["Node Type"], node["Index Name"], node["Actual Rows"]) for node in scans] == [
        ("Index Scan", "revocations_transaction_id_session_id_idx", 0 if share == 1 else most)
    ]


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for below in plan.get("Plans", ()) for node in nodes(below))]
