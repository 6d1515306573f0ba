"""A real PgBouncer in transaction mode between two instances and their PostgreSQL: a statement may meet any session."""

import asyncio
import dataclasses
import io
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from authsvc.config import Config, DatabaseUrl
from authsvc.store import migrations
from authsvc.store.database import Database
from authsvc.store.migrations import MigrationError
from drills.ports import free_ports
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.faults.conftest import until
from tests.web.helpers import composed

ROOT = Path(__file__).parents[2]
PLACES = ("pgbouncer", "/usr/sbin/pgbouncer", str(ROOT / "build" / "pgbouncer" / "usr" / "sbin" / "pgbouncer"))
LIBRARIES = ":".join(map(str, (ROOT / "build" / "pgbouncer" / "usr" / "lib").glob("*")))
PATIENCE = 30
CLIENTS = 24
# Fewer sessions than the two instances have connections: these pass from one to the other all the time.
CONFIGURATION = """
[databases]
* = host={sockets} port={port} user=authsvc
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {sessions}
max_client_conn = 200
{more}
"""
IGNORED = "statement_timeout,lock_timeout,idle_in_transaction_session_timeout,default_transaction_isolation"


@pytest.fixture(scope="session")
def pgbouncer_binary() -> str:
    path = next((path for each in PLACES if (path := shutil.which(each))), None)
    if path is not None:
        return path
    advice = "There is no PgBouncer: run tests/install-pgbouncer."
    if os.environ.get("CI") == "true":  # noqa: TID251 - the tests' own
        pytest.fail(advice)
    pytest.skip(advice)


Bounce = Callable[..., Awaitable[Config]]


@pytest.fixture
async def bounce(pgbouncer_binary: str, config: Config, tmp_path: Path) -> AsyncIterator[Bounce]:
    """Start a PgBouncer before the database of the test; return the configuration of who goes through it."""
    running: list[asyncio.subprocess.Process] = []

    async def start(
        *, pooler: Literal["none", "transaction"] = "transaction", mode: str = "transaction", more: str = ""
    ) -> Config:
        parts, (own,) = urlsplit(config.database.url.reveal()), free_ports(1)
        query = parse_qs(parts.query)
        file, said = tmp_path / "pgbouncer.ini", tmp_path / "said"
        where = {"sockets": query["host"][0], "port": query["port"][0], "own": own}
        sessions = 4 if mode == "transaction" else 40
        file.write_text(CONFIGURATION.format(mode=mode, more=more, sessions=sessions, **where))
        file.parent.chmod(0o755)
        # It refuses to be root; and who is nobody owns the server's socket where root runs the tests.
        user = ["--user=nobody"] if os.geteuid() == 0 else []
        with said.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                pgbouncer_binary, *user, str(file), stdout=output, stderr=output, env={"LD_LIBRARY_PATH": LIBRARIES}
            )
        running.append(process)
        async with asyncio.timeout(PATIENCE):
            while not await _listens(own):
                assert process.returncode is None, said.read_text()
                await asyncio.sleep(0.02)
        url = DatabaseUrl(f"postgresql://authsvc@127.0.0.1:{own}{parts.path}?sslmode=disable")
        database = dataclasses.replace(config.database, url=url, pooler=pooler)
        sessions_settings = dataclasses.replace(config.sessions, poll_seconds=0.05)
        return dataclasses.replace(config, database=database, sessions=sessions_settings)

    yield start
    for process in running:
        process.terminate()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def journey(number: int, here: Client, there: Client) -> None:
    """Everything somebody does, now at one instance and now at the other."""
    email = f"ada{number}@example.com"
    await make.user(here, email)
    first, second = await make.tokens(there, email), await make.tokens(here, email)
    headers = make.bearer(first["access_token"])
    assert (await here.get("/api/auth/me", headers=headers)).status == 200
    body = {"refresh_token": second["refresh_token"]}
    renewed = await there.post("/api/auth/refresh", json=body)
    assert renewed.status == 200
    listed = await here.get("/api/auth/sessions", headers=headers)
    assert len((await listed.json())["sessions"]) == 2
    body = {"current_password": make.PASSWORD, "new_password": f"another passphrase {number}"}
    assert (await there.post("/api/auth/password", json=body, headers=headers)).status == 204
    assert (await here.post("/api/auth/refresh", json={"refresh_token": second["refresh_token"]})).status == 400
    activity = await (await here.get("/api/auth/activity", headers=headers)).json()
    assert len(activity["activity"]) == 5
    assert (await here.post("/api/auth/logout", headers=headers)).status == 204

    async def heard() -> int:
        return (await there.get("/api/auth/verify", headers=headers)).status

    await until(heard, 401)  # by the feed


@asynccontextmanager
async def holding(url: str, statement: str) -> AsyncIterator[None]:
    connection = await psycopg.AsyncConnection.connect(url)
    async with connection:
        await connection.execute(statement.encode())
        yield


@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.unlimited
async def test_the_whole_journey_goes_through_it_with_many_at_once(
    mode: str, bounce: Bounce, clock: FrozenClock, serve: Serve
) -> None:
    """DBF-18"""
    config = await bounce(mode=mode)
    here, there = [await serve(await composed(config, clock)) for _instance in range(2)]
    async with asyncio.TaskGroup() as tasks:
        for number in range(CLIENTS):
            tasks.create_task(journey(number, *((here, there) if number % 2 else (there, here))))


async def test_without_the_setting_no_session_opens_and_the_log_says_which_setting(
    bounce: Bounce, clock: FrozenClock, serve: Serve, log: io.StringIO
) -> None:
    client = await serve(await composed(await bounce(pooler="none"), clock))
    response = await client.post("/api/auth/login", json={"email": make.EMAIL, "password": make.PASSWORD})
    assert response.status == 503
    assert '"fault":"pooler"' in log.getvalue()
    assert "AUTHSVC_DATABASE_POOLER=transaction" in log.getvalue()


async def test_prepared_statements_do_not_survive_it(bounce: Bounce, log: io.StringIO) -> None:
    """Why the setting does more than leave the limits out: here PgBouncer was told to overlook these."""
    config = await bounce(pooler="none", more=f"ignore_startup_parameters = {IGNORED}")
    database = Database(config.database)
    await database.open()

    async def ask() -> None:
        async with database.read() as connection:
            await connection.fetchval("select pg_sleep(0.01) is null")

    async with asyncio.timeout(PATIENCE):
        while '"fault":"pooler"' not in log.getvalue():
            await asyncio.gather(*(ask() for _ in range(10)), return_exceptions=True)
    await database.close()


async def test_behind_it_the_limits_are_the_roles(
    bounce: Bounce, config: Config, clock: FrozenClock, serve: Serve, log: io.StringIO
) -> None:
    """docs/configuration.md: the service cannot set them, and a statement that waits for a lock ends nonetheless."""
    direct = config.database.url.reveal()
    name = urlsplit(direct).path.strip("/")
    with psycopg.connect(direct, autocommit=True) as connection:
        connection.execute(f"alter role authsvc in database {name} set lock_timeout = '200ms'".encode())
    client = await serve(await composed(await bounce(), clock))
    await make.user(client)
    async with holding(direct, "lock table users in access exclusive mode"):
        response = await client.post("/api/auth/login", json={"email": make.EMAIL, "password": make.PASSWORD})
        assert response.status == 503
    assert '"fault":"locked"' in log.getvalue()
    assert await make.access_token(client)


async def test_migrations_go_past_it(bounce: Bounce) -> None:
    """The lock that they take turns by belongs to a session: it would stay behind with one of the pooler's."""
    config = await bounce()
    with pytest.raises(MigrationError, match="A pooler answers"):
        await asyncio.to_thread(migrations.apply, config.database.url)
