"""Somebody with sessions in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from authsvc.emails import EmailAddress
from authsvc.events import OPERATOR
from authsvc.revocations import NIL
from authsvc.store import sessions, users
from authsvc.store.database import Database
from tests.conftest import FrozenClock

if TYPE_CHECKING:
    from authsvc.store.leases import Connection

NOW = FrozenClock().now()
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


async def end(connection: Connection, number: int) -> None:
    """Open a session, and end it."""
    await opened(connection, numbered(number))
    assert await sessions.end_one(connection, session_id=numbered(number), subject=ADA) is not None


async def seen(connection: Connection, begin: int) -> tuple[set[UUID], int]:
    page = await sessions.revocations_since(connection, (begin, NIL), most=100)
    assert page.following is None
    return {session_id for session_id, _expires_at in page.died}, page.oldest_running


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
