"""What becomes of a slot when nothing comes of the attempt, and of an attempt that nobody can count."""

import asyncio
import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import argon2
import psycopg
import pytest
from aiohttp import ClientResponse

from authsvc.config import Config, RateLimit
from authsvc.passwords import Passwords
from tests import make
from tests.conftest import Client
from tests.faults.conftest import Fallible, Scene, assert_unavailable, until
from tests.faults.test_database import lasting, read_only
from tests.faults.test_load_shedding import Crowd, Gate, connections, gone, pending
from tests.web.helpers import LOGIN, REGISTER, problem

BURST = 3
WRONG = "not this battery"
UNKNOWN = "nobody@example.com"
LARGE = argon2.PasswordHasher(1, 64, 1).hash(make.PASSWORD)
"""Of more memory than the profile's: those take turns."""


@pytest.fixture
def queue_seconds() -> float:
    return 60


@pytest.fixture
def config(config: Config, queue_seconds: float) -> Config:
    few = RateLimit(BURST, 600)
    limits = dataclasses.replace(config.limits, account=few, register=few, when_unavailable="pass")
    passwords = dataclasses.replace(config.passwords, threads=1, queue_seconds=queue_seconds)
    database = dataclasses.replace(config.database, statement_seconds=0.2)
    return dataclasses.replace(config, limits=limits, passwords=passwords, database=database)


@pytest.fixture
def gate(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    assert scene.token
    gate = Gate()
    monkeypatch.setattr(Passwords, "_verify", gate.stand_before(Passwords._verify))
    yield gate
    gate.open()


async def guess(client: Client, email: str = make.EMAIL, password: str = WRONG) -> ClientResponse:
    return await client.post(LOGIN, json={"email": email, "password": password})


async def register(client: Client, number: int) -> ClientResponse:
    return await client.post(REGISTER, json={"email": f"user{number}@example.com", "password": make.PASSWORD})


async def assert_guesses_are_left(client: Client, number: int, email: str = make.EMAIL) -> None:
    answers = [(await guess(client, email)).status for _ in range(number + 1)]
    assert answers == [401] * number + [429]


@contextmanager
def locked(fallible: Fallible, table: str) -> Iterator[None]:
    with psycopg.connect(fallible.url.reveal()) as connection:
        connection.execute(f"lock table {table} in access exclusive mode".encode())
        yield
        connection.rollback()


class TestFullQueue:
    @pytest.fixture
    def queue_seconds(self) -> float:
        return 0

    async def test_who_found_the_queue_full_has_his_slot_again(
        self, fallible: Fallible, scene: Scene, gate: Gate
    ) -> None:
        """LGN-11, DOS-01 (ASVS 6.1.1): nothing was compared. One hash fills the queue of large ones, behind limits."""
        await asyncio.to_thread(fallible.run, f"update users set password_hash = '{LARGE}'")  # noqa: S608 - of this file
        first = asyncio.get_running_loop().create_task(guess(scene.client))
        await until(lambda: pending(scene.admin), 1)
        for _ in range(2 * BURST):
            await problem(await guess(scene.client), 503, "busy")
        gate.open()
        assert (await first).status == 401
        await assert_guesses_are_left(scene.client, BURST - 1)


async def test_who_hung_up_has_not(fallible: Fallible, scene: Scene, gate: Gate) -> None:
    """DOS-01 (CWE-307): else he could have slots taken and given back without end, and no limit would ever stop him."""
    client = scene.client
    first = asyncio.get_running_loop().create_task(guess(client, UNKNOWN))
    await until(lambda: pending(scene.admin), 1)
    crowd, before = Crowd(client.server.port), connections(client)
    await crowd.send(BURST)
    await until(lambda: pending(scene.admin), 1 + BURST)
    await crowd.hang_up()
    await gone(client, before)
    gate.open()
    assert (await first).status == 401
    await until(lambda: pending(scene.admin), 0)
    assert gate.begun == 1
    assert await asyncio.to_thread(fallible.ask, f"select count(*) from attempts where taken = {BURST}") == 1  # noqa: S608
    await assert_guesses_are_left(client, 0)


@pytest.mark.parametrize("email", [make.EMAIL, UNKNOWN])
async def test_who_met_a_database_that_failed_has_his_slot_again(email: str, fallible: Fallible, scene: Scene) -> None:
    """LGN-11 (ASVS 6.1.1): nobody was looked up, nothing was compared."""
    with locked(fallible, "users"):
        for _ in range(2 * BURST):
            await assert_unavailable(await guess(scene.client, email))
            await assert_unavailable(await register(scene.client, 1))
    await assert_guesses_are_left(scene.client, BURST, email)
    # One account was opened before.
    answers = [(await register(scene.client, number)).status for number in range(BURST)]
    assert answers == [201] * (BURST - 1) + [429]


async def test_after_a_comparison_nothing_is_given_back(fallible: Fallible, scene: Scene) -> None:
    """LGN-06 (CWE-307): or who guesses would have as many as he likes while the failures cannot be written down."""
    with locked(fallible, "journal"):
        for _ in range(BURST):
            await assert_unavailable(await guess(scene.client))
    await assert_guesses_are_left(scene.client, 0)


async def test_on_a_read_only_database_no_password_is_compared_that_could_not_be_counted(
    fallible: Fallible, scene: Scene
) -> None:
    """LGN-06, DBF-07 (CWE-307): AUTHSVC_LIMITS_UNAVAILABLE=pass lets nobody guess without limit by a 503's time."""
    hashes = "authsvc_password_hash_duration_seconds_count"

    async def hashed() -> list[str]:
        text = await (await scene.admin.get("/metrics")).text()
        return [line for line in text.splitlines() if line.startswith(hashes)]

    before = await hashed()
    assert before
    async with lasting(read_only, fallible):
        for email, password in ((make.EMAIL, WRONG), (make.EMAIL, make.PASSWORD), (UNKNOWN, WRONG)):
            for _ in range(2 * BURST):
                await assert_unavailable(await guess(scene.client, email, password))
        assert await hashed() == before
        known, change = make.bearer(scene.token), {"current_password": make.PASSWORD, "new_password": WRONG}
        await assert_unavailable(await scene.client.post("/api/auth/password", json=change, headers=known))
        body = {"password": make.PASSWORD}
        await assert_unavailable(await scene.client.delete("/api/auth/me", json=body, headers=known))
        assert await hashed() == before
        text = await (await scene.admin.get("/metrics")).text()
        assert f'authsvc_limits_total{{limit="account",outcome="unavailable"}} {6 * BURST + 2}' in text
    await assert_guesses_are_left(scene.client, BURST)
