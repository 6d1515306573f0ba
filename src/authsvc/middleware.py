"""The guard for other aiohttp services: verifies our access tokens with the keys that we publish.

    from authsvc.middleware import IDENTITY, public, require_jwt

    app = web.Application(middlewares=[require_jwt("https://auth.example.com")])

Every route needs a valid bearer, but those whose handler is marked `@public`; a handler finds who is asking under
`request[IDENTITY]`.
"""

import asyncio
import json
from collections.abc import Callable
from typing import TypeVar

import aiohttp
import structlog
from aiohttp import hdrs, web
from aiohttp.typedefs import Middleware

from authsvc.clock import Clock, SystemClock
from authsvc.entropy import SystemEntropy
from authsvc.key_sets import read_published_keys
from authsvc.refusals import InvalidToken, MissingCredentials, Refusal, Unavailable
from authsvc.signing import AccessTokenReader, Identity, InvalidAccessTokenError
from authsvc.web.guard import IDENTITY, bearer_token
from authsvc.web.problems import Problems
from authsvc.web.routes import Handler

__all__ = ["IDENTITY", "Identity", "public", "require_jwt"]

FETCH_SECONDS = 3
MAX_BYTES = 2**20
"""Of a key set."""
_PUBLIC = "__authsvc_public__"

_H = TypeVar("_H", bound=Callable[..., object])


def public(handler: _H) -> _H:
    """Mark a handler as open to everyone."""
    setattr(handler, _PUBLIC, True)
    return handler


def require_jwt(
    issuer: str,
    *,
    audience: str = "authsvc",
    jwks_url: str | None = None,
    refresh_seconds: float = 300,
    retry_seconds: float = 10,
    clock: Clock | None = None,
) -> Middleware:
    """Return a middleware that refuses every request without a valid access token of `issuer` for `audience`.

    Keys come from `jwks_url` (default: the issuer's /.well-known/jwks.json). They are fetched at the first request,
    again after `refresh_seconds`, and when a token names an unknown key: never more often than each `retry_seconds`,
    and never twice at once. While the issuer is away, or what it answers is no key set, has no usable key, or has two
    with one `kid`, the last good keys stay in use. Refusals are problem documents with the challenge of RFC 6750 §3;
    503 where no key was ever had. Why a token is not good is told to the log alone, as `access_token_refused`.
    """
    clock = clock or SystemClock()
    reader = AccessTokenReader({}, issuer=issuer, audience=audience, clock=clock)
    url = jwks_url or f"{issuer.rstrip('/')}/.well-known/jwks.json"
    keys = _PublishedKeys(reader, url, refresh_seconds, retry_seconds, clock)
    problems, entropy = Problems(issuer), SystemEntropy()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        is_error_of_router = request.match_info.http_exception is not None
        if not is_error_of_router and not getattr(request.match_info.handler, _PUBLIC, False):
            try:
                request[IDENTITY] = await keys.read(bearer_token(request))
            except Refusal as refusal:
                return problems.response(refusal, str(entropy.new_id()))
        return await handler(request)

    return middleware


class _PublishedKeys:
    """Follows a JWK set."""

    def __init__(
        self, reader: AccessTokenReader, url: str, refresh_seconds: float, retry_seconds: float, clock: Clock
    ) -> None:
        self._reader = reader
        self._url = url
        self._refresh_seconds = refresh_seconds
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._lock = asyncio.Lock()
        self._fetched = 0
        self._tried_at = self._fetched_at = float("-inf")

    async def read(self, token: str | None) -> Identity:
        """Return the claims of a good token.

        Raises:
            MissingCredentials: there is none.
            InvalidToken: it is not good.
            Unavailable: no key was ever had.
        """
        if token is None:
            raise MissingCredentials
        is_due = self._clock.steady() - self._fetched_at >= self._refresh_seconds
        # One request waits for the refresh; the others go on with the keys there are.
        if not self._fetched or (is_due and not self._lock.locked()):
            await self._fetch()
        try:
            return self._reader.read(token)
        except InvalidAccessTokenError as error:
            if error.reason != "unknown_key" or not await self._fetch():
                raise self._refusal(error) from None
        try:
            return self._reader.read(token)
        except InvalidAccessTokenError as error:
            raise self._refusal(error) from None

    def _refusal(self, error: InvalidAccessTokenError) -> Refusal:
        if not self._fetched:
            return Unavailable(round(self._retry_seconds) or 1)
        structlog.get_logger().info("access_token_refused", reason=error.reason)
        return InvalidToken()

    async def _fetch(self) -> bool:
        """Fetch the keys unless that was just tried; return whether there may be new ones."""
        fetched = self._fetched
        async with self._lock:
            if self._fetched != fetched:
                return True  # somebody else did, while this one waited
            if self._clock.steady() - self._tried_at < self._retry_seconds:
                return False
            self._tried_at = self._clock.steady()
            try:
                self._reader.replace_keys(read_published_keys(await _get_json(self._url)))
            except (aiohttp.ClientError, OSError) as error:
                structlog.get_logger().warning("jwks_unavailable", error=type(error).__name__)
                return False
            except (ValueError, RecursionError) as error:
                structlog.get_logger().warning("jwks_refused", reason=str(error))
                return False
            self._fetched += 1
            self._fetched_at = self._clock.steady()
            return True


async def _get_json(url: str) -> object:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    async with (
        # A few bytes can inflate to any size: nothing is.
        aiohttp.ClientSession(
            timeout=timeout, raise_for_status=True, auto_decompress=False, headers={hdrs.ACCEPT_ENCODING: "identity"}
        ) as session,
        session.get(url, allow_redirects=False) as response,
    ):
        if hdrs.CONTENT_ENCODING in response.headers:
            raise ValueError("it is compressed, which it was not asked to be")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_BYTES:
                raise ValueError("it is larger than 1 MiB")
        value: object = json.loads(body)
        return value
