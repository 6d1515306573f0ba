"""Fixtures: clock, entropy, database (cloned for each test), config, service, client: in that order."""

import asyncio
import dataclasses
import gc
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp_jinja2
import argon2
import bcrypt
import jinja2
import psycopg
import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, BaseRunner, Request
from blockbuster import BlockBuster, BlockBusterFunction
from jinja2.bccache import Bucket

from authsvc import embedded, key_sets, logs
from authsvc.app import Service, compose
from authsvc.config import Argon2Profile, Config, DatabaseUrl
from authsvc.store import migrations
from authsvc.store.database import Database
from authsvc.web.docs import DocsDoor
from authsvc.web.routes import ROUTES
from tests.witness import Witness

Client = TestClient[Request, Application]
Serve = Callable[[Application], Awaitable[Client]]
CHEAP = Argon2Profile(memory_kib=8, passes=1, lanes=1)
SIGNING_KEYS = json.dumps({"keys": [key_sets.generate_key("ES256")]})
# Of CPU, which no other work of the machine adds to, as it does to what asyncio's debug mode would measure.
SLOW_CALLBACK_SECONDS = 1
# Passwords of the tests, the start of each JWT, addresses and DSNs, stored hashes.
NEVER_LOGGED = ("correct horse", "battery", "eyJ", "@", "$argon2", "$2a$", "$2b$", "$2y$")
# No system call tells of these, and a slow callback is one only at their full cost.
HASHES = (
    (argon2.PasswordHasher, "hash"),
    (argon2.PasswordHasher, "verify"),
    (bcrypt, "checkpw"),
    (bcrypt, "hashpw"),
)

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of a name of its own is made in it
ROOM_BYTES = 2 << 30


class FrozenClock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
        self._steady = 1000.0

    def now(self) -> datetime:
        return self._now

    def timestamp(self) -> float:
        return self._now.timestamp()

    def steady(self) -> float:
        return self._steady

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._steady += seconds


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Lend a folder for a server's data: to clone a database on a busy disk takes ten times as long.

    On the disk where there is no such file system, or little room on it, as in a container by default.
    """
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    prefix = "authsvc-tests-"
    for left in MEMORY.glob(f"{prefix}*"):  # of runs that were killed
        if not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{prefix}{os.getpid()}-", dir=MEMORY if has_room else None) as name:
        yield Path(name)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[embedded.Server]:
    """One server for the whole run, with a migrated database to clone."""
    chosen = request.config.getoption("--pg-bin")
    pg_bin = Path(chosen) if chosen else None
    settings = {"max_connections": "200"}
    with (
        folder_in_memory() as folder,
        embedded.serve(folder, pg_bin=pg_bin, durable=False, settings=settings) as server,
    ):
        _administer(server, "create database template_authsvc")
        migrations.apply(DatabaseUrl(server.url_of("template_authsvc")))
        yield server


_numbers = count(1)


@pytest.fixture
def database_url(postgres: embedded.Server) -> Iterator[DatabaseUrl]:
    """The URL of a migrated, empty database of this test alone."""
    name = f"test_{next(_numbers)}"
    _administer(postgres, f"create database {name} template template_authsvc strategy file_copy")
    yield DatabaseUrl(postgres.url_of(name))
    _administer(postgres, f"drop database {name} with (force)")


def _administer(server: embedded.Server, statement: str) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(statement.encode())


@pytest.fixture
def config(database_url: DatabaseUrl, request: pytest.FixtureRequest) -> Config:
    """The configuration of production, but for the time of a hash and of its refusal.

    And for the limits, where a test is `unlimited`.
    """
    environ = {"AUTHSVC_DATABASE_URL": database_url.reveal(), "AUTHSVC_JWT_KEYS": SIGNING_KEYS}
    if request.node.get_closest_marker("unlimited"):
        environ["AUTHSVC_LIMITS"] = "off"
    config = Config.read(environ)
    return dataclasses.replace(
        config, passwords=dataclasses.replace(config.passwords, profile=CHEAP, refusal_seconds=0)
    )


@pytest.fixture
async def database(config: Config) -> AsyncIterator[Database]:
    database = Database(config.database)
    await database.open()
    yield database
    await database.close()


class CompiledTemplates(jinja2.BytecodeCache):
    """Every test composes the whole service; the templates are compiled once a run."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


@pytest.fixture(autouse=True, scope="session")
def compiled_templates() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aiohttp_jinja2, "setup", partial(aiohttp_jinja2.setup, bytecode_cache=CompiledTemplates()))
        yield


@pytest.fixture(autouse=True, scope="session")
def reference_on_demand() -> Iterator[None]:
    """Every test starts the whole service; its reference, which few ask for, is rendered when somebody does."""

    async def later(_door: DocsDoor, _app: Application) -> None:
        pass

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DocsDoor, "render", later)
        yield


@pytest.fixture
def service(config: Config, clock: FrozenClock) -> Service:
    """The service as production composes it."""
    return compose(config, clock=clock)


@pytest.fixture
async def client(service: Service, serve: Serve) -> Client:
    """A client of the public port; every answer is held against the API's description (see witness.py)."""
    return await serve(service.public)


@pytest.fixture
async def admin(service: Service, client: Client, serve: Serve) -> Client:
    """A client of the admin port."""
    assert client.app is service.public
    return await serve(service.admin)


class Server(TestServer):
    """As in production: in aiohttp's own test server a handler ends when its client hangs up."""

    async def _make_runner(self, **options: Any) -> BaseRunner:
        return await super()._make_runner(**{**options, "handler_cancellation": False})


@pytest.fixture
async def serve(aiohttp_client: Callable[..., Awaitable[Client]]) -> AsyncIterator[Serve]:
    """Serve an application as server.py does; every answer of a public one is held against its description."""
    witnesses: list[Witness] = []

    async def start(app: Application) -> Client:
        if ROUTES in app:
            witnesses.append(Witness(app))
        server = Server(app)
        await server.start_server(auto_decompress=False)
        return await aiohttp_client(server)

    yield start
    assert not [fault for witness in witnesses for fault in witness.faults]


@pytest.fixture(autouse=True)
def log() -> Iterator[io.StringIO]:
    """What the service logs, as JSON lines; whatever a test does, no secret and no address is among it."""
    stream = io.StringIO()
    logs.configure("json", "debug", stream)
    yield stream
    found = [secret for secret in NEVER_LOGGED if secret in stream.getvalue()]
    assert not found, stream.getvalue()


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    """A blocking call of ours, a hash or a slow callback on the event loop fails the test."""
    slow: list[str] = []
    run = asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        begun = time.thread_time()
        run(handle)
        if (spent := time.thread_time() - begun) >= SLOW_CALLBACK_SECONDS:
            slow.append(f"{handle} took {spent:.1f} seconds of CPU")

    buster = BlockBuster("authsvc")
    # The executor's own locks are held for microseconds.
    for name in ("threading.Lock.acquire", "threading.Lock.acquire_lock"):
        del buster.functions[name]
    # asyncpg looks for ~/.pgpass when it connects, and for the certificates that ~/.postgresql may hold.
    buster.functions["os.stat"].can_block_in("asyncpg/connect_utils.py", "_read_password_file")
    for name in ("os.stat", "os.path.abspath"):
        buster.functions[name].can_block_in("asyncpg/connect_utils.py", "_parse_connect_dsn_and_args")
    # /proc is memory, and no disk: a scrape looks there.
    for name in ("os.stat", "os.scandir", "os.listdir", "io.BufferedReader.read"):
        for reader in ("resident_memory", "open_files"):
            buster.functions[name].can_block_in("authsvc/runtime.py", reader)
    for owner, name in HASHES:
        buster.functions[f"{owner.__name__}.{name}"] = BlockBusterFunction(owner, name, scanned_modules="authsvc")
    buster.activate()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.Handle, "_run", timed)
        yield
    buster.deactivate()
    assert not slow, slow


@pytest.hookimpl(trylast=True)  # after the order was made random
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what lasts: whatever it waits for, other workers have something to do meanwhile."""
    items.sort(key=lambda item: item.get_closest_marker("lasting") is None)


def pytest_runtest_logfinish() -> None:
    """Leave what outlives a test out of later collections.

    Libraries remember the services of a whole run (aiohttp caches chains of middlewares); late in the run the collector
    walked through all of them for two seconds, on the event loop of whatever test it met.
    """
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pg-bin", help="Folder of the PostgreSQL server binaries to test with.")
    parser.addoption("--model-examples", type=int, help="How many random sequences the model is run through.")
    parser.addoption("--kills", type=int, default=10, help="How often an instance is killed; the whole is 100.")
    parser.addoption("--timing-samples", type=int, help="How often the time of each login is taken; the whole is 1000.")
    parser.addoption("--fuzz-seconds", type=int, help="How long the API is fuzzed; with other input each time.")
    parser.addoption("--fuzz-examples", type=int, help="How many texts each parser is given; others each time.")
