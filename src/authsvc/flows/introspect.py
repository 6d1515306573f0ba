"""Introspect: what a token is worth at this moment (RFC 7662)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from authsvc.clock import Clock
from authsvc.refresh_tokens import InvalidRefreshTokenError, RefreshToken
from authsvc.refusals import InvalidToken
from authsvc.session_tokens import SessionTokens
from authsvc.signing import AccessTokenReader, Identity, InvalidAccessTokenError
from authsvc.store import sessions
from authsvc.store.database import Database

__all__ = ["ActiveRefreshToken", "Identity", "Introspect"]


@dataclass(frozen=True)
class ActiveRefreshToken:
    """A refresh token that would yield the next pair."""

    subject: UUID
    session_id: UUID
    expires_at: datetime


@dataclass(frozen=True)
class Introspect:
    """Looks at a token of either kind; `ask` asks the database, and raises InvalidToken for a session that has ended.

    What this instance remembers of ended sessions would do for a request; who introspects wants to know.
    """

    reader: AccessTokenReader
    ask: Callable[[UUID], Awaitable[None]]
    tokens: SessionTokens
    database: Database
    clock: Clock

    async def __call__(self, token: str) -> Identity | ActiveRefreshToken | None:
        """Return what an active token says; None for any other, whatever is wrong with it.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        try:
            presented = self.tokens.refresh_tokens.read(token)
        except InvalidRefreshTokenError:
            return await self._access_token(token)
        return await self._refresh_token(presented)

    async def _access_token(self, token: str) -> Identity | None:
        try:
            identity = self.reader.read(token)
            await self.ask(identity.session_id)
        except (InvalidAccessTokenError, InvalidToken):
            return None
        # The reader allows for clocks that differ; whoever is told `exp` must not be told that it is active after that.
        return identity if self.clock.timestamp() < identity.expires_at else None

    async def _refresh_token(self, presented: RefreshToken) -> ActiveRefreshToken | None:
        now = self.clock.now()
        async with self.database.read() as connection:
            session = await sessions.live(
                connection, presented.session_id, now=now, idle_since=self.tokens.idle_since(now)
            )
        # The newest, or the one before, which is good until the newest has been used.
        if session is None or presented.counter not in (session.counter, session.counter - 1):
            return None
        idle_until = session.last_used_at + timedelta(seconds=self.tokens.settings.idle_seconds)
        return ActiveRefreshToken(session.subject, session.id, min(session.expires_at, idle_until))
