"""The journal: written with the act or not at all, read page by page."""

import dataclasses
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from authsvc.emails import EmailAddress
from authsvc.events import OPERATOR, LoginFailed, LoginSucceeded, Origin, UserRegistered
from authsvc.store import journal, users
from authsvc.store.database import Database
from authsvc.store.journal import Receipt

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ADA, GRACE, SESSION = UUID(int=1), UUID(int=2), UUID(int=3)
ORIGIN = Origin("192.0.2.1", "Browser")


async def register(database: Database, *, and_then: type[Exception] | None = None) -> None:
    async with database.transaction(ORIGIN) as transaction:
        email = EmailAddress("ada@example.com")
        await users.insert(transaction.connection, public_id=ADA, email=email, password_hash="", now=NOW)
        transaction.record(UserRegistered(ADA))
        if and_then:
            raise and_then


async def test_the_row_is_written_by_the_transaction_of_the_act(database: Database) -> None:
    await register(database)
    async with database.read() as connection:
        acts = await connection.fetch("select xmin::text as by from users union all select xmin::text from journal")
    assert acts[0]["by"] == acts[1]["by"]


async def test_without_the_act_there_is_no_row(database: Database) -> None:
    with pytest.raises(RuntimeError):
        await register(database, and_then=RuntimeError)
    async with database.read() as connection:
        assert await journal.search(connection, journal.Filters(), most=10) == []


async def test_without_the_row_there_is_no_act(database: Database) -> None:
    """LGX-09 (ASVS 16.5.3): what cannot be recorded is not done."""
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute("alter table journal add constraint nothing check (false) not valid")
    with pytest.raises(asyncpg.CheckViolationError):
        await register(database)
    async with database.read() as connection:
        assert await connection.fetchval("select count(*) from users") == 0


async def test_an_entry_tells_who_what_and_from_where_in_the_order_of_the_acts(database: Database) -> None:
    async with database.transaction(ORIGIN) as transaction:
        transaction.record(LoginFailed(None))
        transaction.record(LoginSucceeded(ADA, SESSION))
    async with database.read() as connection:
        newest, oldest = await journal.search(connection, journal.Filters(), most=10)
    assert (newest.event, newest.subject, newest.session_id) == ("session:login:success", ADA, SESSION)
    assert (oldest.event, oldest.subject, oldest.session_id) == ("session:login:failure", None, None)
    assert (newest.address, newest.agent) == (oldest.address, oldest.agent) == ("192.0.2.1", "Browser")
    assert newest.id > oldest.id


async def test_to_forget_an_account_leaves_what_is_about_others(database: Database) -> None:
    async with database.transaction(ORIGIN) as transaction:
        for subject in (ADA, GRACE, None, ADA):
            transaction.record(LoginFailed(subject))
    async with database.read() as connection:
        assert await journal.forget(connection, ADA) == 2
        assert await journal.forget(connection, ADA) == 0
        left = await journal.search(connection, journal.Filters(), most=10)
    assert [entry.subject for entry in left] == [None, GRACE]


async def test_what_became_of_a_transaction_is_told_by_its_entry(database: Database) -> None:
    """DBF-14: running, committed, rolled back; and after a fail-over its number may be that of another."""

    async def outcome(receipt: Receipt) -> bool | None:
        async with database.read() as connection:
            return await journal.outcome(connection, receipt)

    for ending, told in (("commit", True), ("rollback", False)):
        async with database.read() as connection:
            await connection.execute("begin")
            receipt = await journal.append(connection, [LoginFailed(None)], origin=Origin(), now=NOW)
            assert await outcome(receipt) is None
            await connection.execute(ending)
        assert await outcome(receipt) is told
    async with database.transaction(Origin()) as transaction:
        receipt = await journal.append(transaction.connection, [LoginFailed(None)], origin=Origin(), now=NOW)
    of_another = dataclasses.replace(receipt, recorded_at=NOW + timedelta(microseconds=1))
    assert await outcome(of_another) is False
    not_yet = dataclasses.replace(of_another, transaction_id=receipt.transaction_id + 1_000_000)
    assert await outcome(not_yet) is None
