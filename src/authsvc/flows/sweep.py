"""Sweep: deletes what has been kept for long enough, by one table of periods; docs/retention.md shows the same."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from authsvc import config
from authsvc.clock import Clock
from authsvc.revocations import GRACE_SECONDS
from authsvc.store import attempts, journal, sessions
from authsvc.store.database import Database

BATCH = 1_000
FAILED_LOGIN_DAYS = 30


@dataclass(frozen=True)
class Retention:
    """How long some rows of a table are kept, counted from the moment that `since` tells."""

    table: str
    rows: str
    kept: timedelta
    since: str


def retention(journal_days: int) -> tuple[Retention, ...]:
    """Return the table of periods, where the journal is kept for `journal_days`."""
    return (
        Retention(
            "sessions",
            "sessions that are over, by age or idle",
            timedelta(days=1),
            "the end of the session, and of its last access token",
        ),
        Retention(
            "revocations",
            "sessions that were ended",
            timedelta(seconds=GRACE_SECONDS),
            "the end of the session's last access token",
        ),
        Retention(
            "journal",
            "failed logins with an address that no account has",
            timedelta(days=min(FAILED_LOGIN_DAYS, journal_days)),
            "the entry",
        ),
        Retention("journal", "everything else", timedelta(days=journal_days), "the entry"),
        Retention(
            "attempts",
            "what the limits count",
            timedelta(minutes=5),
            "the moment from which it counts for nothing: for an account about a day after the last attempt",
        ),
    )


@dataclass(frozen=True)
class Sweep:
    """Deletes in small transactions, so that nobody waits for it; it can be stopped at any time, and run at once."""

    database: Database
    settings: config.Sessions
    journal: config.Journal
    clock: Clock

    async def __call__(self, report: Callable[[Retention, int], None]) -> None:
        """Delete what is due, and `report` how many rows of each line of the table have gone so far.

        Raises:
            DatabaseUnavailable: the database does not answer; what was deleted so far is.
        """
        (over, revocations, failed_logins, entries, counted), now = retention(self.journal.days), self.clock.now()
        await self._sweep_sessions(over, now, report)
        for line, delete in (
            (revocations, sessions.sweep_revocations),
            (failed_logins, journal.sweep_failed_logins),
            (entries, journal.sweep),
        ):
            swept, last = 0, BATCH
            while last == BATCH:
                async with self.database.read() as connection:
                    last = await delete(connection, before=now - line.kept, most=BATCH)
                swept += last
                report(line, swept)

        await self._sweep_attempts(counted, now, report)

    async def _sweep_attempts(self, line: Retention, now: datetime, report: Callable[[Retention, int], None]) -> None:
        swept = 0
        last: bytes | None = b""
        while last is not None:
            async with self.database.read() as connection:
                last, count = await attempts.sweep(connection, after=last, most=BATCH, before=now - line.kept)
            swept += count
            report(line, swept)

    async def _sweep_sessions(self, line: Retention, now: datetime, report: Callable[[Retention, int], None]) -> None:
        over_since = now - line.kept
        idle_since = over_since - timedelta(seconds=self.settings.idle_seconds)
        swept = 0
        last: UUID | None = UUID(int=0)
        while last is not None:
            async with self.database.read() as connection:
                last, count = await sessions.sweep(
                    connection, after=last, most=BATCH, over_since=over_since, idle_since=idle_since
                )
            swept += count
            report(line, swept)
