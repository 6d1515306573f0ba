"""The range endpoint: what is asked, what is believed, and that its faults lock nobody out."""

import asyncio
import dataclasses
import hashlib
import io
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from authsvc.app import Service, compose
from authsvc.breached_passwords import MAX_BYTES, BreachedPasswords
from authsvc.config import Config, Secret
from authsvc.password_policy import Password
from authsvc.refusals import InvalidInput
from tests import make
from tests.conftest import Client, FrozenClock
from tests.web.helpers import faults_of, problem


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().upper()


PASSWORD = Password(make.PASSWORD, make.PASSWORD)
DIGEST = sha1(make.PASSWORD)
PREFIX, SUFFIX = DIGEST[:5], DIGEST[5:]
OTHERS = "".join(f"{number:035X}:{number}\r\n" for number in range(1, 900))
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Range:
    """An endpoint that remembers what it was asked, and answers what it is told to."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.answer: Answer = text_of(OTHERS)
        self.released = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        return await self.answer(request)

    async def never(self, _request: web.Request) -> web.StreamResponse:
        await self.released.wait()
        return web.Response()

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not self.released.is_set():
            await response.write(OTHERS.encode())
        return response

    async def stalled(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(f"{SUFFIX}:7\r\n".encode())
        await self.released.wait()
        return response


def text_of(text: str, status: int = 200, *, headers: dict[str, str] | None = None) -> Answer:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=text, status=status, headers=headers)

    return answer


@pytest.fixture
async def endpoint() -> AsyncIterator[tuple[Range, str]]:
    known, app = Range(), web.Application()
    app.router.add_get("/range/{prefix}", known.serve)
    server = TestServer(app)
    await server.start_server()
    yield known, f"http://127.0.0.1:{server.port}/range"
    known.released.set()
    await server.close()


@pytest.fixture
def known(endpoint: tuple[Range, str]) -> Range:
    return endpoint[0]


class Door:
    """The door, with how often it failed."""

    def __init__(self, url: str | None, seconds: float = 10) -> None:
        self.failures = 0
        self.breached = BreachedPasswords(url, seconds, self._fail)

    def _fail(self) -> None:
        self.failures += 1

    async def refuses(self, password: Password = PASSWORD) -> bool:
        await self.breached.open()
        try:
            await self.breached.refuse(password, "password")
        except InvalidInput as refusal:
            (fault,) = refusal.faults
            assert (fault.field, fault.code) == ("password", "password_breached")
            return True
        finally:
            await self.breached.close()
        return False


@pytest.fixture
def door(endpoint: tuple[Range, str]) -> Door:
    return Door(endpoint[1])


async def test_only_five_digits_of_the_hash_leave(known: Range, door: Door) -> None:
    """And padding is asked for, so that the size of the answer tells nothing."""
    assert not await door.refuses()
    (asked,) = known.asked
    assert asked.path == f"/range/{PREFIX}"
    assert asked.headers["Add-Padding"] == "true"
    everything = str(asked.rel_url) + str(asked.raw_headers)
    assert not [digit for digit in (SUFFIX[:6], SUFFIX.lower()[:6], "correct", "horse") if digit in everything]
    assert not asked.can_read_body
    assert door.failures == 0


@pytest.mark.parametrize(
    "line", [f"{SUFFIX}:1", f"{SUFFIX}:123456789\r\n", f"{SUFFIX.lower()}:3\n", f"{SUFFIX}:2\r\n{SUFFIX}:0"]
)
async def test_a_breached_password_is_refused(known: Range, door: Door, line: str) -> None:
    known.answer = text_of(OTHERS + line)
    assert await door.refuses()
    assert door.failures == 0


@pytest.mark.parametrize("text", ["", OTHERS, OTHERS + f"{SUFFIX}:0\r\n", f"{SUFFIX[::-1]}:9"])
async def test_another_password_is_taken_and_so_is_padding(known: Range, door: Door, text: str) -> None:
    known.answer = text_of(text)
    assert not await door.refuses()
    assert door.failures == 0


async def test_spellings_of_an_accent_are_asked_as_one(known: Range, door: Door) -> None:
    digest = sha1("caf\u00e9 au lait")
    known.answer = text_of(f"{digest[5:]}:1")
    assert await door.refuses(Password("cafe\u0301 au lait", "caf\u00e9 au lait"))


HIT = f"{SUFFIX}:7\r\n"
WRONG: dict[str, Answer] = {
    "500": text_of(HIT, 500),
    "404": text_of(HIT, 404),
    "204": text_of("", 204),
    "elsewhere": text_of(HIT, 302, headers={"Location": "/range/00000"}),
    "page": text_of("<html>We are sorry.</html>"),
    "half a line": text_of(HIT + SUFFIX[:20]),
    "no count": text_of(f"{SUFFIX}:many"),
    "negative": text_of(f"{SUFFIX}:-1"),
    "too many digits": text_of(f"{SUFFIX}:" + "9" * 5000),
    "not ascii": text_of(f"{SUFFIX}:\u0667"),
    "whole hashes": text_of(f"{DIGEST}:7"),
    "one byte too many": text_of(" " * (MAX_BYTES - len(HIT) + 1) + HIT),
}


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_answer_is_none_and_is_counted(known: Range, door: Door, log: io.StringIO, name: str) -> None:
    known.answer = WRONG[name]
    assert not await door.refuses()
    assert (door.failures, len(known.asked)) == (1, 1)
    assert "breach_check_failed" in log.getvalue()
    assert PREFIX not in log.getvalue().upper()


async def test_the_largest_answer_within_the_bound_is_read(known: Range, door: Door) -> None:
    known.answer = text_of(" " * (MAX_BYTES - len(HIT)) + HIT)
    assert await door.refuses()


async def test_an_answer_without_an_end_is_cut_at_the_bound(known: Range, door: Door) -> None:
    known.answer = known.endless
    assert not await door.refuses()
    assert door.failures == 1


async def test_a_packed_answer_is_not_unpacked(known: Range, door: Door) -> None:
    """A kilobyte may become a gigabyte."""

    async def packed(_request: web.Request) -> web.StreamResponse:
        response = web.Response(text=HIT)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    known.answer = packed
    assert not await door.refuses()
    assert known.asked[0].headers["Accept-Encoding"] == "identity"
    assert door.failures == 1


@pytest.mark.parametrize("way", ["never", "stalled"])
async def test_who_does_not_answer_in_time_is_not_waited_for(endpoint: tuple[Range, str], way: str) -> None:
    known, url = endpoint
    door = Door(url, seconds=0.1)
    known.answer = getattr(known, way)
    assert not await door.refuses()
    assert door.failures == 1


async def test_where_nobody_listens_the_password_is_taken(log: io.StringIO) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        door = Door(f"http://127.0.0.1:{nobody.getsockname()[1]}")
        assert not await door.refuses()
    assert door.failures == 1
    assert PREFIX not in log.getvalue().upper()


async def test_without_an_endpoint_nothing_is_asked() -> None:
    door = Door(None)
    assert not await door.refuses()
    assert door.failures == 0


async def test_an_answer_is_no_cookie_of_the_next_question(known: Range, door: Door) -> None:
    known.answer = text_of(OTHERS, headers={"Set-Cookie": "who=you"})
    await door.breached.open()
    for _ in range(2):
        await door.breached.refuse(PASSWORD, "password")
    await door.breached.close()
    assert ["Cookie" in asked.headers for asked in known.asked] == [False, False]


@pytest.fixture
async def service(config: Config, clock: FrozenClock, endpoint: tuple[Range, str]) -> Service:
    passwords = dataclasses.replace(config.passwords, breached_url=Secret(endpoint[1]))
    asking = dataclasses.replace(config, passwords=passwords)
    return await asyncio.to_thread(compose, asking, clock=clock)  # it makes a hash, so not on the loop


async def test_registering_and_changing_ask_and_logging_in_does_not(client: Client, known: Range) -> None:
    await make.user(client)
    token = await make.access_token(client)
    assert len(known.asked) == 1
    new = "another correct horse battery"
    digest = sha1(new)
    known.answer = text_of(f"{digest[5:]}:1")
    change = {"current_password": make.PASSWORD, "new_password": new}
    refused = await client.post("/api/auth/password", json=change, headers=make.bearer(token))
    assert faults_of(await problem(refused, 422, "invalid_input")) == {("new_password", "password_breached")}
    other = {"email": "grace@example.com", "password": new}
    refused = await client.post("/api/auth/register", json=other)
    assert faults_of(await problem(refused, 422, "invalid_input")) == {("password", "password_breached")}
    assert len(known.asked) == 3


async def test_a_failure_is_counted_in_the_metrics_and_the_password_is_taken(
    client: Client, admin: Client, known: Range
) -> None:
    known.answer = text_of("", 500)
    await make.user(client)
    metrics = await (await admin.get("/metrics")).text()
    assert 'authsvc_events_total{event="credential:breach_check:failure"} 1\n' in metrics
