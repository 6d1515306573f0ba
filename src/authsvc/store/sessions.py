"""Who is logged in: rows of `sessions`. Whatever ends one writes its id into `revocations` in the same statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from authsvc.events import EndedByEviction, EndedByLogout, EndedByReuse, Origin, SessionEnded
from authsvc.store.faults import StandbyError
from authsvc.store.queries import queries

if TYPE_CHECKING:
    from authsvc.store.leases import Connection

_QUERIES = queries("sessions")


@dataclass(frozen=True)
class Session:
    """One session, as its owner may see it."""

    id: UUID
    subject: UUID
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    address: str | None
    agent: str | None
    authentication_methods: list[str]


@dataclass(frozen=True)
class Rotated:
    """A session that was just renewed: its newest refresh token has the number `counter`."""

    subject: UUID
    counter: int
    expires_at: datetime


@dataclass(frozen=True)
class LiveSession:
    """A session that can still be renewed."""

    id: UUID
    subject: UUID
    counter: int
    expires_at: datetime
    last_used_at: datetime


@dataclass(frozen=True)
class RevocationPage:
    """Some of the sessions that ended, each with the end of its access tokens."""

    died: list[tuple[UUID, datetime]]
    following: tuple[int, UUID] | None
    """Where the next page begins; None after the last."""
    oldest_running: int
    """No transaction with a lower number will ever commit."""
    server: tuple[datetime, datetime | None]
    """Differs from server to server, and after each restart and crash."""


async def open_session(
    connection: Connection,
    *,
    session_id: UUID,
    subject: UUID,
    password_hash: str,
    now: datetime,
    expires_at: datetime,
    access_until: datetime,
    origin: Origin,
    authentication_methods: Sequence[str],
) -> int | None:
    """Open a session if the account is not disabled and its hash is still the one that was verified.

    Returns how many sessions the account had before, or None where nothing was opened.
    """
    row = await _QUERIES["open_session"].row(
        connection,
        id=session_id,
        subject=subject,
        password_hash=password_hash,
        now=now,
        expires_at=expires_at,
        access_until=access_until,
        address=origin.address,
        agent=origin.agent,
        authentication_methods=list(authentication_methods),
    )
    return None if row is None else int(row["others"])


async def rotate(
    connection: Connection,
    *,
    session_id: UUID,
    counter: int,
    now: datetime,
    idle_since: datetime,
    access_until: datetime,
) -> Rotated | None:
    """Renew a session by its refresh token number `counter`: one statement, whichever way it goes.

    The newest token is replaced by the next; the one before it, whose successor nobody has used yet, yields that same
    successor. None: the session has ended or expired, or the token is older still.
    """
    row = await _QUERIES["rotate"].row(
        connection, id=session_id, counter=counter, now=now, idle_since=idle_since, access_until=access_until
    )
    return None if row is None else Rotated(**row)


async def end_reused(connection: Connection, *, session_id: UUID, counter: int) -> SessionEnded | None:
    """End a session if `counter` is the number of a refresh token whose successor has been used already."""
    row = await _QUERIES["end_reused"].row(connection, id=session_id, counter=counter)
    return None if row is None else EndedByReuse(**row)


async def end(connection: Connection, *, session_id: UUID, kind: type[SessionEnded]) -> SessionEnded | None:
    """End a session, whosever it is; None where it has ended. The `kind` says why."""
    row = await _QUERIES["end"].row(connection, id=session_id)
    return None if row is None else kind(**row)


async def end_one(connection: Connection, *, session_id: UUID, subject: UUID) -> SessionEnded | None:
    """End one session of an account for its owner; None where it has no such session."""
    row = await _QUERIES["end_session"].row(connection, id=session_id, subject=subject)
    return None if row is None else EndedByLogout(**row)


async def end_all(
    connection: Connection, *, subject: UUID, kind: type[SessionEnded], kept: UUID | None = None
) -> list[SessionEnded]:
    """End every session of an account but the one `kept`. The `kind` says why."""
    rows = await _QUERIES["end_sessions"].rows(connection, subject=subject, kept=kept)
    return [kind(**row) for row in rows]


async def hold(connection: Connection, *, session_id: UUID, subject: UUID) -> bool:
    """Keep a session from being ended before the transaction ends; return False where it has been, or just is.

    To be called last: whoever ends several sessions at the same time then waits for nobody who waits for them.
    """
    return await _QUERIES["hold_session"].row(connection, id=session_id, subject=subject) is not None


async def end_oldest(connection: Connection, *, subject: UUID, opened: UUID, others: int) -> list[SessionEnded]:
    """End the sessions of an account but for the one just `opened` and the `others` that were used last."""
    rows = await _QUERIES["end_oldest_sessions"].rows(connection, subject=subject, opened=opened, others=others)
    return [EndedByEviction(**row) for row in rows]


async def of_subject(connection: Connection, subject: UUID, *, now: datetime, idle_since: datetime) -> list[Session]:
    """Return the sessions of an account that can still be renewed, the last used first."""
    rows = await _QUERIES["sessions_of"].rows(connection, subject=subject, now=now, idle_since=idle_since)
    return [Session(**row) for row in rows]


async def live(connection: Connection, session_id: UUID, *, now: datetime, idle_since: datetime) -> LiveSession | None:
    """Return a session that can still be renewed, or None.

    Raises:
        StandbyError: a standby answered; a lease turns that into `DatabaseUnavailable`, and connects anew.
    """
    (row,) = await _QUERIES["live_session"].rows(connection, id=session_id, now=now, idle_since=idle_since)
    if row["in_recovery"]:
        raise StandbyError
    if row["id"] is None:
        return None
    return LiveSession(row["id"], row["subject"], row["counter"], row["expires_at"], row["last_used_at"])


async def revocations_since(connection: Connection, after: tuple[int, UUID], *, most: int) -> RevocationPage:
    """Return up to `most` of the sessions that ended, in the order of their transactions.

    Those from the transaction `after[0]` on, and of its own from behind the session `after[1]`. One statement, which
    leaves nothing behind in the connection and writes nothing.

    Raises:
        StandbyError: a standby answered; a lease turns that into `DatabaseUnavailable`, and connects anew.
    """
    transaction_id, session_id = after
    server, *died = await _QUERIES["revocations_since"].rows(
        connection, transaction_id=transaction_id, session_id=session_id, most=most
    )
    if server["in_recovery"]:
        raise StandbyError
    return RevocationPage(
        died=[(row["session_id"], row["expires_at"]) for row in died],
        following=(died[-1]["transaction_id"], died[-1]["session_id"]) if len(died) == most else None,
        oldest_running=server["oldest_running"],
        server=(server["started_at"], server["statistics_since"]),
    )


async def sweep(
    connection: Connection, *, after: UUID, most: int, over_since: datetime, idle_since: datetime
) -> tuple[UUID | None, int]:
    """Look at the `most` sessions that follow `after`, and delete those that have been over for long.

    That is those without any good access token since `over_since`, which expired before it or were last used before
    `idle_since`. Returns the last id that was looked at, None at the end, and how many were deleted.
    """
    row = await _QUERIES["sweep_sessions"].row(
        connection, after=after, most=most, over_since=over_since, idle_since=idle_since
    )
    return (None, 0) if row is None else (row["last"], int(row["swept"]))


async def sweep_revocations(connection: Connection, *, before: datetime, most: int) -> int:
    """Delete up to `most` revocations that expired before `before`; return how many that were."""
    row = await _QUERIES["sweep_revocations"].row(connection, before=before, most=most)
    return 0 if row is None else int(row["swept"])
