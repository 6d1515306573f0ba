"""Who did what, when, and from where: rows of `journal`, written in the transaction of the act."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from authsvc.events import Event, LoginFailed, Origin
from authsvc.store.queries import queries

if TYPE_CHECKING:
    from authsvc.store.leases import Connection

_QUERIES = queries("journal")


@dataclass(frozen=True)
class Entry:
    """One line of the journal."""

    id: int
    recorded_at: datetime
    event: str
    subject: UUID | None
    session_id: UUID | None
    address: str | None
    agent: str | None


@dataclass(frozen=True)
class Filters:
    """Which entries are looked for; what is None does not count."""

    subject: UUID | None = None
    events: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    address: str | None = None


@dataclass(frozen=True)
class Receipt:
    """What to look a transaction up by: the entry it wrote, and its number."""

    entry: int
    recorded_at: datetime
    transaction_id: int


async def append(connection: Connection, events: Sequence[Event], *, origin: Origin, now: datetime) -> Receipt:
    """Write one row for each event, in order."""
    rows = await _QUERIES["append_journal"].rows(
        connection,
        recorded_at=now,
        events=[event.tag for event in events],
        subjects=[getattr(event, "subject", None) for event in events],
        session_ids=[getattr(event, "session_id", None) for event in events],
        address=origin.address,
        agent=origin.agent,
    )
    return Receipt(rows[0]["id"], now, rows[0]["transaction_id"])


async def outcome(connection: Connection, receipt: Receipt) -> bool | None:
    """Return whether a transaction committed, or None while it runs still.

    Its entry is looked for, and not only PostgreSQL's `pg_xact_status`: after a fail-over that lost the transaction its
    number may be another's.
    """
    row = await _QUERIES["outcome"].row(
        connection,
        entry=receipt.entry,
        recorded_at=receipt.recorded_at,
        transaction_id=receipt.transaction_id,
    )
    if row is None or not (row["committed"] or row["ended"]):
        return None
    return bool(row["committed"])


async def of_subject(connection: Connection, subject: UUID, *, before: int | None, most: int) -> list[Entry]:
    """Return the newest `most` entries about an account, those older than entry `before` where that is given."""
    rows = await _QUERIES["journal_of"].rows(connection, subject=subject, before=before, most=most)
    return [Entry(**row) for row in rows]


async def forget(connection: Connection, subject: UUID) -> int:
    """Delete what is written about an account; return how many entries that were."""
    row = await _QUERIES["forget_journal_of"].row(connection, subject=subject)
    return 0 if row is None else int(row["forgotten"])


async def search(connection: Connection, filters: Filters, *, most: int) -> list[Entry]:
    """Return the newest `most` entries that pass every filter."""
    rows = await _QUERIES["search_journal"].rows(connection, **vars(filters), most=most)
    return [Entry(**row) for row in rows]


async def sweep(connection: Connection, *, before: datetime, most: int) -> int:
    """Delete up to `most` entries that are older than `before`; return how many that were."""
    row = await _QUERIES["sweep_journal"].row(connection, before=before, most=most)
    return 0 if row is None else int(row["swept"])


async def sweep_failed_logins(connection: Connection, *, before: datetime, most: int) -> int:
    """Delete up to `most` failed logins of no account that are older than `before`; return how many that were."""
    row = await _QUERIES["sweep_failed_logins"].row(connection, event=LoginFailed.tag, before=before, most=most)
    return 0 if row is None else int(row["swept"])
