"""Guesses at the same moment, on several instances: no more are evaluated than the limit grants."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from authsvc.config import Config
from authsvc.passwords import Passwords, Verdict
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import LOGIN, composed

GUESSES, BURST = 500, 10


class Gate:
    """Lets passwords be verified only once every guess has its slot or its refusal, and counts them."""

    def __init__(self, verify: Callable[..., Awaitable[Verdict]]) -> None:
        self._verify = verify
        self._opened = asyncio.Event()
        self.evaluated = 0

    async def verify(self, passwords: Passwords, *given: object) -> Verdict:
        self.evaluated += 1
        await self._opened.wait()
        return await self._verify(passwords, *given)

    def open(self) -> None:
        self._opened.set()


@pytest.fixture
def config(config: Config) -> Config:
    """Wide for the one origin that the tests come from, and patient: the account's limit is the matter."""
    wide = dataclasses.replace(config.limits.origin, burst=10 * GUESSES)
    return dataclasses.replace(
        config,
        limits=dataclasses.replace(config.limits, origin=wide),
        database=dataclasses.replace(config.database, acquire_seconds=60),
    )


@pytest.mark.parametrize("email", [make.EMAIL, "nobody@example.com"])
async def test_of_500_guesses_at_once_on_two_instances_no_more_are_evaluated_than_the_limit(
    email: str, config: Config, clock: FrozenClock, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LGN-07: CVE-2024-4629. The right one is among them, and among those evaluated it need not be."""
    instances = [await serve(await composed(config, clock)) for _instance in range(2)]
    await make.user(instances[0])
    gate = Gate(Passwords.verify)

    async def verify(passwords: Passwords, *given: object) -> Verdict:
        return await gate.verify(passwords, *given)

    monkeypatch.setattr(Passwords, "verify", verify)
    answers: Counter[int] = Counter()

    async def guess(number: int) -> None:
        password = make.PASSWORD if number == GUESSES // 2 else f"guess number {number}"
        client: Client = instances[number % 2]
        answers[(await client.post(LOGIN, json={"email": email, "password": password})).status] += 1
        if answers[429] == GUESSES - BURST:
            gate.open()

    async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
        for number in range(GUESSES):
            tasks.create_task(guess(number))
    assert gate.evaluated == BURST
    assert answers[429] == GUESSES - BURST
    assert answers[401] + answers[200] == BURST


async def test_logins_of_many_people_at_once_are_no_guesses(config: Config, clock: FrozenClock, serve: Serve) -> None:
    """CWE-645: each gives the slots back that he took: who logs in all day is not limited as who guesses."""
    instances = [await serve(await composed(config, clock)) for _instance in range(2)]
    await make.user(instances[0])
    for _turn in range(5):
        answers = await asyncio.gather(
            *(client.post(LOGIN, json={"email": make.EMAIL, "password": make.PASSWORD}) for client in instances * 4)
        )
        assert {answer.status for answer in answers} == {200}
