"""Session check: whether the session of a good access token still lives."""

from dataclasses import dataclass
from uuid import UUID

from authsvc.clock import Clock
from authsvc.refusals import InvalidToken
from authsvc.revocations import Revocations
from authsvc.session_tokens import SessionTokens
from authsvc.store import sessions
from authsvc.store.database import Database


@dataclass(frozen=True)
class SessionCheck:
    """Looks in memory; where that is too old, in the database: never a stale yes."""

    revocations: Revocations
    database: Database
    tokens: SessionTokens
    clock: Clock

    def is_known_dead(self, session_id: UUID) -> bool:
        """Tell whether a session is known to have ended. That never becomes untrue."""
        return session_id in self.revocations

    def must_ask(self) -> bool:
        """Tell whether not to be known as dead is not enough just now: then `ask`."""
        return self.revocations.is_stale()

    async def __call__(self, session_id: UUID) -> None:
        """Accept a session that lives.

        Raises:
            InvalidToken: the session has ended.
            DatabaseUnavailable: what is known is too old, and the database does not answer.
        """
        if self.is_known_dead(session_id):
            raise InvalidToken
        if self.must_ask():
            await self.ask(session_id)

    async def ask(self, session_id: UUID) -> None:
        """Ask the database.

        Raises:
            InvalidToken: the session has ended.
            DatabaseUnavailable: the database does not answer.
        """
        now = self.clock.now()
        async with self.database.read() as connection:
            session = await sessions.live(connection, session_id, now=now, idle_since=self.tokens.idle_since(now))
        if session is None:
            raise InvalidToken
