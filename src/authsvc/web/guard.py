"""Who is asking, and from which site. Refuses when nothing was installed.

Of the API it is the bearer token of the header, or the browser's cookie.

On pages the cookies alone count, and a browser whose access token has expired is given the next pair by the way, with
whatever page it asked for: no script is needed.
"""

from dataclasses import dataclass

import structlog
from aiohttp import hdrs, web

from authsvc.flows.refresh import Refresh
from authsvc.flows.session_check import SessionCheck
from authsvc.refusals import InvalidGrant, InvalidRequest, InvalidToken, MissingCredentials, Unavailable
from authsvc.session_tokens import TokenPair
from authsvc.signing import AccessTokenReader, Identity, InvalidAccessTokenError
from authsvc.web.cookies import Cookies
from authsvc.web.origins import origin_of
from authsvc.web.routes import SAFE_METHODS, Handler, Route
from authsvc.web.same_site import SameSite

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
    check: SessionCheck
    refresh: Refresh
    cookies: Cookies
    same_site: SameSite

    def around(self, route: Route | None, handler: Handler) -> Handler:
        """Close a route that does not declare itself public; nothing else but unknown paths and methods is open."""
        if route is not None and not (route.page or route.public):
            handler = self._closed(handler)
        elif route is not None and route.page:
            handler = self._page(route, handler)
        if route is not None and route.method in SAFE_METHODS:
            return handler

        async def from_this_site(request: web.Request) -> web.StreamResponse:
            if request.method not in SAFE_METHODS:
                self.same_site.check(request)
            return await handler(request)

        return from_this_site

    def _closed(self, handler: Handler) -> Handler:
        async def closed(request: web.Request) -> web.StreamResponse:
            identity = request[IDENTITY] = self._known(self._token(request))
            if self.check.must_ask():
                await self.check.ask(identity.session_id)
            return await handler(request)

        return closed

    def _token(self, request: web.Request) -> str:
        """Return the token that calls the API. Where there is a bearer, the cookie is not looked at."""
        token = bearer_token(request)
        if token is None:
            token = self.cookies.access_token.read(request)
        if token is None:
            raise MissingCredentials
        return token

    def _known(self, token: str) -> Identity:
        """Return whose token it is, as far as memory tells."""
        try:
            identity = self.reader.read(token)
        except InvalidAccessTokenError as error:
            structlog.get_logger().info("access_token_refused", reason=error.reason)
            raise InvalidToken from None
        if self.check.is_known_dead(identity.session_id):
            structlog.get_logger().info("access_token_refused", reason="session_ended")
            raise InvalidToken
        return identity

    def _page(self, route: Route, handler: Handler) -> Handler:
        async def page(request: web.Request) -> web.StreamResponse:
            return await self._answer_page(request, route, handler)

        return page

    async def _answer_page(self, request: web.Request, route: Route, handler: Handler) -> web.StreamResponse:
        pair = None
        try:
            identity = await self._of_cookies(request)
            if identity is None:
                identity, pair = await self._renewed(request)
        except Unavailable:
            if not (route.public and request.method in SAFE_METHODS):
                raise
            return await handler(request)  # a page for everyone needs no database
        if identity is not None:
            request[IDENTITY] = identity
        elif not route.public:
            raise MissingCredentials
        response = await handler(request)
        if pair is not None and not self.cookies.decides_tokens(response):
            self.cookies.write_tokens(response, pair)
        elif identity is None and not self.cookies.decides_tokens(response) and self._has_tokens(request):
            self.cookies.clear_tokens(response)
        return response

    async def _of_cookies(self, request: web.Request) -> Identity | None:
        token = self.cookies.access_token.read(request)
        if token is None:
            return None
        try:
            identity = self._known(token)
            if self.check.must_ask():
                await self.check.ask(identity.session_id)
        except InvalidToken:
            return None
        return identity

    async def _renewed(self, request: web.Request) -> tuple[Identity | None, TokenPair | None]:
        refresh_token = self.cookies.refresh_token.read(request)
        if refresh_token is None:
            return None, None
        try:
            pair = await self.refresh(refresh_token, origin_of(request))
        except InvalidGrant:
            return None, None
        return self.reader.read(pair.access_token.text), pair

    def _has_tokens(self, request: web.Request) -> bool:
        names = request.cookies.keys()
        return self.cookies.access_token.name in names or self.cookies.refresh_token.name in names
