"""The pool: what is published and when, what a failure becomes, what is left on a connection."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import pytest

from authsvc.config import Config, ConfigError, DatabaseUrl
from authsvc.emails import EmailAddress
from authsvc.events import OPERATOR, Event, UserRegistered
from authsvc.refusals import DatabaseUnavailable, EmailTaken
from authsvc.store import users
from authsvc.store.database import Database
from authsvc.store.faults import FAULTS, classify

if TYPE_CHECKING:
    from authsvc.store.leases import Connection

HAPPENED = UserRegistered(UUID(int=1))
ADDRESS = EmailAddress("ada@example.com")


class Spy:
    """Hears events."""

    def __init__(self) -> None:
        self.heard: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.heard.append(event)


@pytest.fixture
def spy() -> Spy:
    return Spy()


@pytest.fixture
async def database(config: Config, spy: Spy) -> AsyncIterator[Database]:
    """A pool of one connection, so that whoever comes next gets the same."""
    settings = dataclasses.replace(config.database, pool_size=1, acquire_seconds=1, statement_seconds=0.3)
    database = Database(settings, observers=[spy])
    await database.open()
    yield database
    await database.close()


async def insert(connection: Connection, public_id: int = 1) -> None:
    await users.insert(
        connection,
        public_id=UUID(int=public_id),
        email=ADDRESS,
        password_hash="x",
        now=datetime(2026, 11, 22, tzinfo=UTC),
    )


async def insert_and(database: Database, then: Callable[[Connection], Awaitable[object]]) -> None:
    async with database.transaction(OPERATOR) as transaction:
        await insert(transaction.connection)
        transaction.record(HAPPENED)
        await then(transaction.connection)


async def execute(database: Database, way: str, statement: str) -> None:
    if way == "read":
        async with database.read() as connection:
            await connection.execute(statement)
    else:
        async with database.transaction(OPERATOR) as transaction:
            await transaction.connection.execute(statement)


async def count(database: Database) -> int:
    async with database.read() as connection:
        return int(await connection.fetchval("select count(*) from users"))


async def test_an_event_is_published_after_the_commit_and_not_before(
    database: Database, spy: Spy, config: Config
) -> None:
    other = await asyncpg.connect(config.database.url.reveal())
    try:
        async with database.transaction(OPERATOR) as transaction:
            await insert(transaction.connection)
            transaction.record(HAPPENED)
            assert spy.heard == []
            assert await other.fetchval("select count(*) from users") == 0
        assert spy.heard == [HAPPENED]
        assert await other.fetchval("select count(*) from users") == 1
    finally:
        await other.close()


@pytest.mark.parametrize("error", [RuntimeError, asyncio.CancelledError, EmailTaken, OSError, KeyboardInterrupt])
async def test_what_fails_is_rolled_back_and_never_published(
    error: type[BaseException], database: Database, spy: Spy
) -> None:
    async def fail(_connection: Connection) -> None:
        raise error

    with pytest.raises(DatabaseUnavailable if error is OSError else error):
        await insert_and(database, fail)
    assert spy.heard == []
    assert await count(database) == 0


async def test_a_commit_that_fails_publishes_nothing(database: Database, spy: Spy) -> None:
    """DBF-01"""

    async def cut(connection: Connection) -> None:
        connection.terminate()

    with pytest.raises(DatabaseUnavailable):
        await insert_and(database, cut)
    assert spy.heard == []
    assert await count(database) == 0


async def test_an_event_without_a_row_is_published_at_once(database: Database, spy: Spy) -> None:
    database.publish(HAPPENED)
    assert spy.heard == [HAPPENED]


def raising(condition: str) -> str:
    return f"do $$begin raise 'ada@example.com' using errcode = '{condition}'; end$$"


STATEMENTS = {
    "a statement beyond its time": ("too_slow", "select pg_sleep(5)"),
    "a connection that is cut": ("connection_lost", "select pg_terminate_backend(pg_backend_pid())"),
    "a table that is not there": ("not_migrated", "select 'ada@example.com' from not_migrated"),
    "a column that is not there": ("not_migrated", "select not_migrated from users"),
    "a table that is not for this role": ("not_permitted", raising("insufficient_privilege")),
    "a database that is read-only": (
        "read_only",
        "do $$begin set transaction read only; delete from users; end$$",
    ),
    "no space": ("disk_full", raising("disk_full")),
    "no memory": ("no_resources", raising("out_of_memory")),
    "a broken disk": ("broken", raising("io_error")),
    "broken data": ("broken", raising("data_corrupted")),
    "a deadlock": ("conflict", raising("deadlock_detected")),
    "a serialization failure": ("conflict", raising("serialization_failure")),
    "a lock beyond its time": ("locked", raising("lock_not_available")),
    "too many connections": ("too_many_connections", raising("too_many_connections")),
    "a server that starts": ("starting", raising("cannot_connect_now")),
    "what no server of ours can": ("unsupported", "select from generate_series(1, 2) as g for update of g"),
    "a statement that another session prepared": ("pooler", "execute prepared_elsewhere"),
}


@pytest.mark.parametrize("word, statement", STATEMENTS.values(), ids=STATEMENTS.keys())
@pytest.mark.parametrize("way", ["read", "transaction"])
async def test_a_failing_database_is_one_refusal_logged_by_its_word_without_values_and_the_next_use_works(
    way: str, word: str, statement: str, database: Database, log: io.StringIO
) -> None:
    """DBF-03, DBF-10, DBF-12, LGX-03; the fixture of the log finds an address in it."""
    with pytest.raises(DatabaseUnavailable) as refused:
        await execute(database, way, statement)
    assert refused.value.retry_after >= 1
    assert word in words(log)
    assert await count(database) == 0


def words(log: io.StringIO) -> list[str]:
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line["fault"] for line in lines if line["event"] == "database_unavailable"]


def test_each_kind_of_fault_has_one_word_and_one_sentence_that_a_client_never_reads() -> None:
    kinds = list(dict.fromkeys(FAULTS.values()))
    assert len({kind.word for kind in kinds}) == len({kind.advice for kind in kinds}) == len(kinds)
    assert all(kind.advice.endswith(".") and kind.advice not in DatabaseUnavailable.detail for kind in kinds)


OF_THE_SERVER = {"08", "25", "26", "28", "3D", "40", "42", "53", "55", "57", "58", "F0", "XX"}
"""Classes of SQLSTATE, PostgreSQL's appendix A. The rest is of values, constraints, and features that are not used."""


def test_every_error_by_which_the_server_refuses_its_service_is_in_the_table() -> None:
    errors = [each for each in vars(asyncpg.exceptions).values() if isinstance(each, type)]
    found = [each for each in errors if (getattr(each, "sqlstate", None) or "")[:2] in OF_THE_SERVER]
    assert {str(vars(each)["sqlstate"])[:2] for each in found} == OF_THE_SERVER
    assert [each for each in found if not classify(each(""))] == []


def test_a_fault_of_ours_is_none_of_the_database() -> None:
    assert classify(asyncpg.UniqueViolationError("")) is None
    assert classify(ValueError()) is None


async def test_a_violated_constraint_passes_through(database: Database) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await insert_and(database, lambda connection: connection.execute("update users set email = 'ADA'"))
    assert await count(database) == 0


async def test_an_exhausted_pool_is_the_same_refusal(database: Database) -> None:
    """DBF-04"""
    async with database.read():
        with pytest.raises(DatabaseUnavailable):
            async with database.read():
                pytest.fail("there was a second connection")
    assert await count(database) == 0


async def test_a_transaction_left_open_on_a_connection_is_rolled_back_for_the_next_user(database: Database) -> None:
    async with database.read() as connection:
        backend = await connection.fetchval("select pg_backend_pid()")
        await connection.execute("begin")
        await insert(connection)
    async with database.read() as connection:
        assert await connection.fetchval("select pg_backend_pid()") == backend
        assert not connection.is_in_transaction()
    assert await count(database) == 0


async def test_no_use_leaves_state_in_its_session(database: Database) -> None:
    state = """
    select array_agg(name order by name) from pg_settings where source = 'session'
    union all select array_agg(name) from pg_cursors
    union all select array_agg(relation::regclass::text) from pg_locks
      where pid = pg_backend_pid() and locktype in ('advisory', 'object')
    union all select array_agg(channel) from pg_listening_channels() as channel
    union all select array_agg(relname::text) from pg_class where relpersistence = 't'
    """
    async with database.read() as connection:
        fresh = await connection.fetch(state)
    async with database.transaction(OPERATOR) as transaction:
        await insert(transaction.connection)
    async with database.read() as connection:
        await users.by_public_id(connection, UUID(int=1))
    with pytest.raises(EmailTaken):
        async with database.transaction(OPERATOR) as transaction:
            await insert(transaction.connection, 2)
    async with database.read() as connection:
        assert await connection.fetch(state) == fresh


async def test_a_session_has_the_limits_of_the_configuration(database: Database) -> None:
    async with database.read() as connection:
        shown = [
            await connection.fetchval(f"show {name}")
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "timezone")
        ]
    assert shown == ["300ms", "240ms", "10s", "UTC"]


async def test_closing_does_not_wait_for_ever_for_a_connection_that_is_held(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsvc.store.database.CLOSE_SECONDS", 0.05)
    database = Database(config.database)
    await database.open()
    async with database.read():
        await database.close()
    assert database.connections == 0


async def test_a_url_that_the_driver_cannot_use_ends_the_start(config: Config) -> None:
    """DBF-16"""
    url = DatabaseUrl(f"{config.database.url.reveal()}&sslmode=verify-fully")
    database = Database(dataclasses.replace(config.database, url=url))
    with pytest.raises(ConfigError, match="AUTHSVC_DATABASE_URL"):
        await database.open()


async def test_connections_are_counted(database: Database) -> None:
    async with database.read():
        assert (database.size, database.connections, database.in_use, database.waiting) == (1, 1, 1, 0)
    assert (database.size, database.connections, database.in_use, database.waiting) == (1, 1, 0, 0)
