"""Killed in the middle of refreshes: whoever asks again goes on, nobody is logged out, and nothing is given twice."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from itertools import count, cycle
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import make
from tests.cli.conftest import AUTHSVC, Running, free_ports
from tests.conftest import SIGNING_KEYS
from tests.faults.conftest import Fallible, Scene, until

DEVICES = 6
# The database goes on with what a killed instance has asked it: each such refresh is done, and its answer lost.
SLOW_REFRESHES = """\
create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.1); return new; end $$;
create trigger slow before update on sessions for each row execute function slow();
"""
Ask = Callable[[str, dict[str, str]], Awaitable[tuple[int, Any]]]


class Device:
    """A client that renews its session again and again, with the token it has until it is given another."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.token = ""
        self.given: list[str] = []
        self.lost = 0

    async def log_in(self) -> None:
        status, body = await self.ask("/api/auth/login", {"email": make.EMAIL, "password": make.PASSWORD})
        assert status == 200, body
        self.token = body["refresh_token"]

    async def renew(self) -> None:
        while True:
            status, body = await self.ask("/api/auth/refresh", {"refresh_token": self.token})
            if status == 200:
                break
            assert status in (0, 503), f"logged out by {status}: {body}"
            self.lost += 1
            await asyncio.sleep(0.02)
        self.token = body["refresh_token"]
        self.given.append(self.token)


@asynccontextmanager
async def busy(devices: list[Device]) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Let all renew without a pause while the block runs; it gets what waits until each was renewed thrice more."""
    is_over = asyncio.Event()

    async def live(device: Device) -> None:
        while not is_over.is_set():
            await device.renew()

    async def all_renewed() -> None:
        before = [len(device.given) for device in devices]

        async def renewed() -> bool:
            return all(len(device.given) >= was + 3 for device, was in zip(devices, before, strict=True))

        await until(renewed, True)  # noqa: FBT003 - what it shall become

    async with asyncio.TaskGroup() as tasks:
        for device in devices:
            tasks.create_task(live(device))
        yield all_renewed
        is_over.set()


def assert_one_lineage_each(fallible: Fallible, devices: list[Device]) -> None:
    """Each successor was given for one number, and as many numbers were used as successors given."""
    given = [device.given for device in devices]
    assert all(len(set(each)) == len(each) for each in given)
    counters = fallible.ask("select array_agg(counter order by counter) from sessions")
    assert counters == sorted(1 + len(each) for each in given)
    assert fallible.ask("select count(*) from revocations") == 0


async def test_a_killed_database_logs_nobody_out_and_gives_nothing_twice(fallible: Fallible, scene: Scene) -> None:
    """REF-06 (ASVS 2.3.3)"""

    async def ask(path: str, body: dict[str, str]) -> tuple[int, Any]:
        response = await scene.client.post(path, json=body)
        return response.status, await response.json()

    await asyncio.to_thread(fallible.run, "delete from sessions")
    devices = [Device(ask) for _number in range(DEVICES)]
    for device in devices:
        await device.log_in()
    async with busy(devices) as all_renewed:
        for _kill in range(3):
            await all_renewed()
            await asyncio.to_thread(fallible.kill_between_commit_and_answer)
        await all_renewed()
    assert sum(device.lost for device in devices) >= 3, "no refresh was under way when it was killed"
    await asyncio.to_thread(assert_one_lineage_each, fallible, devices)


@pytest.fixture
def instances(fallible: Fallible, tmp_path: Path) -> Iterator[tuple[list[Running], Callable[[int], None]]]:
    """Two processes of the service on one database, and what kills one and starts it again on its port."""
    settings = {"AUTHSVC_DATABASE_URL": fallible.url.reveal(), "AUTHSVC_JWT_KEYS": SIGNING_KEYS}
    with ExitStack() as unwinding:
        numbers = count(1)

        def begin(ports: dict[str, str]) -> Running:
            said = tmp_path / f"said-{next(numbers)}.txt"
            running = Running([*AUTHSVC, "serve"], {**settings, **ports}, said, tmp_path)
            unwinding.callback(running.process.wait)
            unwinding.callback(running.process.kill)
            running.until_it_says('"event":"serving"')
            return running

        running = [begin({**free_ports(), "AUTHSVC_LOG_FORMAT": "json"}) for _instance in range(2)]

        def kill(which: int) -> None:
            running[which].process.kill()
            running[which].process.wait()
            running[which] = begin(dict(running[which].settings))

        yield running, kill


async def test_a_killed_instance_logs_nobody_out_and_gives_nothing_twice(
    fallible: Fallible, instances: tuple[list[Running], Callable[[int], None]]
) -> None:
    """REF-06, REF-07 (ASVS 2.3.3): whose answer was lost asks again, here or at the other instance."""
    running, kill = instances
    urls = cycle([f"http://127.0.0.1:{each.settings['AUTHSVC_PORT']}" for each in running])

    async with aiohttp.ClientSession() as session:

        async def ask(path: str, body: dict[str, str]) -> tuple[int, Any]:
            try:
                async with session.post(next(urls) + path, json=body) as response:
                    return response.status, await response.json()
            except aiohttp.ClientError as error:
                return 0, error

        assert (await ask("/api/auth/register", {"email": make.EMAIL, "password": make.PASSWORD}))[0] == 201
        devices = [Device(ask) for _number in range(DEVICES)]
        for device in devices:
            await device.log_in()
        await asyncio.to_thread(fallible.run, SLOW_REFRESHES)
        async with busy(devices) as all_renewed:
            for which in (0, 1, 0):
                await all_renewed()
                await asyncio.to_thread(kill, which)
            await all_renewed()
    assert sum(device.lost for device in devices) >= 3, "no refresh was under way when it was killed"
    await asyncio.to_thread(assert_one_lineage_each, fallible, devices)
