"""POST /api/auth/revoke: a token ends its session, and the answer tells nothing."""

from collections.abc import Mapping

import psycopg
import pytest

from authsvc.config import Config, DatabaseUrl
from authsvc.refusals import DatabaseUnavailable
from authsvc.signing import LEEWAY_SECONDS
from authsvc.store import sessions
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client, FrozenClock
from tests.web.helpers import ME, problem

REVOKE, REFRESH = "/api/auth/revoke", "/api/auth/refresh"
KINDS = ("access_token", "refresh_token")


@pytest.fixture
async def credential(database: Database) -> dict[str, str]:
    return await make.service(database)


async def revoke(client: Client, credential: Mapping[str, str], token: str) -> None:
    response = await client.post(REVOKE, data={"token": token, **credential})
    assert (response.status, await response.read()) == (200, b"")
    assert response.headers["Cache-Control"] == "no-store"


async def is_alive(client: Client, pair: Mapping[str, str]) -> tuple[bool, bool]:
    me = await client.get(ME, headers=make.bearer(pair["access_token"]))
    renewed = await client.post(REFRESH, json={"refresh_token": pair["refresh_token"]})
    return me.status == 200, renewed.status == 200


@pytest.mark.parametrize("kind", KINDS)
async def test_either_token_ends_its_session_and_no_other(
    kind: str, client: Client, credential: dict[str, str], database_url: DatabaseUrl
) -> None:
    """REF-16, REF-18 (RFC 7009 §2.2, RFC 7009 §2.1)"""
    await make.user(client)
    pair, other = await make.tokens(client), await make.tokens(client)
    await revoke(client, credential, pair[kind])
    assert await is_alive(client, pair) == (False, False)
    assert await is_alive(client, other) == (True, True)
    await revoke(client, credential, pair[kind])
    with psycopg.connect(database_url.reveal()) as connection:
        journaled = connection.execute("select count(*) from journal where event = 'session:end:revoked'").fetchone()
        told_to_other_instances = connection.execute("select count(*) from revocations").fetchone()
    assert (journaled, told_to_other_instances) == ((1,), (1,))


async def test_a_refresh_token_that_was_replaced_ends_the_session_too(
    client: Client, credential: dict[str, str]
) -> None:
    await make.user(client)
    pair = first = await make.tokens(client)
    for _ in range(2):
        pair = await (await client.post(REFRESH, json={"refresh_token": pair["refresh_token"]})).json()
    await revoke(client, credential, first["refresh_token"])
    assert await is_alive(client, pair) == (False, False)


async def test_an_access_token_of_a_session_that_went_idle_can_still_be_revoked(
    client: Client, credential: dict[str, str], database_url: DatabaseUrl
) -> None:
    """Who can refresh no more may hold a good access token."""
    await make.user(client)
    pair = await make.tokens(client)
    with psycopg.connect(database_url.reveal(), autocommit=True) as connection:
        connection.execute("update sessions set last_used_at = last_used_at - interval '10 years'")
    assert await is_alive(client, pair) == (True, False)
    await revoke(client, credential, pair["access_token"])
    assert await is_alive(client, pair) == (False, False)


async def test_what_is_no_good_token_is_answered_alike_and_ends_nothing(
    client: Client, credential: dict[str, str], config: Config, clock: FrozenClock
) -> None:
    """REF-16 (RFC 7009 §2.2)"""
    await make.user(client)
    pair = await make.tokens(client)
    access, renewing = pair["access_token"], pair["refresh_token"]
    for token in ("", "x", "a.b.c", "A" * 52, "x" * 5000, access[:-1], access + "=", renewing[:-1], renewing + "A"):
        await revoke(client, credential, token)
    assert await is_alive(client, pair) == (True, True)
    clock.advance(config.tokens.lifetime_seconds + LEEWAY_SECONDS)
    await revoke(client, credential, access)
    assert (await client.post(REFRESH, json={"refresh_token": renewing})).status == 200


async def test_who_is_no_client_ends_nothing(client: Client) -> None:
    await make.user(client)
    pair = await make.tokens(client)
    await problem(await client.post(REVOKE, data={"token": pair["access_token"]}), 401, "invalid_client")
    assert await is_alive(client, pair) == (True, True)


@pytest.mark.parametrize("kind", KINDS)
async def test_while_the_database_is_away_nothing_was_revoked_and_nobody_says_so(
    kind: str, client: Client, credential: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """REF-17"""
    await make.user(client)
    pair = await make.tokens(client)

    async def unreachable(*_arguments: object, **_named: object) -> None:
        raise DatabaseUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(sessions, "end", unreachable)
        response = await client.post(REVOKE, data={"token": pair[kind], **credential})
        await problem(response, 503, "temporarily_unavailable")
        assert "Retry-After" in response.headers
    assert await is_alive(client, pair) == (True, True)
