"""What the description says that a route answers, it answers: each status, and each problem of each route.

The other way round, that nothing else is ever answered, is held by every test (see witness.py).
"""

import asyncio
import dataclasses
import html
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import argon2
import pytest
from aiohttp import ClientResponse, web

from authsvc import key_sets, refusals
from authsvc.app import Service, compose
from authsvc.config import PROFILES, Config, DatabaseUrl, RateLimit
from authsvc.entropy import SystemEntropy
from authsvc.events import OPERATOR
from authsvc.refresh_tokens import RefreshToken, RefreshTokens
from authsvc.refusals import Refusal
from authsvc.signing import AccessTokenIssuer
from authsvc.store.database import Database
from authsvc.web import openapi, problems, reading, routes
from authsvc.web.routes import AROUND, ROUTES, Route
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import form, send

STRANGER = {"client_id": str(UUID(int=3)), "client_secret": "guessed"}
PERSON = {"email": make.EMAIL, "password": make.PASSWORD}
CHANGE = {"current_password": make.PASSWORD, "new_password": "another correct horse battery"}
SUBJECT, SESSION = UUID(int=1), UUID(int=2)
ACCOUNT = ("/account", "/account/password", "/account/activity", "/account/delete")
STATIC = ("/static/app.css", "/static/app.js", "/static/favicon.svg")


@dataclass(frozen=True)
class Stage:
    """A client, and tokens that are good there."""

    client: Client
    token: str
    refresh_token: str
    service: Mapping[str, str] = field(default_factory=lambda: STRANGER)

    async def send(self, route: Route, **options: Any) -> ClientResponse:
        path = re.sub(r"{\w+}", str(SESSION), route.path)
        return await self.client.request(route.method, path, allow_redirects=False, **options)

    async def send_body(self, route: Route, data: object, **headers: str) -> ClientResponse:
        content_type = reading.FORM if route.reads_form else reading.JSON
        return await self.send(
            route, data=data, headers={"Content-Type": content_type, **self._known(route), **headers}
        )

    async def send_good(self, route: Route, **given: object) -> ClientResponse:
        """Send what the route reads, each field of the right kind, but for what is `given`."""
        headers = self._known(route)
        if not route.has_body:
            return await self.send(route, headers=headers)
        if route.client:
            return await self.send(route, data={"token": self.token, **self.service}, headers=headers)
        known = {**PERSON, **CHANGE, "refresh_token": self.refresh_token, "session_id": str(SESSION)}
        named = route.reads.fields if route.reads else {}
        fields = {name: known[name] for name in named if name in known} | given
        if not route.page:
            return await self.send(route, json=fields, headers=headers)
        page = await (await self.client.get("/login", headers=headers)).text()
        token = re.search(r'name="form_token" value="([^"]+)"', page)
        assert token
        return await self.send(route, data={**fields, "form_token": html.unescape(token[1])}, headers=headers)

    def _known(self, route: Route) -> dict[str, str]:
        if route.page:
            return {"Cookie": f"access_token={self.token}"}
        return {} if route.public else make.bearer(self.token)


Send = Callable[[Stage, Route], Awaitable[ClientResponse]]


def body(data: str, **headers: str) -> Send:
    return lambda stage, route: stage.send_body(route, data, **headers)


def fields(**given: str) -> Send:
    return lambda stage, route: stage.send_good(route, **given)


def authorization(*values: str) -> Send:
    return lambda stage, route: stage.send(route, headers=[("Authorization", value) for value in values])


async def of_the_wrong_kind(stage: Stage, route: Route) -> ClientResponse:
    if route.reads_query:
        wrong = dict.fromkeys(route.reads_query.fields, "nobody")
        return await stage.send(route, params=wrong, headers=make.bearer(stage.token))
    assert route.reads
    if "session_id" in route.reads.fields:
        return await stage.send_good(route, surplus="x")
    given: dict[str, object] = {"email": "nobody"} if "email" in route.reads.fields else {}
    return await stage.send_good(route, **(given or dict.fromkeys(route.reads.fields, 5)))


async def with_a_wrong_password(stage: Stage, route: Route) -> ClientResponse:
    assert route.reads
    named = {name: "not this battery" for name in ("password", "current_password") if name in route.reads.fields}
    return await stage.send_good(route, **named)


async def twice(stage: Stage, route: Route) -> ClientResponse:
    await stage.send_good(route)
    return await stage.send_good(route)


async def too_often(stage: Stage, route: Route) -> ClientResponse:
    if "register" in route.path:
        return await twice(stage, route)
    await with_a_wrong_password(stage, route)
    return await with_a_wrong_password(stage, route)


async def in_a_crowd(stage: Stage, route: Route) -> ClientResponse:
    answers = await asyncio.gather(*(stage.send_good(route) for _ in range(8)))
    return next((answer for answer in answers if answer.status == 503), answers[0])


async def without_an_end(stage: Stage, route: Route) -> ClientResponse:
    """Like a body that takes longer than BODY_SECONDS, which are but a moment here."""

    async def stall() -> AsyncIterator[bytes]:
        yield b" "
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BODY_SECONDS", 0.1)
        return await stage.send_body(route, stall())


PROVOKE: dict[type[Refusal], Send] = {
    refusals.UnsupportedMediaType: body("x", **{"Content-Type": "text/plain"}),
    refusals.BodyTooLarge: body(" " * (reading.MAX_BODY_BYTES + 1)),
    refusals.BodyTimeout: without_an_end,
    refusals.CrossSiteRequest: body("", **{"Sec-Fetch-Site": "cross-site"}),
    refusals.InvalidJson: body("{"),
    refusals.InvalidForm: body("next=/&next=/"),
    refusals.StaleForm: body("next=/"),
    refusals.InvalidTokenRequest: body("client_secret=a", Authorization="Basic Yjpj"),
    refusals.InvalidClient: fields(),
    refusals.InvalidInput: of_the_wrong_kind,
    refusals.InvalidGrant: fields(refresh_token="x" * 52),
    refusals.EmailTaken: twice,
    refusals.InvalidCredentials: with_a_wrong_password,
    refusals.AccountDisabled: fields(email="disabled@example.com"),
    refusals.SessionNotFound: fields(),
    refusals.MissingCredentials: authorization(),
    refusals.InvalidRequest: authorization("Bearer a", "Bearer b"),
    refusals.InvalidToken: authorization("Bearer a"),
    refusals.DatabaseUnavailable: fields(),
    refusals.RateLimited: too_often,
    refusals.Busy: in_a_crowd,
}


def _without_database(config: Config) -> Config:
    nowhere = DatabaseUrl("postgresql:///nowhere?host=/nowhere")
    return dataclasses.replace(config, database=dataclasses.replace(config.database, url=nowhere))


def _with_a_tiny_queue(config: Config) -> Config:
    slow = dataclasses.replace(config.passwords, profile=PROFILES["owasp-19mib"], threads=1, queue_seconds=0)
    return dataclasses.replace(config, passwords=slow)


def _with_one_attempt(config: Config) -> Config:
    once = RateLimit(1, 60)
    return dataclasses.replace(config, limits=dataclasses.replace(config.limits, account=once, register=once))


SETTING: dict[type[Refusal], Callable[[Config], Config]] = {
    refusals.DatabaseUnavailable: _without_database,
    refusals.Busy: _with_a_tiny_queue,
    refusals.RateLimited: _with_one_attempt,
}


def table_of(service: Service) -> list[Route]:
    return list(dict.fromkeys(service.public[ROUTES].values()))


@pytest.fixture
def tokens(config: Config, clock: FrozenClock) -> tuple[str, str]:
    """An access token and a refresh token of a session that the database does not know."""
    settings, entropy = config.tokens, SystemEntropy()
    key = key_sets.load_keys(settings).signing
    issuer = AccessTokenIssuer(key, settings.issuer, settings.audience, 900, clock=clock, entropy=entropy)
    refresh_tokens = RefreshTokens(key_sets.refresh_secrets(settings))
    return issuer.issue(SUBJECT, SESSION).text, refresh_tokens.make(RefreshToken(SESSION, 1))


@pytest.fixture
async def people(database: Database) -> None:
    """Somebody whose account is disabled, and the one whom the tokens are about."""
    password_hash, now = argon2.PasswordHasher(1, 8, 1).hash(make.PASSWORD), FrozenClock().now()
    statement = "insert into users values (default, $1, $2, $3, $4, $4, $5)"
    async with database.transaction(OPERATOR) as transaction:
        for subject, email, disabled_at in (
            (UUID(int=9), "disabled@example.com", now),
            (SUBJECT, "grace@example.com", None),
        ):
            await transaction.connection.execute(statement, subject, email, password_hash, now, disabled_at)


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("kind", PROVOKE, ids=lambda kind: kind.code)
async def test_a_problem_is_met_on_every_route_that_describes_it(
    kind: type[Refusal], config: Config, clock: FrozenClock, tokens: tuple[str, str], serve: Serve
) -> None:
    change = SETTING.get(kind)
    service = await asyncio.to_thread(compose, change(config) if change else config, clock=clock)
    stage = Stage(await serve(service.public), *tokens)
    for route in table_of(service):
        if kind in openapi.refusals_of(route):
            await assert_refused(kind, route, await PROVOKE[kind](stage, route))


async def assert_refused(kind: type[Refusal], route: Route, response: ClientResponse) -> None:
    text = await response.text()
    assert response.status == problems.status_and_title(kind)[0], (route.path, text)
    if not route.page:
        assert (await response.json())["code"] == kind.code
    elif kind is refusals.InvalidInput and 'aria-invalid="true"' in text:
        assert kind.detail not in html.unescape(text)
    else:
        assert kind.detail in html.unescape(text)


def test_every_described_problem_but_the_unforeseen_is_provoked(service: Service) -> None:
    described = {kind for route in table_of(service) for kind in openapi.refusals_of(route)}
    assert described == {*PROVOKE, refusals.InternalError}


async def test_the_unforeseen_is_a_problem_without_details_on_every_route(
    service: Service, tokens: tuple[str, str], aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    async def broken(_request: web.Request) -> web.Response:
        raise RuntimeError("secret detail")

    app = web.Application()
    routes.install(
        app, [dataclasses.replace(route, handler=broken) for route in table_of(service)], service.public[AROUND]
    )
    app.cleanup_ctx.extend(service.public.cleanup_ctx)
    stage = Stage(await aiohttp_client(app), *tokens)
    for route in table_of(service):
        response = await stage.send(
            route, headers={**make.bearer(stage.token), "Cookie": f"access_token={stage.token}"}
        )
        await assert_refused(refusals.InternalError, route, response)
        assert "secret detail" not in await response.text()


async def test_every_described_good_answer_is_given(service: Service, serve: Serve, database: Database) -> None:
    given: set[tuple[str, str, int]] = set()

    async def remember(request: web.Request, response: web.StreamResponse) -> None:
        if (route := request.app[ROUTES].get(request.match_info.route)) is not None:
            given.add((route.method, route.path, response.status))

    service.public.on_response_prepare.append(remember)
    client = await serve(service.public)
    await walk(client, await make.service(database))
    described = {(route.method, route.path, answer.status) for route in table_of(service) for answer in route.answers}
    assert {each for each in given if each[2] < 400} == described


async def walk(client: Client, service: Mapping[str, str]) -> None:
    """Use the whole service, once each way."""
    await make.user(client)
    for path in ("/", "/login", "/register", *ACCOUNT, "/api/docs", "/api/openapi.json", *STATIC):
        await client.get(path, allow_redirects=False)
    await client.get("/.well-known/change-password", allow_redirects=False)
    for path in ("/.well-known/jwks.json", "/.well-known/oauth-authorization-server"):
        found = await client.get(path)
        await client.get(path, headers={"If-None-Match": found.headers["ETag"]})
    await in_a_program(client, service)
    await in_a_browser(client)
    await at_the_account_pages(client)


async def in_a_program(client: Client, service: Mapping[str, str]) -> None:
    pair = await (await client.post("/api/auth/login", json=PERSON)).json()
    pair = await (await client.post("/api/auth/refresh", json={"refresh_token": pair["refresh_token"]})).json()
    known = make.bearer(pair["access_token"])
    for path in ("me", "me/export", "sessions", "activity"):
        await client.get(f"/api/auth/{path}", headers=known)
    other = await make.access_token(client)
    sessions = await (await client.get("/api/auth/sessions", headers=known)).json()
    (ended,) = [session["id"] for session in sessions["sessions"] if not session["current"]]
    await client.delete(f"/api/auth/sessions/{ended}", headers=known)
    await client.get("/api/auth/verify", headers=known)
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        await client.request(method, "/api/auth/verify/envoy/any/path", headers=known)
    for path in ("introspect", "revoke"):
        await client.post(f"/api/auth/{path}", data={"token": "any", **service})
    await client.post("/api/auth/logout", headers=known)
    other = await make.access_token(client)
    await client.post("/api/auth/logout-all", headers=make.bearer(other))
    await make.user(client, "alan@example.com")
    other = await make.access_token(client, "alan@example.com")
    await client.post("/api/auth/password", json=CHANGE, headers=make.bearer(other))
    await client.delete("/api/auth/me", json={"password": CHANGE["new_password"]}, headers=make.bearer(other))


async def in_a_browser(client: Client) -> None:
    await send(client, "/register", await form(client, "/register") | PERSON | {"email": "grace@example.com"})
    await client.post("/api/auth/login", json=PERSON, headers={"Token-Delivery": "cookie"})
    await client.post("/api/auth/refresh")
    await client.get("/account")
    await send(client, "/logout", await form(client, "/account"))
    await send(client, "/login", await form(client, "/login") | PERSON)


async def at_the_account_pages(client: Client) -> None:
    """By who is logged in there already, and elsewhere."""
    await make.access_token(client)
    for path in ACCOUNT:
        await client.get(path)
    await send(client, "/account/sessions/end", await form(client, "/account"))
    await send(client, "/account/sessions/end-others", await form(client, "/account"))
    await send(client, "/account/password", await form(client, "/account/password") | CHANGE)
    await send(client, "/account/delete", await form(client, "/account/delete") | {"password": CHANGE["new_password"]})


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_an_unknown_path_is_not_found_and_an_unknown_method_not_allowed(method: str, client: Client) -> None:
    """HTTP-04"""
    unknown = await client.request(method, "/api/nothing")
    assert (unknown.status, (await unknown.json())["code"]) == (404, "not_found")
    wrong = await client.request(method, "/.well-known/jwks.json" if method != "GET" else "/api/auth/login")
    assert (wrong.status, (await wrong.json())["code"]) == (405, "method_not_allowed")
    assert wrong.headers["Allow"] == ("POST" if method == "GET" else "GET, HEAD")
