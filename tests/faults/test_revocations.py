"""When an instance cannot hear which sessions ended: the database decides, and where it cannot, nobody is let in."""

import asyncio
import dataclasses
import re

import psycopg
import pytest

from authsvc.config import Config
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.faults.conftest import Fallible, Scene, assert_unavailable, until
from tests.web.helpers import composed, problem

# The guard alone: the route itself needs no database.
VERIFY = "/api/auth/verify"


@pytest.fixture
def config(config: Config) -> Config:
    """Each instance looks once, when it starts: then it grows old by the clock of the test."""
    return dataclasses.replace(config, sessions=dataclasses.replace(config.sessions, poll_seconds=60, stale_seconds=5))


@pytest.fixture
async def other(config: Config, clock: FrozenClock, scene: Scene, serve: Serve) -> Client:
    """Another instance on the same database."""
    assert scene.token
    return await serve(await composed(config, clock))


async def status_of(client: Client, token: str, path: str = VERIFY) -> int:
    return (await client.get(path, headers=make.bearer(token))).status


async def log_out(client: Client, token: str) -> None:
    assert (await client.post("/api/auth/logout", headers=make.bearer(token))).status == 204


async def test_when_what_is_known_is_too_old_the_database_decides(
    scene: Scene, other: Client, clock: FrozenClock
) -> None:
    """SES-09 (CWE-613): who logged out elsewhere has at most these seconds left."""
    living = await make.access_token(scene.client)
    await log_out(other, scene.token)
    assert await status_of(other, scene.token) == 401, "where it happened, it is known at once"
    clock.advance(5)
    assert await status_of(scene.client, scene.token) == 204
    clock.advance(0.001)
    assert await status_of(scene.client, scene.token) == 401
    assert await status_of(scene.client, living) == 204


async def test_when_the_database_cannot_decide_either_it_is_503_and_never_a_stale_yes(
    fallible: Fallible, scene: Scene, clock: FrozenClock
) -> None:
    """MW-07 (CWE-636)."""
    living = await make.access_token(scene.client)
    await log_out(scene.client, scene.token)
    await asyncio.to_thread(fallible.server.kill)
    assert await status_of(scene.client, living) == 204, "fresh: the database is not asked"
    clock.advance(5.001)
    await assert_unavailable(await scene.client.get(VERIFY, headers=make.bearer(living)))
    cookie = {"Cookie": f"access_token={living}", "Accept": "text/html"}
    page = await scene.client.get("/account", headers=cookie)
    assert (page.status, page.content_type) == (503, "text/html")
    assert (await scene.client.get("/login", headers=cookie)).status == 200, "a page for everyone"
    dead = await scene.client.get(VERIFY, headers=make.bearer(scene.token))
    await problem(dead, 401, "invalid_token")
    await asyncio.to_thread(fallible.server.start)
    await until(lambda: status_of(scene.client, living), 204)
    assert await status_of(scene.client, scene.token) == 401


async def test_the_gauge_tells_how_old_the_knowledge_is(scene: Scene, clock: FrozenClock) -> None:
    """ASVS 16.3.4: who watches it sees a stale yes coming."""

    async def age() -> float:
        text = await (await scene.admin.get("/metrics")).text()
        found = re.search(r"^authsvc_revocations_age_seconds(?:{})? (\S+)$", text, re.MULTILINE)
        assert found, text
        return float(found[1])

    assert await age() == 0
    clock.advance(7)
    assert await age() == 7


async def test_a_logout_at_one_instance_is_refused_at_the_other_after_its_next_look(
    config: Config, clock: FrozenClock, scene: Scene, serve: Serve
) -> None:
    """ASVS 7.4.1 (CWE-613)."""
    often = dataclasses.replace(config, sessions=dataclasses.replace(config.sessions, poll_seconds=0.02))
    following = await serve(await composed(often, clock))
    assert await status_of(following, scene.token) == 204
    await log_out(scene.client, scene.token)
    # The clock stands still: what is known there never gets too old, so that only the feed can have told.
    await until(lambda: status_of(following, scene.token), 401)


async def test_an_instance_that_cannot_read_all_in_time_starts_and_the_database_decides(
    config: Config, clock: FrozenClock, fallible: Fallible, scene: Scene, serve: Serve
) -> None:
    """MW-07 (CWE-613)."""
    living = await make.access_token(scene.client)
    await log_out(scene.client, scene.token)
    slow = dataclasses.replace(
        config,
        database=dataclasses.replace(config.database, statement_seconds=300),
        sessions=dataclasses.replace(config.sessions, stale_seconds=0.1),
    )
    connection = await asyncio.to_thread(lambda: psycopg.connect(fallible.url.reveal()))
    try:
        await asyncio.to_thread(connection.execute, "lock table revocations in access exclusive mode")
        late = await serve(await composed(slow, clock))
        assert await status_of(late, living) == 204
        assert await status_of(late, scene.token) == 401
    finally:
        await asyncio.to_thread(connection.close)


async def test_an_instance_that_starts_without_its_database_lets_nobody_in_before_it_has_looked(
    config: Config, clock: FrozenClock, fallible: Fallible, scene: Scene, serve: Serve
) -> None:
    """MW-07 (CWE-636)."""
    await asyncio.to_thread(fallible.server.kill)
    late = await serve(await composed(config, clock))
    await assert_unavailable(await late.get(VERIFY, headers=make.bearer(scene.token)))
