"""Who is asking: the bearer token of the header, or the browser's cookie. Refuses when nothing was installed."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from authsvc.refusals import InvalidRequest, InvalidToken, MissingCredentials
from authsvc.signing import AccessTokenReader, Claims, InvalidAccessTokenError
from authsvc.web.cookies import Cookie
from authsvc.web.routes import Handler, route_of

_BEARER = re.compile(r"bearer +(?P<token>[^ ,]+)", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Identity:
    """Who is asking, as a good access token says."""

    subject: UUID
    session_id: UUID
    token_id: UUID
    issued_at: datetime
    expires_at: datetime


IDENTITY = web.RequestKey("IDENTITY", Identity)


def identity_of(claims: Claims) -> Identity:
    """Return the identity that verified claims state."""
    return Identity(
        subject=claims.subject,
        session_id=claims.session_id,
        token_id=claims.token_id,
        issued_at=datetime.fromtimestamp(claims.issued_at, UTC),
        expires_at=datetime.fromtimestamp(claims.expires_at, UTC),
    )


def bearer_token(request: web.BaseRequest) -> str | None:
    """Return the token of the Authorization header (RFC 6750 §2.1), or None where there is no bearer.

    Raises:
        InvalidRequest: there are two such headers, or it is not one token.
    """
    headers = request.headers.getall(hdrs.AUTHORIZATION, [])
    if len(headers) > 1:
        raise InvalidRequest
    if not headers or headers[0].partition(" ")[0].lower() != "bearer":
        return None
    match = _BEARER.fullmatch(headers[0])
    if match is None:
        raise InvalidRequest
    return match["token"]


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
            return identity_of(self.reader.read(token))
        except InvalidAccessTokenError as error:
            structlog.get_logger().info("access_token_refused", reason=error.reason)
            raise InvalidToken from None
