"""The pair that a login and each refresh give out: an access token, and the refresh token that yields the next pair."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from authsvc.clock import Clock
from authsvc.config import Sessions
from authsvc.refresh_tokens import RefreshToken, RefreshTokens
from authsvc.signing import LEEWAY_SECONDS, AccessToken, AccessTokenIssuer


@dataclass(frozen=True)
class TokenPair:
    """An access token, and a refresh token that is good for `refresh_expires_in` seconds."""

    access_token: AccessToken
    refresh_token: str = field(repr=False)
    refresh_expires_in: int


@dataclass(frozen=True)
class SessionTokens:
    """Issues pairs, and knows how long sessions live."""

    access_tokens: AccessTokenIssuer
    refresh_tokens: RefreshTokens
    settings: Sessions
    clock: Clock

    def issue(self, subject: UUID, session_id: UUID, counter: int, expires_at: datetime, now: datetime) -> TokenPair:
        """Return a pair for a session that was used `now`, whose newest refresh token is number `counter`.

        `now` is the moment that its row was written with, however long the database took: what the row says of
        `access_until` then holds for this access token.
        """
        left = int((expires_at - self.clock.now()).total_seconds())
        return TokenPair(
            self.access_tokens.issue(subject, session_id, not_after=expires_at, issued_at=now),
            self.refresh_tokens.make(RefreshToken(session_id, counter)),
            min(left, self.settings.idle_seconds),
        )

    def expires_at(self, now: datetime) -> datetime:
        """Return the end of a session that is opened now."""
        return now + timedelta(seconds=self.settings.lifetime_seconds)

    def access_until(self, now: datetime) -> datetime:
        """Return from when on no access token issued now is accepted anywhere."""
        return now + timedelta(seconds=self.access_tokens.lifetime_seconds + LEEWAY_SECONDS)

    def idle_since(self, now: datetime) -> datetime:
        """Return since when a session must have been used not to be over."""
        return now - timedelta(seconds=self.settings.idle_seconds)
