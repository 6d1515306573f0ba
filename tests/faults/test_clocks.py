"""The database's clock is wrong by minutes: what expires does so by the service's clock, and by no other."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest

from authsvc.app import Service, compose
from authsvc.config import Config, DatabaseUrl
from tests import make
from tests.conftest import CHEAP, SIGNING_KEYS, Client, FrozenClock, Serve
from tests.faults.conftest import until
from tests.web.helpers import ME, problem

ACCESS_SECONDS, SESSION_SECONDS, IDLE_SECONDS, SKEW_SECONDS = 120, 500, 200, 600
"""Each is shorter than the clocks are apart: whatever goes by the wrong one is over at once, or never."""


@pytest.fixture(params=[-SKEW_SECONDS, SKEW_SECONDS], ids=["10 minutes behind it", "10 minutes before it"])
def clock(request: pytest.FixtureRequest) -> FrozenClock:
    """The service's clock, as far from the database's."""
    clock = FrozenClock()
    clock._now = datetime.now(UTC) + timedelta(seconds=request.param)  # noqa: TID251 - the database's, which is the machine's
    return clock


@pytest.fixture
def config(database_url: DatabaseUrl) -> Config:
    environ = {
        "AUTHSVC_DATABASE_URL": database_url.reveal(),
        "AUTHSVC_JWT_KEYS": SIGNING_KEYS,
        "AUTHSVC_ACCESS_TOKEN_SECONDS": str(ACCESS_SECONDS),
        "AUTHSVC_SESSION_SECONDS": str(SESSION_SECONDS),
        "AUTHSVC_SESSION_IDLE_SECONDS": str(IDLE_SECONDS),
    }
    config = Config.read(environ)
    return dataclasses.replace(
        config, passwords=dataclasses.replace(config.passwords, profile=CHEAP, refusal_seconds=0)
    )


@pytest.fixture
async def other(config: Config, clock: FrozenClock, serve: Serve) -> Client:
    """Another instance on the same database."""
    service: Service = await asyncio.to_thread(compose, config, clock=clock)  # it takes a hash to make one
    return await serve(service.public)


Renew = Callable[[str], Awaitable[tuple[int, dict[str, str]]]]


@pytest.fixture
def renew(client: Client) -> Renew:
    async def renew(token: str) -> tuple[int, dict[str, str]]:
        response = await client.post("/api/auth/refresh", json={"refresh_token": token})
        return response.status, await response.json()

    return renew


async def test_a_session_lives_as_long_as_the_service_says(client: Client, clock: FrozenClock, renew: Renew) -> None:
    """DBF-15, SES-09 (ASVS 7.3.2)."""
    await make.user(client)
    pair = await make.tokens(client)
    for _step in range(3):
        clock.advance(150)
        assert (await client.get(ME, headers=make.bearer(pair["access_token"]))).status == 401
        status, pair = await renew(pair["refresh_token"])
        assert status == 200
        assert (await client.get(ME, headers=make.bearer(pair["access_token"]))).status == 200
    clock.advance(SESSION_SECONDS - 450)
    assert (await renew(pair["refresh_token"]))[0] == 400


async def test_an_idle_session_ends_when_the_service_says(client: Client, clock: FrozenClock, renew: Renew) -> None:
    """DBF-15 (ASVS 7.3.1)."""
    await make.user(client)
    first, second = await make.tokens(client), await make.tokens(client)
    clock.advance(IDLE_SECONDS - 1)
    assert (await renew(first["refresh_token"]))[0] == 200
    clock.advance(2)
    assert (await renew(second["refresh_token"]))[0] == 400


async def test_what_was_ended_is_refused_everywhere_until_its_tokens_are_over(
    client: Client, other: Client, clock: FrozenClock
) -> None:
    """DBF-15, TOB-PYPI26-1 (CWE-613, ASVS 7.4.1): an entry that is dropped too early lets the token in again."""
    await make.user(client)
    token = await make.access_token(client)
    assert (await other.get("/api/auth/verify", headers=make.bearer(token))).status == 204
    assert (await client.post("/api/auth/logout", headers=make.bearer(token))).status == 204

    async def status() -> int:
        return (await other.get(ME, headers=make.bearer(token))).status

    await until(status, 401)
    for seconds in (0, ACCESS_SECONDS - 10):
        clock.advance(seconds)
        await problem(await other.get(ME, headers=make.bearer(token)), 401, "invalid_token")
        await problem(await client.get("/api/auth/verify", headers=make.bearer(token)), 401, "invalid_token")


async def test_who_guessed_too_often_waits_as_long_as_the_service_says(client: Client, clock: FrozenClock) -> None:
    """DBF-15 (CWE-307)."""
    await make.user(client)
    body = {"email": make.EMAIL, "password": "not the password"}
    async with asyncio.timeout(60):
        while (answer := await client.post("/api/auth/login", json=body)).status == 401:
            pass
    assert answer.status == 429
    clock.advance(int(answer.headers["Retry-After"]) - 1)
    clock.advance(1)
    assert (await client.post("/api/auth/login", json={**body, "password": make.PASSWORD})).status == 200
