"""The exported guard: an aiohttp service of somebody else's, against our published keys."""

import asyncio
import dataclasses
import gzip
import io
import json
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from authsvc import key_sets, signing
from authsvc.config import Config, Secret
from authsvc.entropy import SystemEntropy
from authsvc.middleware import IDENTITY, Identity, public, require_jwt
from drills.ports import free_ports
from tests import make
from tests.conftest import Client, FrozenClock, Serve

JWKS = "/.well-known/jwks.json"
OTHER_KEYS = json.dumps({"keys": [key_sets.generate_key("ES256")]})
OTHERS = [
    key_sets.read_key_set(json.dumps({"keys": [key_sets.generate_key("ES256")]})).published()["keys"][0] for _ in "ab"
]
NEVER, INTERVAL, AT_ONCE = 3600.0, 10, 0.0


class Relay:
    """Stands between the guard and the issuer's keys: counts the fetches, and holds, drops or forges the answers."""

    def __init__(self, authsvc: Client) -> None:
        self.fetches = 0
        self.held = asyncio.Event()
        self.held.set()
        self.forged: bytes | None = None
        self.headers: dict[str, str] = {}
        self.accepted: set[str | None] = set()
        self.drops = False
        self._authsvc = authsvc

    async def keys(self, request: web.Request) -> web.Response:
        self.fetches += 1
        self.accepted.add(request.headers.get("Accept-Encoding"))
        await self.held.wait()
        if self.drops and request.transport is not None:
            request.transport.abort()
        real = await (await self._authsvc.get(JWKS)).read()
        return web.Response(body=real if self.forged is None else self.forged, headers=self.headers)


@pytest.fixture
def authsvc(client: Client) -> Client:
    """The issuer, as production composes it."""
    return client


@pytest.fixture
def relay(authsvc: Client) -> Relay:
    return Relay(authsvc)


@pytest.fixture
async def token(authsvc: Client) -> str:
    await make.user(authsvc)
    return await make.access_token(authsvc)


Guarded = Callable[..., Awaitable[Client]]


@pytest.fixture
async def guarded(relay: Relay, config: Config, clock: FrozenClock, serve: Serve) -> Guarded:
    """Start somebody's service behind the guard."""
    way = web.Application()
    way.add_routes([web.get(JWKS, relay.keys)])
    relayed = (await serve(way)).make_url(JWKS)

    async def start(*, refresh: float = NEVER, retry: float = NEVER, jwks: URL = relayed, **options: Any) -> Client:
        guard = require_jwt(
            config.tokens.issuer,
            jwks_url=str(jwks),
            refresh_seconds=refresh,
            retry_seconds=retry,
            clock=clock,
            **options,
        )
        app = web.Application(middlewares=[guard])
        app.add_routes([web.get("/", front), web.get("/who", who)])
        return await serve(app)

    return start


@public
async def front(_request: web.Request) -> web.Response:
    return web.Response(text="everybody")


async def who(request: web.Request) -> web.Response:
    identity = request[IDENTITY]
    assert type(identity) is Identity
    return web.json_response({"subject": str(identity.subject), "expires_at": identity.expires_at})


async def status(client: Client, token: str) -> int:
    return (await client.get("/who", headers=make.bearer(token))).status


async def test_a_good_token_passes_with_a_typed_identity(authsvc: Client, guarded: Guarded) -> None:
    user = await make.user(authsvc)
    token = await make.access_token(authsvc)
    answer = await (await guarded()).get("/who", headers=make.bearer(token))
    assert answer.status == 200
    who = await answer.json()
    assert who["subject"] == user["id"]
    assert 1795349700 - 45 <= who["expires_at"] <= 1795349700


@pytest.mark.parametrize("path, expected", [("/", 200), ("/who", 401), ("/nowhere", 404)])
async def test_a_route_is_closed_unless_it_is_marked_public(guarded: Guarded, path: str, expected: int) -> None:
    assert (await (await guarded()).get(path)).status == expected


def foreign(config: Config, clock: FrozenClock, kid: str | None = None, **changes: Any) -> str:
    """Return a token of an issuer whose settings differ from ours in `changes`."""
    settings = dataclasses.replace(config.tokens, **changes)
    key, entropy = key_sets.load_keys(settings).signing, SystemEntropy()
    key = dataclasses.replace(key, kid=kid or key.kid)
    issuer = signing.AccessTokenIssuer(key, settings.issuer, settings.audience, 900, clock=clock, entropy=entropy)
    return issuer.issue(entropy.new_id(), entropy.new_id()).text


INVALID_TOKEN = ("invalid_token", 'Bearer error="invalid_token"')
INVALID_REQUEST = ("invalid_request", 'Bearer error="invalid_request"')


@pytest.fixture
def tokens(token: str, config: Config, clock: FrozenClock) -> dict[str, str]:
    """A good token, and tokens of others."""
    return {
        "OTHER KEY": foreign(config, clock, keys=Secret(OTHER_KEYS)),
        "OTHER ISSUER": foreign(config, clock, issuer="https://evil.example.com"),
        "OTHER AUDIENCE": foreign(config, clock, audience="another"),
        "TOKEN": token,
    }


@pytest.mark.parametrize(
    "headers, expected",
    [
        ([], ("missing_credentials", "Bearer")),
        ([("Authorization", "Basic YWRhOmFkYQ==")], ("missing_credentials", "Bearer")),
        ([("Cookie", "access=TOKEN; __Host-access=TOKEN")], ("missing_credentials", "Bearer")),
        ([("Authorization", "Bearer")], INVALID_REQUEST),
        ([("Authorization", "Bearer TOKEN TOKEN")], INVALID_REQUEST),
        ([("Authorization", "Bearer TOKEN"), ("Authorization", "Bearer TOKEN")], INVALID_REQUEST),
        ([("Authorization", "Bearer TOKEN!")], INVALID_TOKEN),
        ([("Authorization", "Bearer a.b.c")], INVALID_TOKEN),
        ([("Authorization", "Bearer OTHER KEY")], INVALID_TOKEN),
        ([("Authorization", "Bearer OTHER ISSUER")], INVALID_TOKEN),
        ([("Authorization", "Bearer OTHER AUDIENCE")], INVALID_TOKEN),
    ],
)
async def test_whatever_is_wrong_is_401_with_the_challenge_and_no_reason(
    tokens: dict[str, str], guarded: Guarded, headers: list[tuple[str, str]], expected: tuple[str, str]
) -> None:
    """TOK-05, TOK-09, TOK-10 (RFC 8725 §3.10)."""
    client = await guarded()
    for name, text in tokens.items():
        headers = [(header, value.replace(name, text)) for header, value in headers]
    answer = await client.get("/who", headers=headers)
    assert (answer.status, answer.content_type) == (401, "application/problem+json")
    problem = await answer.json()
    assert (problem["code"], answer.headers["WWW-Authenticate"]) == expected
    assert problem.keys() == {"type", "title", "status", "detail", "code", "instance"}


async def test_a_token_ends_at_its_expiry_also_where_it_was_remembered(
    token: str, guarded: Guarded, clock: FrozenClock
) -> None:
    client = await guarded()
    assert await status(client, token) == 200
    clock.advance(900 + signing.LEEWAY_SECONDS)
    assert await status(client, token) == 401


async def test_the_keys_are_those_of_the_very_address_and_no_redirect_is_followed(
    token: str, relay: Relay, guarded: Guarded, serve: Serve
) -> None:
    """ASVS 15.3.2: whoever can make the issuer's address lead elsewhere would choose the keys."""

    async def moved(_request: web.Request) -> web.Response:
        raise web.HTTPFound("/elsewhere")

    way = web.Application()
    way.add_routes([web.get(JWKS, moved), web.get("/elsewhere", relay.keys)])
    service = await guarded(jwks=(await serve(way)).make_url(JWKS))
    assert (await status(service, token), relay.fetches) == (503, 0)


async def test_another_audience_is_for_another_service(token: str, guarded: Guarded) -> None:
    assert await status(await guarded(audience="another"), token) == 401


async def test_why_a_token_was_refused_is_in_the_log_of_the_service_alone(
    token: str, guarded: Guarded, config: Config, clock: FrozenClock, log: io.StringIO
) -> None:
    """A wrong audience, a key that nobody knows: else whoever sets a service up sees 401 and no word."""
    for client, refused, reason in (
        (await guarded(audience="another"), token, "wrong_issuer_or_audience"),
        (await guarded(), strangers(config, clock, 1)[0], "unknown_key"),
        (await guarded(), "x", "not_a_jws"),
    ):
        answer = await client.get("/who", headers=make.bearer(refused))
        assert (answer.status, reason in await answer.text()) == (401, False)
        lines = [json.loads(line) for line in log.getvalue().splitlines() if '"access_token_refused"' in line]
        assert lines[-1]["reason"] == reason
    assert len(lines) == 3


async def test_a_storm_of_unknown_keys_fetches_no_more_than_once_an_interval(
    token: str, relay: Relay, guarded: Guarded, config: Config, clock: FrozenClock
) -> None:
    """TOK-05, DOS-08 (RFC 8725 §3.10)."""
    client = await guarded(retry=INTERVAL)
    assert await status(client, token) == 200
    for seconds, fetches in ((0, 1), (INTERVAL, 2), (0, 2), (INTERVAL - 1, 2), (1, 3)):
        clock.advance(seconds)
        storm = (status(client, stranger) for stranger in strangers(config, clock, 30))
        assert set(await asyncio.gather(*storm)) == {401}
        assert relay.fetches == fetches


def strangers(config: Config, clock: FrozenClock, number: int) -> list[str]:
    """Return tokens each of which names another key that nobody knows."""
    return [foreign(config, clock, SystemEntropy().token_bytes(8).hex()) for _ in range(number)]


async def test_a_storm_of_unknown_keys_shares_one_fetch_and_holds_up_nobody_else(
    token: str, relay: Relay, guarded: Guarded, config: Config, clock: FrozenClock
) -> None:
    client = await guarded(retry=INTERVAL)
    assert await status(client, token) == 200
    clock.advance(INTERVAL)
    relay.held.clear()
    storm = asyncio.gather(*(status(client, stranger) for stranger in strangers(config, clock, 30)))
    await until(lambda: relay.fetches == 2)
    assert [await status(client, token) for _ in range(3)] == [200] * 3
    assert not storm.done()
    relay.held.set()
    assert set(await storm) == {401}
    assert relay.fetches == 2


async def test_many_first_requests_share_one_fetch(token: str, relay: Relay, guarded: Guarded) -> None:
    client = await guarded(retry=AT_ONCE)
    relay.held.clear()
    requests = asyncio.gather(*(status(client, token) for _ in range(20)))
    await until(lambda: relay.fetches == 1)
    relay.held.set()
    assert set(await requests) == {200}
    assert relay.fetches == 1


async def test_while_one_request_waits_for_new_keys_the_others_pass_with_the_old(
    token: str, relay: Relay, guarded: Guarded
) -> None:
    client = await guarded(refresh=AT_ONCE, retry=AT_ONCE)
    assert await status(client, token) == 200
    relay.held.clear()
    waiting = asyncio.ensure_future(status(client, token))  # noqa: TID251 - awaited below
    await until(lambda: relay.fetches == 2)
    assert [await status(client, token) for _ in range(3)] == [200] * 3
    assert not waiting.done()
    relay.held.set()
    assert await waiting == 200


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what it looks at is no event
            await asyncio.sleep(0.005)


async def test_an_issuer_that_is_down_at_the_start_is_503_until_it_is_there(
    token: str, relay: Relay, guarded: Guarded, clock: FrozenClock
) -> None:
    (port,) = free_ports(1)
    app = web.Application()
    app.add_routes([web.get(JWKS, relay.keys)])
    late = TestServer(app, port=port)
    client = await guarded(retry=INTERVAL, jwks=URL(f"http://127.0.0.1:{port}{JWKS}"))
    answer = await client.get("/who", headers=make.bearer(token))
    assert (answer.status, answer.content_type) == (503, "application/problem+json")
    assert answer.headers["Retry-After"] == str(INTERVAL)
    assert (await client.get("/who")).status == 401
    await late.start_server()
    try:
        assert (await status(client, token), relay.fetches) == (503, 0), "it was tried just now"
        clock.advance(INTERVAL)
        assert await status(client, token) == 200
    finally:
        await late.close()


async def test_keys_are_fetched_again_when_they_are_old(
    token: str, relay: Relay, guarded: Guarded, clock: FrozenClock
) -> None:
    client = await guarded(refresh=INTERVAL, retry=AT_ONCE)
    for seconds, fetches in ((0, 1), (INTERVAL - 1, 1), (1, 2), (INTERVAL - 1, 2), (1, 3)):
        clock.advance(seconds)
        assert (await status(client, token), relay.fetches) == (200, fetches)


def a_set_of(*changes: dict[str, str]) -> bytes:
    """Return a published set of keys that are not the issuer's, each with these members."""
    return json.dumps({"keys": [{**key, **change} for key, change in zip(OTHERS, changes, strict=False)]}).encode()


FAULTS = {
    "dropped": (None, "jwks_unavailable"),
    "a page": (b"<html>", "jwks_refused"),
    "no set": (b"[]", "jwks_refused"),
    "null": (b'{"keys": null}', "jwks_refused"),
    "no text": (b"\xff", "jwks_refused"),
    "nested": (b"[" * 100_000, "jwks_refused"),
    "empty": (b'{"keys": []}', "jwks_refused"),
    "another algorithm": (a_set_of({"alg": "ES512"}), "jwks_refused"),
    "two of one kid": (a_set_of({"kid": "same"}, {"kid": "same"}), "jwks_refused"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_an_issuer_that_fails_later_leaves_the_last_good_keys_in_use(
    token: str, relay: Relay, guarded: Guarded, log: io.StringIO, name: str
) -> None:
    fault, said = FAULTS[name]
    client = await guarded(refresh=AT_ONCE, retry=AT_ONCE)
    assert await status(client, token) == 200
    relay.drops, relay.forged = fault is None, fault
    assert [await status(client, token) for _ in range(2)] == [200, 200]
    assert relay.fetches > 1
    warnings = [json.loads(line) for line in log.getvalue().splitlines() if '"jwks_' in line]
    assert {line["event"] for line in warnings} == {said}
    assert all(line.get("reason") or line.get("error") for line in warnings)
    relay.drops, relay.forged = False, a_set_of({})
    assert await status(client, token) == 401, "the next good set counts"


async def test_a_set_is_read_to_a_bound_and_never_inflated(
    token: str, relay: Relay, guarded: Guarded, authsvc: Client, log: io.StringIO
) -> None:
    """CWE-770, CWE-409: an issuer that was taken over must not take its peers' memory, too."""
    good = await (await authsvc.get(JWKS)).read()
    client = await guarded(refresh=AT_ONCE, retry=AT_ONCE)
    relay.forged = good.ljust(2**20)
    assert await status(client, token) == 200
    for body, coding in (
        (good.ljust(2**20 + 1), None),
        (gzip.compress(good), "gzip"),
        (zlib.compress(good), "deflate"),
    ):
        later = await guarded()
        relay.forged, relay.headers = body, {} if coding is None else {"Content-Encoding": coding}
        assert await status(later, token) == 503
        assert await status(client, token) == 200, "the last good set stays"
    assert relay.accepted == {"identity"}
    assert log.getvalue().count('"event":"jwks_refused"') == 6


@pytest.mark.parametrize("fault", ["empty", "two of one kid"])
async def test_a_set_that_cannot_be_used_is_503_where_there_was_no_other(
    token: str, relay: Relay, guarded: Guarded, fault: str
) -> None:
    relay.forged, _said = FAULTS[fault]
    assert await status(await guarded(), token) == 503


async def test_keys_that_are_taken_back_end_their_tokens_at_the_next_fetch(
    token: str, relay: Relay, guarded: Guarded
) -> None:
    """DEP-13."""
    client = await guarded(refresh=AT_ONCE, retry=AT_ONCE)
    assert await status(client, token) == 200
    relay.forged = json.dumps(key_sets.read_key_set(OTHER_KEYS).published()).encode()
    assert await status(client, token) == 401
    relay.forged = None
    assert await status(client, token) == 200


async def test_a_new_key_is_found_at_its_first_token(
    token: str, relay: Relay, guarded: Guarded, config: Config, clock: FrozenClock
) -> None:
    """DEP-11 (RFC 7517)."""
    client = await guarded(retry=AT_ONCE)
    assert await status(client, token) == 200
    relay.forged = json.dumps(key_sets.read_key_set(OTHER_KEYS).published()).encode()
    assert await status(client, foreign(config, clock, keys=Secret(OTHER_KEYS))) == 200
    assert relay.fetches == 2
