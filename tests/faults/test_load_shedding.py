"""More logins than can be hashed: refused at once and cheaply, and nothing is done for who has hung up.

A gate stands before the first hash, so that whatever is answered meanwhile was answered without waiting for one.
"""

import asyncio
import dataclasses
import json
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest
from aiohttp import ClientResponse

from authsvc.config import PROFILES, Config, DatabaseUrl
from authsvc.password_policy import Password
from authsvc.passwords import Passwords, Verdict
from tests import make
from tests.conftest import SIGNING_KEYS, Client
from tests.faults.conftest import PATIENCE_SECONDS, until
from tests.web.helpers import LOGIN, ME, REGISTER, problem, send

BODY = {"email": make.EMAIL, "password": make.PASSWORD}


class Gate:
    """Holds the first comparison until it is opened, and counts all of them."""

    def __init__(self) -> None:
        self.begun = 0
        self._opened = threading.Event()
        self.open = self._opened.set

    def stand_before(self, verify: Callable[[Passwords, Password, str | None], Verdict]) -> object:
        def held(passwords: Passwords, password: Password, stored_hash: str | None) -> Verdict:
            self.begun += 1
            assert self._opened.wait(PATIENCE_SECONDS)
            return verify(passwords, password, stored_hash)

        return held


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(Passwords, "_verify", gate.stand_before(Passwords._verify))
    yield gate
    gate.open()


@pytest.fixture
def queue_seconds() -> float:
    return 1


@pytest.fixture
def config(database_url: DatabaseUrl, queue_seconds: float) -> Config:
    """One thread, and hashes of the real cost: of them a second is some dozens."""
    environ = {"AUTHSVC_DATABASE_URL": database_url.reveal(), "AUTHSVC_JWT_KEYS": SIGNING_KEYS, "AUTHSVC_LIMITS": "off"}
    config = Config.read(environ)
    passwords = dataclasses.replace(
        config.passwords, profile=PROFILES["owasp-19mib"], threads=1, queue_seconds=queue_seconds, refusal_seconds=0
    )
    return dataclasses.replace(
        config, database=dataclasses.replace(config.database, statement_seconds=1), passwords=passwords
    )


@pytest.fixture
async def token(client: Client, gate: Gate) -> str:
    """The access token of somebody, from before the crowd came."""
    await make.user(client)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Passwords, "_verify", lambda *_given: Verdict.MATCH)
        token = await make.access_token(client)
    assert not gate.begun
    return token


async def log_in(client: Client) -> ClientResponse:
    return await client.post(LOGIN, json=BODY)


async def pending(admin: Client) -> int:
    text = await (await admin.get("/metrics")).text()
    found = re.findall(r"^authsvc_password_hashes_(?:running|waiting) (\d+)$", text, re.MULTILINE)
    assert len(found) == 2, text
    return sum(map(int, found))


class Crowd:
    """Clients that send a login each, and hang up without having read anything."""

    def __init__(self, port: int | None) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def send(self, number: int) -> None:
        body = json.dumps(BODY)
        head = f"POST {LOGIN} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
        for _ in range(number):
            _reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
            await writer.drain()
            self._writers.append(writer)

    async def hang_up(self) -> None:
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            with suppress(ConnectionError):
                await writer.wait_closed()
        self._writers.clear()


@pytest.fixture
async def crowd(client: Client) -> AsyncIterator[Crowd]:
    crowd = Crowd(client.server.port)
    yield crowd
    await crowd.hang_up()


async def full(client: Client, crowd: Crowd) -> ClientResponse:
    """Send logins until one is refused; return that answer."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            await crowd.send(8)
            asked = asyncio.get_running_loop().create_task(log_in(client))
            done, _waiting = await asyncio.wait([asked], timeout=0.2)
            if done:
                return await asked
            asked.cancel()
            await asyncio.wait([asked])


def connections(client: Client) -> int:
    handler = client.server.handler
    assert handler is not None
    return sum(each.transport is not None for each in handler.connections)


async def gone(client: Client, left: int) -> None:
    async def number() -> bool:
        return connections(client) <= left

    await until(number, wanted=True)


class TestPatientQueue:
    @pytest.fixture
    def queue_seconds(self) -> float:
        return 60

    async def test_a_hundred_who_hung_up_cost_no_hash(
        self, client: Client, admin: Client, gate: Gate, crowd: Crowd, token: str
    ) -> None:
        """DOS-01, PWD-10 (ASVS 15.2.2): aiohttp lets their handlers run to the end; the hashes are never begun."""
        assert token
        asked = asyncio.get_running_loop().create_task(log_in(client))
        await until(lambda: pending(admin), 1)
        before = connections(client)
        await crowd.send(100)
        await until(lambda: pending(admin), 101)
        await crowd.hang_up()
        await gone(client, before)
        gate.open()
        assert (await asked).status == 200
        await until(lambda: pending(admin), 0)
        assert gate.begun == 1


async def test_beyond_its_time_the_queue_refuses_without_a_wait(
    client: Client, gate: Gate, crowd: Crowd, token: str
) -> None:
    """DOS-01 (CWE-400): no hash ends while the gate is shut, and yet there is an answer. What needs no hash goes on."""
    refused = await full(client, crowd)
    await problem(refused, 503, "busy")
    assert int(refused.headers["Retry-After"]) >= 1
    for _ in range(20):
        await problem(await log_in(client), 503, "busy")
        assert (await client.get(ME, headers=make.bearer(token))).status == 200
        assert (await client.get("/api/auth/verify", headers=make.bearer(token))).status == 204
    body = {"current_password": make.PASSWORD, "new_password": "another correct horse battery"}
    changed = await client.post("/api/auth/password", json=body, headers=make.bearer(token))
    await problem(changed, 503, "busy")
    await problem(await client.post("/api/auth/register", json={**BODY, "email": "b@example.com"}), 503, "busy")
    assert gate.begun == 1


async def test_a_full_queue_is_told_before_the_body_is_read(
    client: Client, gate: Gate, crowd: Crowd, token: str
) -> None:
    """DOS-01 (CWE-405): reading one costs more than all the rest of a refusal."""
    headers = {"Content-Type": "application/json", **make.bearer(token)}
    doors = [("POST", LOGIN), ("POST", REGISTER), ("POST", "/api/auth/password"), ("DELETE", ME)]
    for method, door in doors:
        await problem(await client.request(method, door, data=b"{", headers=headers), 400, "invalid_json")
    assert (await full(client, crowd)).status == 503
    for method, door in doors:
        await problem(await client.request(method, door, data=b"{", headers=headers), 503, "busy")
    assert gate.begun == 1


async def test_a_full_queue_is_told_before_a_form_is_read_that_is_shown_empty_again(
    client: Client, gate: Gate, crowd: Crowd, token: str
) -> None:
    """DOS-01 (CWE-405)."""
    cookie = {"Cookie": f"access_token={token}"}
    pages = ("/account/password", "/account/delete")
    for page in pages:
        assert (await send(client, page, {}, **cookie)).status == 403, "no form of ours"
    assert (await full(client, crowd)).status == 503
    for page in pages:
        answer = await send(client, page, {}, **cookie)
        assert (answer.status, "Retry-After" in answer.headers) == (503, True)
        assert f'action="{page}"' in await answer.text()
    assert gate.begun == 1


@contextmanager
def locked_users(url: DatabaseUrl) -> Iterator[None]:
    with psycopg.connect(url.reveal()) as connection:
        connection.execute("lock table users in access exclusive mode")
        yield
        connection.rollback()


async def test_a_full_queue_is_told_before_the_database_is_asked(
    client: Client, gate: Gate, crowd: Crowd, token: str, database_url: DatabaseUrl
) -> None:
    """DOS-01 (CWE-405)."""
    assert token
    with locked_users(database_url):
        await problem(await log_in(client), 503, "temporarily_unavailable")
    assert (await full(client, crowd)).status == 503
    with locked_users(database_url):
        await problem(await log_in(client), 503, "busy")
    assert gate.begun == 1


async def test_who_hung_up_leaves_the_place_to_others(
    client: Client, admin: Client, gate: Gate, crowd: Crowd, token: str
) -> None:
    """DOS-01 (ASVS 15.2.2): a single client could else keep everybody out, at no cost: send, hang up, send again."""
    assert token
    before = connections(client)
    assert (await full(client, crowd)).status == 503
    await crowd.hang_up()
    await gone(client, before)
    asked = asyncio.get_running_loop().create_task(log_in(client))
    await until(lambda: pending(admin), 2)
    gate.open()
    assert (await asked).status == 200
    await until(lambda: pending(admin), 0)
    assert gate.begun == 2
