"""A PostgreSQL that the tests of faults may stop, kill and suspend, and a service that lives on it."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
from aiohttp import ClientResponse

from authsvc import embedded
from authsvc.app import Service, compose
from authsvc.config import Config, DatabaseUrl
from authsvc.store import migrations
from tests import make
from tests.conftest import CHEAP, SIGNING_KEYS, Client, FrozenClock, Serve, folder_in_memory
from tests.faults.proxy import Proxy

PATIENCE_SECONDS = 30


class Fallible:
    """The server, and one database of it."""

    def __init__(self, server: embedded.Server, rules: Path, name: str) -> None:
        self.server = server
        self.rules = rules
        self.name = name
        self.url = DatabaseUrl(server.url_of(name))

    @property
    def socket(self) -> str:
        """The path of the Unix socket that it listens on."""
        query = parse_qs(urlsplit(self.server.url).query)
        return f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"

    @property
    def uid(self) -> int:
        """The user id that the server runs as."""
        return self.rules.stat().st_uid

    def run(self, *statements: str) -> None:
        _run(self.url.reveal(), *statements)

    def administer(self, *statements: str) -> None:
        _run(self.server.url, *statements)

    def ask(self, question: str) -> Any:
        with psycopg.connect(self.url.reveal(), autocommit=True) as connection:
            row = connection.execute(question.encode()).fetchone()
            return row[0] if row else None

    def backends(self) -> list[int]:
        """Return the process ids of the service's connections."""
        own = "from pg_stat_activity where application_name = 'authsvc'"
        return list(self.ask(f"select coalesce(array_agg(pid), '{{}}') {own}"))

    def waiting(self) -> int:
        """Return how many of the service's connections wait for a lock."""
        own = "from pg_stat_activity where application_name = 'authsvc'"
        return int(self.ask(f"select count(*) {own} and wait_event_type = 'Lock'"))

    def kill_between_commit_and_answer(self) -> None:
        """Kill the server when something is committed that nobody has been told of, and start it again.

        A commit that waits for a standby, of which there is none, is on the disk and not yet answered.
        """
        self.administer("alter system set synchronous_standby_names = 'nobody'", "select pg_reload_conf()")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.ask("select count(*) from pg_stat_activity where wait_event = 'SyncRep'"):
            assert time.monotonic() < deadline, "nothing was committed"
        self.administer("alter system reset synchronous_standby_names")  # read at the next start
        self.server.kill()
        self.server.start()


def _run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


async def until(ask: Callable[[], Awaitable[object]], wanted: object) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := await ask()) != wanted:
        assert time.monotonic() < deadline, f"still {found}, not {wanted}"
        await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def fallible_server(request: pytest.FixtureRequest) -> Iterator[tuple[embedded.Server, Path]]:
    """One for each file: the tests stop it, and start it again."""
    chosen = request.config.getoption("--pg-bin")
    pg_bin = Path(chosen) if chosen else None
    # What was committed must survive a kill.
    settings = {"max_connections": "20", "synchronous_commit": "on", "wal_level": "replica", "max_wal_senders": "5"}
    with (
        folder_in_memory() as folder,
        embedded.serve(folder, pg_bin=pg_bin, durable=False, settings=settings) as server,
    ):
        yield server, folder / "postgres" / "pg_hba.conf"


_numbers = count(1)


@pytest.fixture
def unmigrated(fallible_server: tuple[embedded.Server, Path]) -> Iterator[Fallible]:
    fallible = Fallible(*fallible_server, f"fault_{next(_numbers)}")
    fallible.administer(f"create database {fallible.name}")
    yield fallible
    fallible.server.start()  # whatever the test did to it
    fallible.administer(f"drop database {fallible.name} with (force)")


@pytest.fixture
def fallible(unmigrated: Fallible) -> Fallible:
    migrations.apply(unmigrated.url)
    return unmigrated


@pytest.fixture
def config(unmigrated: Fallible, request: pytest.FixtureRequest) -> Config:
    """Shorter waits than production's, on the server that fails, and room for load from one person.

    Its parameter is the longest time of a statement.
    """
    config = Config.read(
        {
            "AUTHSVC_DATABASE_URL": unmigrated.url.reveal(),
            "AUTHSVC_JWT_KEYS": SIGNING_KEYS,
            "AUTHSVC_LIMIT_ORIGIN": "100000/1",
            "AUTHSVC_LIMIT_ACCOUNT": "100000/1",
            "AUTHSVC_LIMIT_REGISTER": "100000/1",
        }
    )
    return dataclasses.replace(
        config,
        database=dataclasses.replace(
            config.database, pool_size=4, acquire_seconds=0.5, statement_seconds=getattr(request, "param", 1)
        ),
        passwords=dataclasses.replace(config.passwords, profile=CHEAP, refusal_seconds=0),
    )


class Scene:
    """The service on that server, with somebody who is registered and logged in."""

    def __init__(self, client: Client, admin: Client) -> None:
        self.client = client
        self.admin = admin
        self.token = ""

    async def begin(self) -> None:
        await make.user(self.client)
        self.token = await make.access_token(self.client)

    async def me(self) -> ClientResponse:
        return await self.client.get("/api/auth/me", headers=make.bearer(self.token))

    async def log_in(self) -> ClientResponse:
        return await self.client.post("/api/auth/login", json={"email": make.EMAIL, "password": make.PASSWORD})

    async def register(self) -> ClientResponse:
        body = {"email": "grace@example.com", "password": make.PASSWORD}
        return await self.client.post("/api/auth/register", json=body)

    async def assert_unavailable(self) -> None:
        """Whoever needs the database is told to come back, and nothing else; the process is alive."""
        for ask in (self.me, self.log_in, self.register):
            await assert_unavailable(await ask())
        assert (await self.admin.get("/livez")).status == 200
        assert await self.readiness() == (503, "database_unavailable")

    async def assert_recovers(self) -> None:
        await self.until_ready()
        statuses = [(await ask()).status for ask in (self.me, self.log_in, self.register)]
        assert statuses == [200, 200, 201]

    async def until_ready(self) -> None:
        await until(self.readiness, (200, "ready"))

    async def readiness(self) -> tuple[int, str]:
        response = await self.admin.get("/readyz")
        return response.status, (await response.json())["status"]


async def assert_unavailable(response: ClientResponse) -> None:
    problem = await response.json()
    assert (response.status, problem["code"]) == (503, "temporarily_unavailable")
    assert int(response.headers["Retry-After"]) >= 1


@pytest.fixture
async def scene(fallible: Fallible, service: Service, serve: Serve) -> Scene:
    assert fallible.name
    scene = Scene(await serve(service.public), await serve(service.admin))
    await scene.begin()
    return scene


class ProxiedScene(Scene):
    """The same, with a proxy between the service and its server."""

    proxy: Proxy


@pytest.fixture
async def proxy(unmigrated: Fallible) -> AsyncIterator[Proxy]:
    """What the service reaches its database through, in the tests that ask for a `proxied` one."""
    proxy = Proxy(unmigrated.socket)
    await proxy.start()
    yield proxy
    await proxy.stop()


@pytest.fixture
async def proxied(config: Config, proxy: Proxy, fallible: Fallible, clock: FrozenClock, serve: Serve) -> ProxiedScene:
    url = DatabaseUrl(f"postgresql://authsvc@127.0.0.1:{proxy.port}/{fallible.name}?sslmode=disable")
    config = dataclasses.replace(config, database=dataclasses.replace(config.database, url=url))
    service = await asyncio.to_thread(compose, config, clock=clock)  # it takes a hash to make one
    scene = ProxiedScene(await serve(service.public), await serve(service.admin))
    scene.proxy = proxy
    await scene.begin()
    return scene
