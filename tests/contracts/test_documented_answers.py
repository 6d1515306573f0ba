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

import pytest
from aiohttp import ClientResponse, web

from authsvc import refusals, signing
from authsvc.app import Service, compose
from authsvc.config import PROFILES, Config, DatabaseUrl
from authsvc.entropy import SystemEntropy
from authsvc.refusals import Refusal
from authsvc.signing import AccessTokenIssuer
from authsvc.store.database import Database
from authsvc.web import openapi, problems, reading, routes
from authsvc.web.routes import ROUTES, Route
from tests import make
from tests.conftest import Client, FrozenClock, Serve

STRANGER = {"client_id": str(UUID(int=3)), "client_secret": "guessed"}
PERSON = {"email": make.EMAIL, "password": make.PASSWORD}


@dataclass(frozen=True)
class Stage:
    """A client, and an access token that is good there."""

    client: Client
    token: str
    service: Mapping[str, str] = field(default_factory=lambda: STRANGER)

    async def send(self, route: Route, **options: Any) -> ClientResponse:
        return await self.client.request(route.method, route.path, allow_redirects=False, **options)

    async def send_body(self, route: Route, data: object, **headers: str) -> ClientResponse:
        content_type = reading.FORM if route.reads_form else reading.JSON
        return await self.send(route, data=data, headers={"Content-Type": content_type, **headers})

    async def send_good(self, route: Route, fields: dict[str, str], **headers: str) -> ClientResponse:
        if not route.public:
            headers |= make.bearer(self.token)
        if route.method == "GET":
            return await self.send(route, headers=headers)
        if route.client:
            return await self.send(route, data={"token": self.token, **self.service}, headers=headers)
        if not route.page:
            return await self.send(route, json=fields, headers=headers)
        page = await (await self.client.get("/login")).text()
        token = re.search(r'name="form_token" value="([^"]+)"', page)
        assert token
        return await self.send(route, data={**fields, "form_token": html.unescape(token[1])}, headers=headers)


Send = Callable[[Stage, Route], Awaitable[ClientResponse]]


def body(data: str, **headers: str) -> Send:
    return lambda stage, route: stage.send_body(route, data, **headers)


def fields(**given: str) -> Send:
    return lambda stage, route: stage.send_good(route, given)


def authorization(*values: str) -> Send:
    return lambda stage, route: stage.send(route, headers=[("Authorization", value) for value in values])


async def twice(stage: Stage, route: Route) -> ClientResponse:
    await stage.send_good(route, PERSON)
    return await stage.send_good(route, PERSON)


async def in_a_crowd(stage: Stage, route: Route) -> ClientResponse:
    answers = await asyncio.gather(*(stage.send_good(route, PERSON) for _ in range(8)))
    return next((answer for answer in answers if answer.status == 503), answers[0])


async def without_an_end(stage: Stage, route: Route) -> ClientResponse:
    """Like a body that takes longer than BODY_SECONDS, which are but a moment here."""

    async def stall() -> AsyncIterator[bytes]:
        yield b" "
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "BODY_SECONDS", 0.1)
        return await stage.send_body(route, stall())


async def without_its_token(stage: Stage, route: Route) -> ClientResponse:
    """By who is logged in: who is not has nothing to be logged out of."""
    return await stage.send_body(route, "next=/", Cookie=f"access_token={stage.token}")


PROVOKE: dict[type[Refusal], Send] = {
    refusals.UnsupportedMediaType: body("", **{"Content-Type": "text/plain"}),
    refusals.BodyTooLarge: body(" " * (reading.MAX_BODY_BYTES + 1)),
    refusals.BodyTimeout: without_an_end,
    refusals.CrossSiteRequest: body("", **{"Sec-Fetch-Site": "cross-site"}),
    refusals.InvalidJson: body("{"),
    refusals.InvalidForm: body("next=/&next=/"),
    refusals.StaleForm: without_its_token,
    refusals.InvalidTokenRequest: body("client_secret=a", Authorization="Basic Yjpj"),
    refusals.InvalidClient: fields(),
    refusals.InvalidInput: fields(email="nobody"),
    refusals.EmailTaken: twice,
    refusals.InvalidCredentials: fields(**PERSON),
    refusals.MissingCredentials: authorization(),
    refusals.InvalidRequest: authorization("Bearer a", "Bearer b"),
    refusals.InvalidToken: authorization("Bearer a"),
    refusals.DatabaseUnavailable: fields(**PERSON),
    refusals.Busy: in_a_crowd,
}


def _without_database(config: Config) -> Config:
    nowhere = DatabaseUrl("postgresql:///nowhere?host=/nowhere")
    return dataclasses.replace(config, database=dataclasses.replace(config.database, url=nowhere))


def _with_a_tiny_queue(config: Config) -> Config:
    slow = dataclasses.replace(config.passwords, profile=PROFILES["owasp-19mib"], threads=1, queue_seconds=0)
    return dataclasses.replace(config, passwords=slow)


SETTING: dict[type[Refusal], Callable[[Config], Config]] = {
    refusals.DatabaseUnavailable: _without_database,
    refusals.Busy: _with_a_tiny_queue,
}


def table_of(service: Service) -> list[Route]:
    return list(dict.fromkeys(service.public[ROUTES].values()))


@pytest.fixture
def token(config: Config, clock: FrozenClock) -> str:
    tokens = config.tokens
    key = signing.load_keys(tokens).signing
    entropy = SystemEntropy()
    issuer = AccessTokenIssuer(key, tokens.issuer, tokens.audience, 900, clock=clock, entropy=entropy)
    return issuer.issue(UUID(int=1), UUID(int=2)).text


@pytest.mark.parametrize("kind", PROVOKE, ids=lambda kind: kind.code)
async def test_a_problem_is_met_on_every_route_that_describes_it(
    kind: type[Refusal], config: Config, clock: FrozenClock, token: str, serve: Serve
) -> None:
    change = SETTING.get(kind)
    service = await asyncio.to_thread(compose, change(config) if change else config, clock=clock)
    stage = Stage(await serve(service.public), token)
    for route in table_of(service):
        if kind in openapi.refusals_of(route):
            await assert_refused(kind, route, await PROVOKE[kind](stage, route))


async def assert_refused(kind: type[Refusal], route: Route, response: ClientResponse) -> None:
    text = await response.text()
    assert response.status == problems.status_and_title(kind)[0], (route.path, text)
    if not route.page:
        assert (await response.json())["code"] == kind.code
    elif kind is refusals.InvalidInput:
        assert 'aria-invalid="true"' in text
    else:
        assert kind.detail in html.unescape(text)


def test_every_described_problem_but_the_unforeseen_is_provoked(service: Service) -> None:
    described = {kind for route in table_of(service) for kind in openapi.refusals_of(route)}
    assert described == {*PROVOKE, refusals.InternalError}


async def test_the_unforeseen_is_a_problem_without_details_on_every_route(
    service: Service, token: str, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    async def broken(_request: web.Request) -> web.Response:
        raise RuntimeError("secret detail")

    app = web.Application(middlewares=service.public.middlewares)
    routes.install(app, [dataclasses.replace(route, handler=broken) for route in table_of(service)])
    stage = Stage(await aiohttp_client(app), token)
    for route in table_of(service):
        response = await stage.send(route, headers=make.bearer(token))
        await assert_refused(refusals.InternalError, route, response)
        assert "secret detail" not in await response.text()


async def test_every_described_good_answer_is_given(
    service: Service, serve: Serve, token: str, database: Database
) -> None:
    given: set[tuple[str, str, int]] = set()

    async def remember(request: web.Request, response: web.StreamResponse) -> None:
        if (route := routes.route_of(request)) is not None:
            given.add((route.method, route.path, response.status))

    service.public.on_response_prepare.append(remember)
    stage = Stage(await serve(service.public), token, await make.service(database))
    table = {(route.method, route.path): route for route in table_of(service)}
    await stage.send_good(table["POST", "/api/auth/register"], PERSON)
    await stage.send_good(table["POST", "/register"], PERSON | {"email": "grace@example.com"})
    await stage.send_good(table["POST", "/api/auth/login"], PERSON)
    for (method, path), route in table.items():
        if method == "GET" and path != "/api/auth/me":
            await stage.send(route)
    for path in ("/api/auth/introspect", "/api/auth/revoke"):
        await stage.send_good(table["POST", path], {})
    await stage.send_good(table["POST", "/api/auth/login"], PERSON, **{"Token-Delivery": "cookie"})
    for (_, path), route in table.items():
        if path.startswith("/api/auth/verify"):
            await stage.send(route)
    await stage.send(table["GET", "/api/auth/me"])
    await stage.send(table["GET", "/account"])
    await stage.send_good(table["POST", "/login"], PERSON)
    await stage.send_good(table["POST", "/logout"], {})
    described = {(route.method, route.path, answer.status) for route in table.values() for answer in route.answers}
    assert {each for each in given if each[2] < 400} == described


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_an_unknown_path_is_not_found_and_an_unknown_method_not_allowed(method: str, client: Client) -> None:
    """HTTP-04"""
    unknown = await client.request(method, "/api/nothing")
    assert (unknown.status, (await unknown.json())["code"]) == (404, "not_found")
    wrong = await client.request(method, "/.well-known/jwks.json" if method != "GET" else "/api/auth/login")
    assert (wrong.status, (await wrong.json())["code"]) == (405, "method_not_allowed")
    assert wrong.headers["Allow"] == ("POST" if method == "GET" else "GET, HEAD")
