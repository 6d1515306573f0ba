"""Farewell: a browser forgets its tokens when the session that ended is theirs."""

from dataclasses import dataclass

from aiohttp import web

from authsvc.refresh_tokens import InvalidRefreshTokenError, RefreshTokens
from authsvc.signing import AccessTokenReader, Identity, InvalidAccessTokenError
from authsvc.web.cookies import Cookies


@dataclass(frozen=True)
class Farewell:
    """Tells whose tokens a browser holds. A bearer may end a session while the cookies beside it are of another."""

    cookies: Cookies
    reader: AccessTokenReader
    refresh_tokens: RefreshTokens

    def of(
        self, request: web.Request, response: web.Response, ended: Identity, *, everywhere: bool = False
    ) -> web.Response:
        """Return the answer after `ended` was ended, and with `everywhere` every other session of its account.

        Where the browser's cookies are of what ended, the answer makes it forget them; else it leaves them alone.
        """
        return self.cookies.goodbye(response) if self._holds(request, ended, everywhere=everywhere) else response

    def _holds(self, request: web.Request, ended: Identity, *, everywhere: bool) -> bool:
        access, refresh = self.cookies.access_token.read(request), self.cookies.refresh_token.read(request)
        try:
            if refresh is not None and self.refresh_tokens.read(refresh).session_id == ended.session_id:
                return True
        except InvalidRefreshTokenError:
            pass
        try:
            held = None if access is None else self.reader.read(access)
        except InvalidAccessTokenError:
            return False
        if held is None:
            return False
        return held.session_id == ended.session_id or (everywhere and held.subject == ended.subject)
