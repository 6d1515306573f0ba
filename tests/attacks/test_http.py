"""Attacks on the parsing of requests: malformed HTTP, hostile JSON, bodies that are too much or too slow."""

import asyncio
import gzip
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from io import StringIO

import pytest

from authsvc import connections, server
from authsvc.app import Service
from authsvc.web import reading
from authsvc.web.middleware import SECURITY_HEADERS
from tests import make
from tests.conftest import Client
from tests.web.helpers import CREDENTIALS, HARD_DEADLINE, LOGIN, ME, Wire, listening, problem

ANSWER = re.compile(rb"HTTP/1\.[01] \d{3} ")
SECRET = b"SECRET-OF-A-HEADER"
LOGIN_HEAD = b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
async def wire(service: Service) -> AsyncIterator[Wire]:
    async with listening(service.public) as wire:
        yield wire


MALFORMED = [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"Content-Length: +5\r\n\r\nhello",
    b"Content-Length: 5, 5\r\n\r\nhello",
    b"Content-Length: -1\r\n\r\n",
    b"Content-Length: 0x5\r\n\r\nhello",
    b"Transfer-Encoding: xchunked\r\n\r\n",
    b"Transfer-Encoding: chunked, identity\r\n\r\n",
    b"X: a\r\n folded\r\n\r\n",
    b"X : a\r\n\r\n",
    b"X: a\nY: b\n\n",
    b"X: a\x00b\r\n\r\n",
    b"Host: another\r\n\r\n",
    b"X: " + b"a" * 8200 + b"\r\n\r\n",
]


async def test_what_is_not_well_formed_is_refused_and_ends_the_connection(wire: Wire, log: StringIO) -> None:
    """HTTP-01, HTTP-03, HTTP-15 (CVE-2026-34525, CWE-444, ASVS 4.2.1): nothing behind it is served or quoted."""
    for malformed in MALFORMED:
        head = LOGIN_HEAD + b"Authorization: Bearer " + SECRET + b"\r\n" + b"Cookie: access_token=" + SECRET + b"\r\n"
        answer = await wire.exchange(head + malformed + SMUGGLED)
        assert len(ANSWER.findall(answer)) == 1, malformed
        assert_a_problem_without_quotes(answer)
    assert SECRET.decode() not in log.getvalue()
    assert "smuggled" not in log.getvalue()


MOST_FIELDS = 128
FIELD = b"X: " + b"a" * 7000 + b"\r\n"


ANSWERED = b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
READ = LOGIN_HEAD + b"Content-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize("before", [b"", ANSWERED, READ, ANSWERED * 3 + READ])
async def test_a_head_that_does_not_end_is_bounded(wire: Wire, before: bytes) -> None:
    """HTTP-15, CWE-770, ASVS 15.2.2, RFC 6585 §5: each connection kept 1 MiB, twice, and longer behind others."""
    large = b"GET /large HTTP/1.1\r\nHost: a\r\n" + FIELD * (connections.MAX_HEAD_BYTES // len(FIELD))
    answers = await wire.exchange(before + large + b"Connection: close\r\n\r\n")
    assert answers.split(b"HTTP/1.1 ")[-1].startswith(b"404 "), "one that ends is served"
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    received, fields = b"", 0
    writer.write(before + large)
    while b"malformed_request" not in received:
        writer.write(FIELD)
        fields += 1
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                received += await reader.read(65_536)
    writer.close()
    assert fields < MOST_FIELDS // 2, "the parser's own bound"
    assert_a_problem_without_quotes(b"HTTP/1.0 " + received.split(b"HTTP/1.0 ")[-1])


NO_HOSTS = (b'evil"><x>', b"\xff", b"a b", b"a/b", b"a@b", b"a:80:80", b"[::1")
OTHER_HTTP = (b"GET /login HTTP/2.0\r\nHost: a", b"GET /login HTTP/0.9\r\nHost: a", b"GET /login")


@pytest.mark.parametrize("head", [*(b"GET /login HTTP/1.1\r\nHost: " + host for host in NO_HOSTS), *OTHER_HTTP])
async def test_a_host_that_is_none_and_another_http_are_refused_and_end_the_connection(wire: Wire, head: bytes) -> None:
    """HTTP-01, HTTP-03, RFC 9112 §3.2 (400 for an invalid Host), RFC 9110 §2.5 (major versions; 0.9 has no head)."""
    assert_a_problem_without_quotes(await wire.exchange(head + b"\r\n\r\n"))


def assert_a_problem_without_quotes(answer: bytes) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode().splitlines()
    headers = dict(line.split(": ", 1) for line in lines[1:])
    document = json.loads(body)
    assert lines[0].endswith(" 400 Bad Request")
    assert headers.items() >= SECURITY_HEADERS.items()
    assert (headers["Content-Type"], headers["Cache-Control"]) == ("application/problem+json", "no-store")
    assert (document["code"], document["status"]) == ("malformed_request", 400)
    assert document["instance"] == f"urn:authsvc:request:{headers['X-Request-Id']}"
    assert SECRET not in answer
    assert b"aiohttp" not in answer


async def test_what_is_not_well_formed_is_counted_and_leaves_a_line_like_every_request(
    wire: Wire, log: StringIO, service: Service
) -> None:
    """LGX-01, MET-01 (ASVS 16.2.5): under the label of unknown paths, and none of aiohttp's own lines beside it."""
    for junk in (b"\x16\x03\x01\x02\x00" + SECRET, b"GET /" + SECRET + b" HTTP/1.1\r\nX : y\r\n\r\n"):
        await wire.exchange(junk + b"\r\n\r\n")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(line["event"], line["message"].split()[1:], line["code"]) for line in lines] == [
        ("request", ["unmatched", "400"], "malformed_request")
    ] * 2
    async with listening_admin(service) as admin:
        status, scraped = await admin.get("/metrics")
    assert status == 200
    assert 'authsvc_http_requests_total{method="other",route="unmatched",status="4xx"} 2' in scraped


async def test_the_admin_port_says_no_more_than_it_must(service: Service, log: StringIO) -> None:
    """HTTP-17, HTTP-19 (CWE-497): no name of a library, no version, none of a client's bytes."""
    async with listening_admin(service) as admin:
        for request, status in (
            (b"GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"404"),
            (b"POST /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"405"),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + SECRET + b"\x00\r\n\r\n", b"400"),
            (b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"200"),
        ):
            answer = await admin.exchange(request)
            assert answer.split()[1] == status
            assert b"\r\nServer: authsvc\r\n" in answer
            assert b"\r\nX-Content-Type-Options: nosniff\r\n" in answer
            assert SECRET not in answer
    assert SECRET.decode() not in log.getvalue()


@asynccontextmanager
async def listening_admin(service: Service) -> AsyncIterator[Wire]:
    port = server._Port(service.admin)
    await port.open("127.0.0.1", 0, "AUTHSVC_ADMIN_PORT")
    assert port._sockets is not None
    try:
        yield Wire(port._sockets.sockets[0].getsockname()[1])
    finally:
        await port.close(0)


async def test_a_client_that_takes_nothing_is_hung_up_on(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOS-02, CWE-400 (slow read): what it asked for is not held for ever."""
    monkeypatch.setattr(connections, "TAKE_SECONDS", 0.1)
    loop = asyncio.get_running_loop()
    with socket.socket() as greedy:
        greedy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        greedy.settimeout(0)
        await loop.sock_connect(greedy, ("127.0.0.1", wire.port))
        with suppress(ConnectionError):  # what is sent to who has hung up is answered by a reset
            async with asyncio.timeout(HARD_DEADLINE):
                while True:
                    with suppress(BlockingIOError):
                        greedy.send(b"GET /login HTTP/1.1\r\nHost: a\r\n\r\n" * 10)
                    await asyncio.sleep(0.02)


LINES = {
    b"GET /api/auth/me HTTP/1.1\r\n": b"400",  # no Host
    b"BREW /api/auth/me HTTP/1.1\r\nHost: a\r\n": b"400",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n": b"400",
    b"GET /\r\n": None,
    b"GET / HTTP/9.9\r\nHost: a\r\n": b"400",
    b"GET /" + b"a" * 4100 + b" HTTP/1.1\r\nHost: a\r\n": b"400",
    b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n": b"405",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n": b"405",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n": b"405",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nExpect: tea\r\nX: \xff\r\n": b"405",
    b"GET http://evil.example HTTP/1.1\r\nHost: a\r\n": b"200",
    b"TRACE /login HTTP/1.1\r\nHost: a\r\n": b"405",
    b"GET http://evil.example/api/auth/me HTTP/1.1\r\nHost: a\r\n": b"401",
    b"GET /api/auth/me HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n": b"401",
    b"GET /api/auth/me HTTP/1.1\r\nHost: [::1]:8080\r\n": b"401",
    b"GET /api/auth/me HTTP/1.1\r\nHost:\r\n": b"401",
    b"GET /api/auth/me HTTP/1.0\r\n": b"401",
    b"GET //evil.example/%2e%2e HTTP/1.1\r\nHost: a\r\n": b"404",
    b"GET /%ff%00%2F;x?%ff HTTP/1.1\r\nHost: a\r\n": b"404",
    b"GET /api/auth/verify/envoy/a%0Ab HTTP/1.1\r\nHost: a\r\n": b"401",
    b"GET /..;/api/auth/me HTTP/1.1\r\nHost: a\r\n": b"404",
    b"GET /api/auth%2Fme HTTP/1.1\r\nHost: a\r\n": b"404",
    b"GET /api/auth/me%00 HTTP/1.1\r\nHost: a\r\n": b"404",
    b"GET /%00 HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\n": b"404",
    b"GET /\xff HTTP/1.1\r\nHost: a\r\n": None,
    b"GET /login?next=\xff&next=%ff HTTP/1.1\r\nHost: a\r\n": None,
    b"GET /login HTTP/1.1\r\nHost: a\r\nAccept: \xff\r\n": None,
}


async def test_odd_request_lines_and_hosts_are_answered_and_never_a_fault_of_ours(wire: Wire) -> None:
    """HTTP-03, HTTP-04, HTTP-14 (RFC 9112 §3)."""
    for line, status in LINES.items():
        answer = await wire.exchange(line + b"Connection: close\r\n\r\n")
        got = answer.split()[1]
        assert got == status or (status is None and got < b"500"), (line, answer)


async def test_an_http_1_0_body_in_chunks_and_trailers_are_bounded(wire: Wire) -> None:
    """HTTP-02 (CVE-2026-22815, RFC 9112 §7.1.2)."""
    old = LOGIN_HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    assert (await wire.exchange(old)).split()[1] < b"500"
    chunked = LOGIN_HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    for body in (
        b"2\r\n{}\r\n0\r\n" + b"T: x\r\n" * 20_000 + b"\r\n",
        b"2;" + b"e" * 1_000_000 + b"\r\n{}\r\n0\r\n\r\n",
    ):
        answer = await wire.exchange(chunked + body)
        assert answer.split()[1:2] in ([], [b"400"], [b"422"])  # none: refused while it was still being sent


async def test_an_upgrade_is_declined(wire: Wire) -> None:
    """HTTP-07 (RFC 9110 §7.8)."""
    for protocol in (b"h2c", b"websocket"):
        upgrade = b"GET /login HTTP/1.1\r\nHost: a\r\nConnection: close, Upgrade\r\nUpgrade: " + protocol + b"\r\n\r\n"
        answer = await wire.exchange(upgrade)
        assert answer.split()[1] == b"200"


async def test_what_a_client_expects_is_answered_by_us_and_not_quoted(wire: Wire) -> None:
    """RFC 9110 §10.1.1: the body is asked for where the client waits for that, and nothing else is an error."""
    body = b"Content-Length: 2\r\nConnection: close\r\n\r\n{}"
    answer = await wire.exchange(LOGIN_HEAD + b"Expect: 100-Continue\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 422 ")
    for expectation in (b"\xff", b"miracles", b"200-ok"):
        for beside in (b"", b"X: \xff\r\n"):
            answer = await wire.exchange(LOGIN_HEAD + beside + b"Expect: " + expectation + b"\r\n" + body)
            assert answer.startswith(b"HTTP/1.1 422 ")
    answer = await wire.exchange(b"GET http://a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")
    old = LOGIN_HEAD.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Expect: 100-continue\r\n" + body
    assert (await wire.exchange(old)).startswith(b"HTTP/1.0 422 ")


async def test_a_body_over_the_limit_is_413_and_the_connection_ends(wire: Wire) -> None:
    """HTTP-12 (CWE-770, RFC 9110 §15.5.14): with a Content-Length, in chunks, and announced but never sent."""
    large = b"x" * 16_385
    bodies = [
        b"Content-Length: 16385\r\n\r\n" + large,
        b"Transfer-Encoding: chunked\r\n\r\n4001\r\n" + large + b"\r\n0\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 17_000 + b"0\r\n\r\n",
    ]
    for body in bodies:
        answer = await wire.exchange(LOGIN_HEAD + body + SMUGGLED)
        assert answer.split()[1] == b"413"
        assert b"Connection: close" in answer
        assert b'"code":"body_too_large"' in answer
        assert len(ANSWER.findall(answer)) == 1


async def test_a_body_of_just_the_limit_is_read(client: Client) -> None:
    """CWE-193: the limit itself is within."""
    body = b" " * (16_384 - 2) + b"{}"
    response = await client.post(LOGIN, data=body, headers={"Content-Type": "application/json"})
    await problem(response, 422, "invalid_input")


async def test_a_body_that_does_not_arrive_in_time_is_408(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """DOS-02 (CWE-400, RFC 9110 §15.5.9)."""
    monkeypatch.setattr(reading, "BODY_SECONDS", 0.05)
    answer = await wire.exchange(LOGIN_HEAD + b"Content-Length: 100\r\n\r\n{")
    assert answer.split()[1] == b"408"
    assert b"Connection: close" in answer
    assert b'"code":"body_timeout"' in answer


async def test_a_client_that_goes_away_within_its_body_is_no_fault_of_ours(wire: Wire, log: StringIO) -> None:
    """CWE-755: it is no 500, and no alarm that anybody could ring."""
    await wire.exchange(LOGIN_HEAD + b"Content-Length: 100\r\n\r\n{", half_close=True)
    await wire.exchange(LOGIN_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", half_close=True)
    assert "unforeseen" not in log.getvalue()
    assert '"requestUrl":"/api/auth/login","status":400' in log.getvalue()


JSON: dict[bytes, tuple[int, str]] = {
    b"": (400, "invalid_json"),
    b" ": (400, "invalid_json"),
    b"{": (400, "invalid_json"),
    b"[]": (400, "invalid_json"),
    b'"x"': (400, "invalid_json"),
    b"null": (400, "invalid_json"),
    b"5": (400, "invalid_json"),
    b'{"email": NaN}': (400, "invalid_json"),
    b'{"email": -Infinity}': (400, "invalid_json"),
    b'{"email": 1e400}': (400, "invalid_json"),
    b'{"email": -1e400}': (400, "invalid_json"),
    b'{"email": ' + b"9" * 5000 + b"}": (400, "invalid_json"),
    b'\xef\xbb\xbf{"email": "x"}': (400, "invalid_json"),
    b'{"email": "x",}': (400, "invalid_json"),
    b"{'email': 'x'}": (400, "invalid_json"),
    b'{"email": "x"} {}': (400, "invalid_json"),
    b'{"email": "\xff"}': (400, "invalid_json"),
    b'{"email": "\xed\xa0\x80"}': (400, "invalid_json"),
    '{"email": "x"}'.encode("utf-16"): (400, "invalid_json"),
    b'{"email": "+AGEAQA-"}': (422, "invalid_input"),
    b'{"email": "a@example.com", "email": "b@example.com"}': (400, "invalid_json"),
    b'{"email": "x", "\\u0065mail": "y"}': (400, "invalid_json"),
    b'{"email": {"a": 1, "a": 2}}': (400, "invalid_json"),
    b'{"email": ' + b"[" * 200 + b"]" * 200 + b"}": (400, "invalid_json"),
    b"[" * 8000 + b"]" * 8000: (400, "invalid_json"),
    b'{"a":' * 2500: (400, "invalid_json"),
    b"[" * 100_000: (413, "body_too_large"),
    b'{"email": [[["x"]], {"y": 1.5}]}': (422, "invalid_input"),
    b'{"email": "\\ud800@example.com", "password": "\\udfff"}': (422, "invalid_input"),
    b'{"email": "a\\u0000@example.com", "password": "correct\\u0000horse"}': (422, "invalid_input"),
    b'{"\\ud800": 1, "\\u0000": 2}': (422, "invalid_input"),
}


async def test_json_that_is_not_one_plain_object_is_refused_and_never_a_fault_of_ours(client: Client) -> None:
    """HTTP-09, REG-12, REG-13, REG-21, SQL-03, DOS-13 (RFC 8259 §4, CWE-674, ASVS 1.5.2)."""
    for path in (LOGIN, "/api/auth/register"):
        for body, (status, code) in JSON.items():
            response = await client.post(path, data=body, headers={"Content-Type": "application/json"})
            assert response.status == status, body[:80]
            await problem(response, status, code)


TYPES = {
    None: 415,
    "application/json": 200,
    "application/json;charset=UTF-8": 200,
    'application/json; charset="utf-8"': 200,
    "application/JSON": 200,
    "application/json; charset=utf8": 200,
    "application/vnd.x+json": 415,
    "application/problem+json": 415,
    "text/json": 415,
    "text/plain": 415,
    "multipart/form-data; boundary=x": 415,
    "multipart/form-data": 415,
    "application/x-www-form-urlencoded": 415,
    "application/json, text/plain": 415,
    "": 415,
    "json": 415,
    "application/json; charset=nope": 415,
    "application/json; charset=rot13": 415,
    "application/json; charset=hex": 415,
    "application/json; charset=undefined": 415,
    "application/json; charset=utf-7": 415,
    "application/json; charset=utf-16": 415,
    "application/json; charset=\udcff": 415,
    "\udcff/\udcff": 415,
}


async def test_only_json_in_utf_8_is_read_as_json(client: Client) -> None:
    """LGN-22, FRM-04, HTTP-10 (RFC 8259 §8.1, ASVS 3.5.2)."""
    await make.user(client)
    body = b'{"email":"ada@example.com","password":"correct horse battery staple"}'
    length = f"Content-Length: {len(body)}"
    wire = Wire(client.server.port)
    for content_type, status in TYPES.items():
        lines = ["POST /api/auth/login HTTP/1.1", "Host: a", "Connection: close", length]
        lines += [f"Content-Type: {content_type}"] if content_type is not None else []
        head = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape")
        answer = await wire.exchange(head + body)
        assert answer.split()[1] == str(status).encode(), content_type
        assert status == 200 or b'"code":"unsupported_media_type"' in answer


async def test_no_body_is_unpacked(wire: Wire) -> None:
    """HTTP-11 (CWE-409): not even a good one, so that no bomb is either."""
    for coding in (b"gzip", b"deflate", b"br", b"zstd", b"x-unknown", b"identity"):
        for body in (gzip.compress(b"{}"), gzip.compress(b" " * 10_000_000), b"garbage"):
            head = b"Content-Encoding: %b\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % (coding, len(body))
            answer = await wire.exchange(LOGIN_HEAD + head + body)
            assert answer.split()[1] == b"415", coding
            assert b"\r\nAccept-Encoding: identity\r\n" in answer


async def test_after_all_that_a_login_still_works(client: Client) -> None:
    """CWE-400: none of it has used anything up."""
    await make.user(client)
    await client.post(LOGIN, data=b"[" * 8000, headers={"Content-Type": "application/json"})
    response = await client.post(LOGIN, json=CREDENTIALS)
    assert response.status == 200
    assert (await client.get(ME, headers=make.bearer((await response.json())["access_token"]))).status == 200
