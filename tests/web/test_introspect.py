"""POST /api/auth/introspect: what a token is worth, told to services alone."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import pytest

from authsvc import key_sets
from authsvc.config import Config
from authsvc.entropy import SystemEntropy
from authsvc.key_sets import SigningKey
from authsvc.refusals import DatabaseUnavailable
from authsvc.signing import AccessTokenIssuer
from authsvc.store import sessions
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import composed, problem

INTROSPECT, REFRESH = "/api/auth/introspect", "/api/auth/refresh"
INACTIVE = {"active": False}


@pytest.fixture
async def credential(database: Database) -> dict[str, str]:
    return await make.service(database)


async def ask(client: Client, credential: Mapping[str, str], token: str, **fields: str) -> Any:
    response = await client.post(INTROSPECT, data={"token": token, **credential, **fields})
    assert (response.status, response.headers["Cache-Control"]) == (200, "no-store"), await response.text()
    return await response.json()


async def refresh(client: Client, token: str) -> Any:
    response = await client.post(REFRESH, json={"refresh_token": token})
    assert response.status == 200, await response.text()
    return await response.json()


async def test_an_active_access_token_tells_its_claims(
    client: Client, credential: dict[str, str], config: Config, clock: FrozenClock
) -> None:
    user, pair = await make.user(client), await make.tokens(client)
    listed = await (await client.get("/api/auth/sessions", headers=make.bearer(pair["access_token"]))).json()
    found = await ask(client, credential, pair["access_token"])
    now = int(clock.now().timestamp())
    assert UUID(found.pop("jti")).version == 4
    assert found == {
        "active": True,
        "token_type": "Bearer",
        "iss": config.tokens.issuer,
        "sub": user["id"],
        "aud": config.tokens.audience,
        "iat": now,
        "exp": now + pair["expires_in"],
        "sid": listed["sessions"][0]["id"],
    }


async def test_a_refresh_token_is_active_as_long_as_it_yields_a_pair(
    client: Client, credential: dict[str, str], clock: FrozenClock
) -> None:
    user, first = await make.user(client), await make.tokens(client)
    assert await ask(client, credential, first["refresh_token"]) == {
        "active": True,
        "token_type": "refresh_token",
        "sub": user["id"],
        "sid": (await ask(client, credential, first["access_token"]))["sid"],
        "exp": int(clock.now().timestamp()) + first["refresh_expires_in"],
    }
    second = await refresh(client, first["refresh_token"])
    assert (await ask(client, credential, first["refresh_token"]))["active"], "its successor has not been used"
    assert (await ask(client, credential, second["refresh_token"]))["active"]
    third = await refresh(client, second["refresh_token"])
    assert await ask(client, credential, first["refresh_token"]) == INACTIVE
    assert (await ask(client, credential, third["refresh_token"]))["active"], "to ask is not to reuse"


async def test_an_idle_session_has_no_active_refresh_token(
    client: Client, credential: dict[str, str], clock: FrozenClock, config: Config
) -> None:
    await make.user(client)
    token = (await make.tokens(client))["refresh_token"]
    clock.advance(config.sessions.idle_seconds - 1)
    assert (await ask(client, credential, token))["exp"] == int(clock.now().timestamp()) + 1
    clock.advance(1)
    assert await ask(client, credential, token) == INACTIVE


Issue = Callable[..., str]


def issuing(session: Mapping[str, str], clock: FrozenClock) -> Issue:
    """Return what makes tokens of one session."""

    def issue(key: SigningKey, issuer: str, audience: str, sid: str = session["sid"]) -> str:
        tokens = AccessTokenIssuer(key, issuer, audience, 900, clock, SystemEntropy())
        return tokens.issue(UUID(session["sub"]), UUID(sid)).text

    return issue


async def test_whatever_is_not_good_is_inactive_and_nothing_else(
    client: Client, credential: dict[str, str], config: Config, clock: FrozenClock
) -> None:
    """MW-10 (RFC 7662)"""
    await make.user(client)
    pair, tokens = await make.tokens(client), config.tokens
    access, renewing = pair["access_token"], pair["refresh_token"]
    ours, strange = key_sets.load_keys(tokens).signing, "https://elsewhere.example"
    strangers = key_sets.read_key_set(json.dumps({"keys": [key_sets.generate_key("ES256")]})).signing
    foreign = dataclasses.replace(strangers, kid=ours.kid)
    issued = issuing(await ask(client, credential, access), clock)
    assert (await ask(client, credential, issued(ours, tokens.issuer, tokens.audience)))["active"]
    for token in (
        *("", "x", "a.b.c", "é", "x" * 5000, "A" * 52),
        *(access[:-1], access + "=", access + "A", " " + access),
        *(renewing[:-1], renewing + "A", renewing + "=", renewing[:20] + renewing[20:].swapcase()),
        issued(foreign, tokens.issuer, tokens.audience),
        issued(ours, strange, tokens.audience),
        issued(ours, tokens.issuer, "another-audience"),
        issued(ours, tokens.issuer, tokens.audience, str(UUID(int=2))),
    ):
        assert await ask(client, credential, token) == INACTIVE, token
    clock.advance(pair["expires_in"] - 1)
    assert (await ask(client, credential, access))["active"]
    clock.advance(1)
    assert await ask(client, credential, access) == INACTIVE, "no leeway: `exp` has been told"
    assert (await client.get("/api/auth/verify", headers=make.bearer(access))).status == 204


async def test_after_a_logout_no_token_of_the_session_is_active(client: Client, credential: dict[str, str]) -> None:
    """MW-10 (RFC 7662)"""
    await make.user(client)
    pair, other = await make.tokens(client), await make.tokens(client)
    response = await client.post("/api/auth/logout", headers=make.bearer(pair["access_token"]))
    assert response.status == 204
    for kind in ("access_token", "refresh_token"):
        assert await ask(client, credential, pair[kind]) == INACTIVE
        assert (await ask(client, credential, other[kind]))["active"]


async def test_what_ended_elsewhere_is_inactive_at_once_also_where_nobody_has_heard_of_it(
    client: Client, credential: dict[str, str], config: Config, clock: FrozenClock, serve: Serve
) -> None:
    """RFC 7662 §4: the answer is the truth of this moment."""
    await make.user(client)
    pair = await make.tokens(client)
    deaf = await serve(await composed(_that_never_looks_again(config), clock))
    kinds = ("access_token", "refresh_token")
    assert [(await ask(deaf, credential, pair[kind]))["active"] for kind in kinds] == [True, True]
    assert (await client.post("/api/auth/logout", headers=make.bearer(pair["access_token"]))).status == 204
    assert (await deaf.get("/api/auth/verify", headers=make.bearer(pair["access_token"]))).status == 204, "unheard of"
    assert [await ask(deaf, credential, pair[kind]) for kind in kinds] == [INACTIVE, INACTIVE]


def _that_never_looks_again(config: Config) -> Config:
    return dataclasses.replace(config, sessions=dataclasses.replace(config.sessions, poll_seconds=3600))


async def test_when_the_database_is_away_it_is_503_and_no_inactive(
    client: Client, credential: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await make.user(client)
    pair = await make.tokens(client)

    async def unreachable(*_arguments: object, **_named: object) -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(sessions, "live", unreachable)
    for kind in ("access_token", "refresh_token"):
        response = await client.post(INTROSPECT, data={"token": pair[kind], **credential})
        await problem(response, 503, "temporarily_unavailable")


async def test_hints_and_fields_that_are_not_known_change_nothing(client: Client, credential: dict[str, str]) -> None:
    await make.user(client)
    token = (await make.tokens(client))["access_token"]
    for hint in ("access_token", "refresh_token", "cat"):
        assert (await ask(client, credential, token, token_type_hint=hint, resource="x"))["active"]
