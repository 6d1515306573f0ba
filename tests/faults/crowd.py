"""People who register, log in, renew, look and log out without a pause, and keep what they were promised."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

from tests import make
from tests.faults.conftest import Scene, assert_unavailable, until

PEOPLE = 4


class Person:
    """Does one thing after the other; told to come back does the same again, and accepts nothing else."""

    def __init__(self, scene: Scene, number: int, statuses: Counter[int]) -> None:
        self._scene = scene
        self._number = number
        self._statuses = statuses
        self.rounds = 0
        self.refused = 0
        self.registered: list[str] = []
        self.logged_out: list[str] = []

    async def live(self) -> None:
        for turn in count():
            email = f"person{self._number}-{turn}@example.com"
            await self._register(email)
            body = {"email": email, "password": make.PASSWORD}
            pair = await self._ask("POST", "/api/auth/login", {200}, body)
            given = {pair["refresh_token"]}
            for _renewal in range(3):
                # Never 400: a lost answer is asked for again, and yields the same successor.
                pair = await self._ask("POST", "/api/auth/refresh", {200}, {"refresh_token": pair["refresh_token"]})
                assert pair["refresh_token"] not in given, "the session forked, or stood still"
                given.add(pair["refresh_token"])
                profile = await self._ask("GET", "/api/auth/me", {200}, token=pair["access_token"])
                assert profile["email"] == email
            # 401 to who asks again: the first logout was done, and its answer lost.
            await self._ask("POST", "/api/auth/logout", {204}, token=pair["access_token"], again={401})
            self.logged_out.append(pair["access_token"])
            self.rounds += 1

    async def _register(self, email: str) -> None:
        body = {"email": email, "password": make.PASSWORD}
        await self._ask("POST", "/api/auth/register", {201}, body, again={409})
        self.registered.append(email)

    async def _ask(
        self, method: str, path: str, good: set[int], body: Mapping[str, str] | None = None, *,
        token: str = "", again: frozenset[int] | set[int] = frozenset(),
    ) -> Any:  # fmt: skip
        expected = good
        while True:
            headers = make.bearer(token) if token else {}
            response = await self._scene.client.request(method, path, json=body, headers=headers)
            self._statuses[response.status] += 1
            if response.status != 503:
                assert response.status in expected, f"{path}: {response.status} {await response.text()}"
                return await response.json() if response.content_type.endswith("json") else None
            await assert_unavailable(response)
            self.refused += 1
            expected = good | again
            await asyncio.sleep(0.05)


class Crowd:
    """All of them, and somebody who only asks what needs no database."""

    def __init__(self, scene: Scene) -> None:
        self.statuses: Counter[int] = Counter()
        self.people = [Person(scene, number, self.statuses) for number in range(PEOPLE)]
        self._scene = scene

    async def watch(self) -> None:
        """Nobody who needs no database notices anything."""
        while True:
            assert (await self._scene.admin.get("/livez")).status == 200
            verified = await self._scene.client.get("/api/auth/verify", headers=make.bearer(self._scene.token))
            assert verified.status == 204
            await asyncio.sleep(0.05)

    async def all_go_round(self, times: int = 1) -> None:
        """Wait until each has done everything once more."""
        wanted = {person: person.rounds + times for person in self.people}

        async def went() -> bool:
            return all(person.rounds >= rounds for person, rounds in wanted.items())

        await until(went, True)  # noqa: FBT003 - what it shall become

    async def is_refused(self, times: int = 6) -> None:
        """Wait until they were told so often to come back."""
        before = sum(person.refused for person in self.people)

        async def were() -> bool:
            return sum(person.refused for person in self.people) >= before + times

        await until(were, True)  # noqa: FBT003 - what it shall become

    async def assert_nothing_was_lost(self) -> None:
        for person in self.people:
            for email in person.registered:
                assert await make.access_token(self._scene.client, email)
            for token in person.logged_out:
                verified = await self._scene.client.get("/api/auth/verify", headers=make.bearer(token))
                assert verified.status == 401


@asynccontextmanager
async def crowded(scene: Scene) -> AsyncIterator[Crowd]:
    """Let them live while the block runs; afterwards hold the service to what it promised."""
    crowd = Crowd(scene)
    async with asyncio.TaskGroup() as tasks:
        living = [tasks.create_task(person.live()) for person in crowd.people]
        living.append(tasks.create_task(crowd.watch()))
        await crowd.all_go_round()
        yield crowd
        await scene.until_ready()
        await crowd.all_go_round()
        for each in living:
            each.cancel()
    await crowd.assert_nothing_was_lost()
