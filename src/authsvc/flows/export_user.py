"""Export: all that is held about a person."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from authsvc.refusals import InvalidToken
from authsvc.store import credentials, journal, sessions, users
from authsvc.store.database import Database
from authsvc.store.journal import Entry
from authsvc.store.sessions import Session
from authsvc.store.users import User

__all__ = ["Entry", "Export", "ExportUser", "Session", "User"]

PAGE = 100
EVER = datetime.min.replace(tzinfo=UTC)
"""Sessions that are over are held until the next `sweep`: they belong to it, too."""


@dataclass(frozen=True)
class Export:
    """An account, since when it is disabled, its sessions, and what the journal says about it, the newest first.

    `activity` comes in pages, each read when it is asked for: however much there is, no more than one is in memory.
    """

    user: User
    disabled_at: datetime | None
    sessions: list[Session]
    activity: AsyncIterator[list[Entry]]


@dataclass(frozen=True)
class ExportUser:
    """Collects what is held about an account. A password is not: only a hash, from which nobody reads it."""

    database: Database

    async def __call__(self, subject: UUID) -> Export:
        """Return all of it.

        Raises:
            InvalidToken: the account exists no more, so that its tokens are no longer good.
            DatabaseUnavailable: the database does not answer; `activity` raises it, too.
        """
        async with self.database.read() as connection:
            user = await users.by_public_id(connection, subject)
            credential = await credentials.by_subject(connection, subject)
            held = await sessions.of_subject(connection, subject, now=EVER, idle_since=EVER)
        if user is None or credential is None:
            raise InvalidToken
        return Export(user, credential.disabled_at, held, self._activity(subject))

    async def _activity(self, subject: UUID) -> AsyncIterator[list[Entry]]:
        before = None
        while True:
            async with self.database.read() as connection:
                page = await journal.of_subject(connection, subject, before=before, most=PAGE)
            yield page
            if len(page) < PAGE:
                return
            before = page[-1].id
