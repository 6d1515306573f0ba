"""Who is asking: the bearer token of the header, or the browser's cookie. Refuses when nothing was installed."""

from dataclasses import dataclass

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from authsvc.refusals import InvalidRequest, InvalidToken, MissingCredentials
from authsvc.signing import AccessTokenReader, Identity, InvalidAccessTokenError
from authsvc.web.cookies import Cookie
from authsvc.web.routes import Handler, route_of

IDENTITY = web.RequestKey("IDENTITY", Identity)


def bearer_token(request: web.BaseRequest) -> str | None:
    """Return the token of the Authorization header (RFC 6750 §2.1), or None where there is no bearer.

    Raises:
        InvalidRequest: there are two such headers, or it is not one token.
    """
    headers = request.headers.getall(hdrs.AUTHORIZATION, ())
    if len(headers) > 1:
        raise InvalidRequest
    scheme, _, rest = headers[0].partition(" ") if headers else ("", "", "")
    if scheme.lower() != "bearer":
        return None
    token = rest.lstrip(" ")
    if not token or " " in token or "," in token:
        raise InvalidRequest
    return token


@dataclass(frozen=True)
class Guard:
    """Finds the identity of a request."""

    reader: AccessTokenReader
    cookie: Cookie

    def authenticate(self, request: web.Request) -> Identity:
        """Return who is asking. Where there is a bearer, the cookie is not looked at.

        Raises:
            Unauthenticated: there is no good token.
        """
        token = bearer_token(request)
        if token is None:
            token = self.cookie.read(request)
        if token is None:
            raise MissingCredentials
        return self._identity(token)

    def signed_in(self, request: web.Request) -> Identity | None:
        """Return whose browser this is, for a public page; None where nobody is logged in."""
        token = self.cookie.read(request)
        if token is None:
            return None
        try:
            return self._identity(token)
        except InvalidToken:
            return None

    def middleware(self) -> Middleware:
        """Return the middleware that closes every route which does not declare itself public."""

        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            route = route_of(request)
            # Only the router's own 404 and 405 have no entry in the table.
            if request.match_info.http_exception is None and not (route and route.public):
                request[IDENTITY] = self.authenticate(request)
            return await handler(request)

        return middleware

    def _identity(self, token: str) -> Identity:
        try:
            return self.reader.read(token)
        except InvalidAccessTokenError as error:
            structlog.get_logger().info("access_token_refused", reason=error.reason)
            raise InvalidToken from None
