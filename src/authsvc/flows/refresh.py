"""Refresh: a refresh token yields a new pair, in one statement that two at once cannot fork.

The token just replaced stays good until its successor has been used, and yields that same successor again: a client
that lost the answer, and two tabs at once, are never logged out. Whatever is older is in two hands, and ends the
session (RFC 9700 §4.14.2).
"""

from dataclasses import dataclass

from authsvc.clock import Clock
from authsvc.events import Origin, RefreshFailed, RefreshTokenReused, SessionRefreshed
from authsvc.refresh_tokens import InvalidRefreshTokenError, RefreshToken
from authsvc.refusals import InvalidGrant
from authsvc.session_tokens import SessionTokens, TokenPair
from authsvc.store import sessions
from authsvc.store.database import Database


@dataclass(frozen=True)
class Refresh:
    """Renews a session."""

    database: Database
    tokens: SessionTokens
    clock: Clock

    async def __call__(self, refresh_token: str, origin: Origin) -> TokenPair:
        """Return the pair that follows.

        Raises:
            InvalidGrant: the token is none of ours, expired, reused, or its session has ended.
            DatabaseUnavailable: the database does not answer; asking again later yields the same.
        """
        try:
            presented = self.tokens.refresh_tokens.read(refresh_token)
        except InvalidRefreshTokenError:
            self.database.publish(RefreshFailed())
            raise InvalidGrant from None
        now = self.clock.now()
        async with self.database.read() as connection:
            rotated = await sessions.rotate(
                connection,
                session_id=presented.session_id,
                counter=presented.counter,
                now=now,
                idle_since=self.tokens.idle_since(now),
                access_until=self.tokens.access_until(now),
            )
        if rotated is None:
            await self._end_if_reused(presented, origin)
            raise InvalidGrant
        self.database.publish(SessionRefreshed(rotated.subject, presented.session_id))
        return self.tokens.issue(rotated.subject, presented.session_id, rotated.counter, rotated.expires_at, now)

    async def _end_if_reused(self, presented: RefreshToken, origin: Origin) -> None:
        async with self.database.transaction(origin) as transaction:
            ended = await sessions.end_reused(
                transaction.connection, session_id=presented.session_id, counter=presented.counter
            )
            if ended is not None:
                transaction.record(RefreshTokenReused(ended.subject, ended.session_id))
                transaction.record(ended)
        if ended is None:
            self.database.publish(RefreshFailed())
