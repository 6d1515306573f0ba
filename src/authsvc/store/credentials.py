"""What proves who somebody is: the stored password hashes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from authsvc.emails import EmailAddress
from authsvc.store.queries import queries

if TYPE_CHECKING:
    from authsvc.store.leases import Connection

_QUERIES = queries("credentials")


@dataclass(frozen=True)
class Credential:
    """The password hash of one account, None where it has no password; since when it is disabled; its address."""

    subject: UUID
    password_hash: str | None = field(repr=False)
    disabled_at: datetime | None
    email: EmailAddress = field(repr=False)


async def by_email(connection: Connection, email: EmailAddress) -> Credential | None:
    """Return the credential of the account with this address, or None."""
    row = await _QUERIES["credential_by_email"].row(connection, email=email)
    return None if row is None else Credential(**row)


async def by_subject(connection: Connection, subject: UUID) -> Credential | None:
    """Return the credential of an account, or None."""
    row = await _QUERIES["credential_by_subject"].row(connection, subject=subject)
    return None if row is None else Credential(**row)


async def lock(connection: Connection, subject: UUID) -> Credential | None:
    """Return the credential of an account, or None; nobody else logs in or changes it before the transaction ends."""
    row = await _QUERIES["lock_credential"].row(connection, subject=subject)
    return None if row is None else Credential(**row)


async def replace_password_hash(
    connection: Connection, *, subject: UUID, old_hash: str, new_hash: str, now: datetime
) -> bool:
    """Replace the hash if it is still `old_hash`; return whether it was."""
    row = await _QUERIES["replace_password_hash"].row(
        connection, subject=subject, old_hash=old_hash, new_hash=new_hash, now=now
    )
    return row is not None
