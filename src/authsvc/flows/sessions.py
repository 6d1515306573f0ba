"""Sessions: the list of one's own, and the ways to end them."""

from dataclasses import dataclass
from uuid import UUID

from authsvc.clock import Clock
from authsvc.events import EndedByLogout, Origin
from authsvc.refusals import SessionNotFound
from authsvc.session_tokens import SessionTokens
from authsvc.store import sessions
from authsvc.store.database import Database
from authsvc.store.sessions import Session

__all__ = ["Session", "Sessions"]


@dataclass(frozen=True)
class Sessions:
    """Shows and ends the sessions of one account."""

    database: Database
    tokens: SessionTokens
    clock: Clock

    async def of(self, subject: UUID) -> list[Session]:
        """Return the sessions that can still be renewed, the last used first.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        now = self.clock.now()
        async with self.database.read() as connection:
            return await sessions.of_subject(connection, subject, now=now, idle_since=self.tokens.idle_since(now))

    async def end(self, subject: UUID, session_id: UUID, origin: Origin) -> None:
        """End one session.

        Raises:
            SessionNotFound: the account has no such session.
            DatabaseUnavailable: the database does not answer.
        """
        if not await self._end(subject, session_id, origin):
            raise SessionNotFound

    async def log_out(self, subject: UUID, session_id: UUID, origin: Origin) -> None:
        """End the session that asks for it; once it has ended that is so already.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        await self._end(subject, session_id, origin)

    async def log_out_everywhere(self, subject: UUID, origin: Origin, *, kept: UUID | None) -> None:
        """End every session but the one `kept`.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        async with self.database.transaction(origin) as transaction:
            for ended in await sessions.end_all(transaction.connection, subject=subject, kind=EndedByLogout, kept=kept):
                transaction.record(ended)

    async def _end(self, subject: UUID, session_id: UUID, origin: Origin) -> bool:
        async with self.database.transaction(origin) as transaction:
            ended = await sessions.end_one(transaction.connection, session_id=session_id, subject=subject)
            if ended is not None:
                transaction.record(ended)
        return ended is not None
