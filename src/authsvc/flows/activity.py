"""Activity: what the journal says about one's own account."""

from dataclasses import dataclass
from uuid import UUID

from authsvc.store import journal
from authsvc.store.database import Database
from authsvc.store.journal import Entry

__all__ = ["Activity", "Entry", "Page"]


@dataclass(frozen=True)
class Page:
    """Some entries, the newest first; the next page is that of what came before `next`, None at the end."""

    entries: list[Entry]
    next: int | None


@dataclass(frozen=True)
class Activity:
    """Reads the journal of one account."""

    database: Database

    async def of(self, subject: UUID, *, before: int | None, limit: int) -> Page:
        """Return up to `limit` entries, those older than entry `before` where that is given.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        async with self.database.read() as connection:
            found = await journal.of_subject(connection, subject, before=before, most=limit + 1)
        entries = found[:limit]
        return Page(entries, entries[-1].id if len(found) > limit else None)
