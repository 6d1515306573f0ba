"""Journal: who did what, when, and from where, for operators."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from authsvc.events import KINDS
from authsvc.store import journal
from authsvc.store.database import Database
from authsvc.store.journal import Entry, Filters

__all__ = ["Entry", "Filters", "Journal", "events_like"]


def events_like(pattern: str) -> list[str]:
    """Return the names of events that match a pattern of the shell: `session:*`, `*:failure`."""
    return sorted(kind.tag for kind in KINDS if fnmatchcase(kind.tag, pattern))


@dataclass(frozen=True)
class Journal:
    """Searches the journal of everybody."""

    database: Database

    async def search(self, filters: Filters, limit: int) -> list[Entry]:
        """Return the newest `limit` entries that pass the filters, the newest last.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        async with self.database.read() as connection:
            found = await journal.search(connection, filters, most=limit)
        return found[::-1]
