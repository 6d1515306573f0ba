"""Game day: the keys turn under load, on two instances and a service that verifies with a cached key set."""

import asyncio
import base64
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from authsvc import key_rotation, key_sets
from authsvc.clock import SystemClock
from authsvc.middleware import require_jwt
from tests import make
from tests.cli.conftest import Running, Start, free_ports, run
from tests.conftest import Client, Serve

JWKS = "/.well-known/jwks.json"
PEOPLE = 3
EVERYWHERE = ("first instance", "second instance", "service")
# How long the service keeps its key set, and a client its token: minutes, were this not a test.
CACHED_SECONDS = 1.0
HELD_SECONDS = 1.0
# Between the restarts of two instances: longer than a token is held, so that tokens of each meet the other.
BETWEEN_SECONDS = 1.5
SETTLED_SECONDS = CACHED_SECONDS + HELD_SECONDS


class Instances:
    """Two instances of `authsvc serve` with one file of keys, as a load balancer sees them."""

    def __init__(self, start: Start, settings: dict[str, str], file: Path) -> None:
        self._start = start
        ports = free_ports(), free_ports()
        self.urls = [f"http://127.0.0.1:{each['AUTHSVC_PORT']}" for each in ports]
        common = {name: value for name, value in settings.items() if name != "AUTHSVC_JWT_KEYS"}
        common |= {"AUTHSVC_JWT_KEYS_FILE": str(file), "AUTHSVC_PUBLIC_URL": self.urls[0]}
        common |= {"AUTHSVC_DRAIN_SECONDS": "0.2"}
        # People log in all the time, and all from here.
        self._settings = [{**common, "AUTHSVC_LIMITS": "off", **each} for each in ports]
        self._running: list[Running] = []
        self._turn = count()

    async def up(self) -> None:
        self._running = [self._start("serve", settings=each) for each in self._settings]
        for each in self._running:
            await asyncio.to_thread(each.until_it_says, "serving")

    async def roll(self) -> None:
        """Restart one after the other."""
        for number in range(len(self._running)):
            await self.restart(number)

    async def restart(self, number: int) -> None:
        self._running[number].send(signal.SIGTERM)
        assert await asyncio.to_thread(self._running[number].ends) == 0
        self._running[number] = self._start("serve", settings=self._settings[number])
        await asyncio.to_thread(self._running[number].until_it_says, "serving")
        await asyncio.sleep(BETWEEN_SECONDS)

    async def ask(self, http: aiohttp.ClientSession, path: str, *, first: int | None = None, **options: Any) -> str:
        """Return what the instance `first` answers, by default each in turn; the other one where it is not there."""
        first = next(self._turn) if first is None else first
        try:
            return await answer(http, self.urls[first % 2] + path, **options)
        except aiohttp.ClientConnectionError:
            return await answer(http, self.urls[1 - first % 2] + path, **options)


async def answer(http: aiohttp.ClientSession, url: str, **options: Any) -> str:
    async with http.request("POST" if "json" in options else "GET", url, **options) as response:
        text = await response.text()
        if response.status != 200:
            raise RefusedError(f"{url.rpartition('/')[2]}: {response.status} {text}")
        return text


class RefusedError(Exception):
    """Something was answered other than 200."""


def kid_of(token: str) -> str:
    header = token.partition(".")[0]
    return str(json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))["kid"])


class Load:
    """People who log in, keep the token for a while, use it everywhere, and renew it at either instance."""

    def __init__(self, instances: Instances, http: aiohttp.ClientSession, service: Client) -> None:
        self.checks: Counter[str] = Counter()
        self.refused: list[str] = []
        self.kids: set[str] = set()
        self._instances = instances
        self._http = http
        self._service = service

    async def log_in(self, number: int) -> Any:
        """Log in, each person at an instance of their own; return the pair."""
        credentials = {"email": f"person-{number}@example.com", "password": make.PASSWORD}
        return json.loads(await self._instances.ask(self._http, "/api/auth/login", first=number, json=credentials))

    async def renew(self, pair: Any) -> Any:
        """Return the next pair."""
        given = {"refresh_token": pair["refresh_token"]}
        return json.loads(await self._instances.ask(self._http, "/api/auth/refresh", json=given))

    async def use(self, token: str) -> dict[str, bool]:
        """Return who accepts the token, of each instance and the service."""
        headers, service = make.bearer(token), str(self._service.make_url("/who"))
        answers = await asyncio.gather(
            self._instances.ask(self._http, "/api/auth/me", first=0, headers=headers),
            self._instances.ask(self._http, "/api/auth/me", first=1, headers=headers),
            answer(self._http, service, headers=headers),
            return_exceptions=True,
        )
        faults = [each for each in answers if isinstance(each, BaseException)]
        assert all(isinstance(each, RefusedError) and "401 " in str(each) for each in faults), faults
        return {name: isinstance(each, str) for name, each in zip(EVERYWHERE, answers, strict=True)}

    async def person(self, number: int) -> None:
        pair = await self.log_in(number)
        while True:
            token = pair["access_token"]
            self.kids.add(kid_of(token))
            let_go_at = time.monotonic() + HELD_SECONDS
            while time.monotonic() < let_go_at:
                for name, is_accepted in (await self.use(token)).items():
                    self.checks[name] += 1
                    if not is_accepted:
                        self.refused.append(name)
                await asyncio.sleep(0.1)  # the pace of a client; nothing is waited for
            try:
                pair = await self.renew(pair)
            except RefusedError:
                self.refused.append("refresh")
                pair = await self.log_in(number)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(self.person(number)) for number in range(PEOPLE)]  # noqa: TID251 - awaited below
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert [each for each in ended if not isinstance(each, asyncio.CancelledError)] == []


async def who(_request: web.Request) -> web.Response:
    return web.Response(text="somebody we know")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A current key, and a next one that is published; refresh tokens are still made from the keys."""
    path, now = tmp_path / "keys.json", SystemClock().now()
    first = key_rotation.first_set("ES256", now)
    made = json.loads(key_rotation.rotate(first, algorithm=None, lifetime_seconds=900, now=now).text)
    path.write_text(json.dumps({"keys": made["keys"]}))
    return path


@pytest.fixture
async def instances(start: Start, settings: dict[str, str], file: Path) -> Instances:
    instances = Instances(start, settings, file)
    await instances.up()
    return instances


@pytest.fixture
async def load(instances: Instances, serve: Serve) -> AsyncIterator[Load]:
    """Who has an account already, and a service that verifies."""
    # A connection for each request: what an instance that goes down does with idle ones is test_serve.py's.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:

        async def keys(_request: web.Request) -> web.Response:
            return web.Response(text=await instances.ask(http, JWKS))

        relay = web.Application()
        relay.add_routes([web.get(JWKS, keys)])
        guard = require_jwt(
            instances.urls[0],
            jwks_url=str((await serve(relay)).make_url(JWKS)),
            refresh_seconds=CACHED_SECONDS,
            retry_seconds=CACHED_SECONDS,
        )
        app = web.Application(middlewares=[guard])
        app.add_routes([web.get("/who", who)])
        for number in range(PEOPLE):
            person = {"email": f"person-{number}@example.com", "password": make.PASSWORD}
            async with http.post(f"{instances.urls[0]}/api/auth/register", json=person) as response:
                assert response.status == 201
        yield Load(instances, http, await serve(app))


def keys_of(file: Path) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(file.read_text())["keys"]
    return found


def rotate(file: Path) -> None:
    """Turn the keys as the handbook says, but for the wait: what lasts minutes there lasts a second here."""
    assert run("keys", "rotate", file, "--in-place", "--force", settings={}).returncode == 0


def sign_at_once(file: Path) -> None:
    """Turn the keys as nobody should: the new one was never published."""
    old = keys_of(file)[0]
    new = {**key_sets.generate_key("ES256"), "state": "current"}
    file.write_text(json.dumps({"keys": [new, {**old, "state": "previous"}]}))


async def turn(file: Path, instances: Instances) -> None:
    await asyncio.to_thread(rotate, file)
    await instances.roll()
    await asyncio.sleep(SETTLED_SECONDS)


@pytest.mark.lasting
async def test_the_keys_turn_from_one_to_the_next_and_no_good_token_is_refused(
    load: Load, instances: Instances, file: Path
) -> None:
    pair = await load.log_in(0)
    kept = pair["access_token"]
    first, after = (key["kid"] for key in keys_of(file))
    assert kid_of(kept) == first
    async with load.running():
        await turn(file, instances)
        assert await load.use(kept) == dict.fromkeys(EVERYWHERE, True), "the previous key verifies"
        await turn(file, instances)
    print(f"\ngame day: {dict(load.checks)}, refused: {len(load.refused)}")  # noqa: T201 - the figure of the day
    assert load.refused == []
    assert min(load.checks.values()) > 100
    assert len(load.kids) == 3
    assert load.kids > {first, after}, "the one that was next has signed, and the one after it"
    assert await load.use(kept) == dict.fromkeys(EVERYWHERE, False), "the key is gone, and its token with it"
    renewed = await load.renew(pair)
    assert kid_of(renewed["access_token"]) not in {first, after}, "a session outlives the keys of its login"


async def test_a_key_that_signs_before_it_is_published_refuses_good_tokens(
    load: Load, instances: Instances, file: Path
) -> None:
    """The other test would see an outage."""
    async with load.running():
        await asyncio.to_thread(sign_at_once, file)
        await instances.restart(0)
    assert len(load.kids) == 2
    assert load.refused
