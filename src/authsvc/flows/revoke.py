"""Revoke: a token ends the session that it belongs to, and so every other token of it (RFC 7009 §2.1)."""

from dataclasses import dataclass
from uuid import UUID

from authsvc.events import EndedByRevocation, Origin
from authsvc.refresh_tokens import InvalidRefreshTokenError, RefreshTokens
from authsvc.signing import AccessTokenReader, InvalidAccessTokenError
from authsvc.store import sessions
from authsvc.store.database import Database


@dataclass(frozen=True)
class Revoke:
    """Ends the session of a token of either kind."""

    reader: AccessTokenReader
    refresh_tokens: RefreshTokens
    database: Database

    async def __call__(self, token: str, origin: Origin) -> None:
        """End the session; where the token is none of ours or its session has ended, there is nothing to do.

        A refresh token that was replaced long ago ends it, too: to refresh with it would do the same.

        Raises:
            DatabaseUnavailable: the database does not answer; nothing was revoked.
        """
        session_id = self._session_of(token)
        if session_id is None:
            return
        async with self.database.transaction(origin) as transaction:
            ended = await sessions.end(transaction.connection, session_id=session_id, kind=EndedByRevocation)
            if ended is not None:
                transaction.record(ended)

    def _session_of(self, token: str) -> UUID | None:
        try:
            return self.refresh_tokens.read(token).session_id
        except InvalidRefreshTokenError:
            pass
        try:
            return self.reader.read(token).session_id
        except InvalidAccessTokenError:
            return None
