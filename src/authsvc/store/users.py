"""The people who can log in: rows of `users`, without their credentials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg

from authsvc.emails import EmailAddress
from authsvc.refusals import EmailTaken
from authsvc.store.queries import queries

if TYPE_CHECKING:
    from authsvc.store.leases import Connection

_QUERIES = queries("users")


@dataclass(frozen=True)
class User:
    """One account."""

    public_id: UUID
    email: EmailAddress
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class ImportedUser:
    """An account that comes from elsewhere, with its hash."""

    public_id: UUID
    email: EmailAddress
    password_hash: str


async def insert(
    connection: Connection, *, public_id: UUID, email: EmailAddress, password_hash: str, now: datetime
) -> User:
    """Open an account and return it.

    Raises:
        EmailTaken: an account with this address exists, or is opened at this moment.
    """
    try:
        row = await _QUERIES["insert_user"].row(
            connection, public_id=public_id, email=email, password_hash=password_hash, now=now
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name != "users_email_key":
            raise
        raise EmailTaken from None
    return User(**dict(row or {}))


async def by_public_id(connection: Connection, public_id: UUID) -> User | None:
    """Return the account, or None."""
    row = await _QUERIES["user_by_public_id"].row(connection, public_id=public_id)
    return None if row is None else User(**row)


async def find(connection: Connection, name: EmailAddress | UUID) -> User | None:
    """Return the account with this address or id, or None."""
    email, public_id = (None, name) if isinstance(name, UUID) else (name, None)
    row = await _QUERIES["find_user"].row(connection, email=email, public_id=public_id)
    return None if row is None else User(**row)


async def disable(connection: Connection, public_id: UUID, *, now: datetime) -> bool:
    """Close an account; return False where it was closed already, or does not exist."""
    return await _QUERIES["disable_user"].row(connection, public_id=public_id, now=now) is not None


async def enable(connection: Connection, public_id: UUID, *, now: datetime) -> bool:
    """Open a closed account; return False where it was open already, or does not exist."""
    return await _QUERIES["enable_user"].row(connection, public_id=public_id, now=now) is not None


async def hold(connection: Connection, public_id: UUID | None) -> bool:
    """Keep an account from being deleted before the transaction ends; return False where it is gone, or None.

    Before what is recorded about an account that this transaction does not change: a deletion forgets what was
    recorded before it, and cannot know of what comes after.
    """
    return await _QUERIES["hold_user"].row(connection, public_id=public_id) is not None


async def delete(connection: Connection, public_id: UUID) -> None:
    """Delete an account that has no sessions any more."""
    await _QUERIES["delete_user"].row(connection, public_id=public_id)


async def insert_imported(connection: Connection, users: Sequence[ImportedUser], *, now: datetime) -> list[UUID]:
    """Open the accounts whose addresses are free, in one statement; return the ids of those opened."""
    rows = await _QUERIES["insert_imported"].rows(
        connection,
        public_ids=[user.public_id for user in users],
        emails=[user.email for user in users],
        password_hashes=[user.password_hash for user in users],
        now=now,
    )
    return [row["public_id"] for row in rows]
