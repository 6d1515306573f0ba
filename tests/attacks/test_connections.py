"""Attacks on the connections of a real process: too many, too slow, half a one, a thousand requests at once."""

import contextlib
import json
import re
import resource
import select
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from authsvc import machine, server
from authsvc.config import Config
from tests.cli.conftest import AUTHSVC, CREDENTIALS, Running, Start, eventually, settings, start
from tests.web.helpers import LOGIN

__all__ = ["settings", "start"]  # the fixtures of a process

READY = '"event":"serving"'
IDLE = 10_000
PIPELINED = 1000
ROOM = 20
UNTAKEN = 300
ENDLESS_ONES = 100
KERNEL_BYTES = 2 * (server.RECEIVE_BYTES + server.SEND_BYTES)
"""It keeps twice of what it is asked to."""
BODY = b"Host: a\r\nContent-Type: application/json\r\n"
ASK = b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


@pytest.fixture
def served(settings: dict[str, str], start: Start) -> Running:
    running = start("serve", settings=settings)
    running.until_it_says(READY)
    return running


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process have as many sockets as the machine allows."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def connect(running: Running, *, admin: bool = False) -> socket.socket:
    port = running.settings["AUTHSVC_ADMIN_PORT" if admin else "AUTHSVC_PORT"]
    return socket.create_connection(("127.0.0.1", int(port)), timeout=60)


def greedy(running: Running) -> socket.socket:
    """Return a connection that takes next to nothing of an answer, however large its machine's memory is."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    connection.connect(("127.0.0.1", int(running.settings["AUTHSVC_PORT"])))
    return connection


def rest_of(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes, by a reset too."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while chunk := connection.recv(65_536):
            received += chunk
    return bytes(received)


def kept(running: Running) -> socket.socket:
    """Return a connection that was good for one request."""
    connection = connect(running)
    connection.sendall(ASK)
    assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
    return connection


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        connection.settimeout(60)


def memory(running: Running) -> int:
    """Return the bytes that the process has in memory."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def open_sockets(running: Running) -> int:
    """Return how many connections of clients the public port has."""
    port = f":{int(running.settings['AUTHSVC_PORT']):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {line[9] for line in lines if line[1].endswith(port) and line[3] != "0A"}
    return len(inodes - {"0"})


def unsent(running: Running) -> int:
    """Return the bytes of answers that the kernel keeps for the clients of the public port."""
    port = f":{int(running.settings['AUTHSVC_PORT']):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(line[4].partition(":")[0], 16) for line in lines if line[1].endswith(port) and line[3] != "0A")


def pending(running: Running) -> int:
    """Return how many passwords wait for their hash."""
    found = re.findall(r"^authsvc_password_hashes_(?:running|waiting) (\d+)", scrape(running), re.MULTILINE)
    return sum(map(int, found))


def scrape(running: Running) -> str:
    return running.ask("/metrics", admin=True).body.decode()


def works(running: Running) -> bool:
    return running.is_ready() and running.ask(LOGIN, CREDENTIALS).status in (200, 401)


def is_served(running: Running) -> bool:
    with contextlib.suppress(ConnectionError):
        return works(running)
    return False


def with_room_for(connections: int) -> list[str]:
    """Return the command that has file descriptors for so many connections of clients."""
    files = server.RESERVED_FILES + server.MAX_ADMIN_CONNECTIONS + 10 + connections
    return ["prlimit", f"--nofile={files}:{files}", *AUTHSVC]


@pytest.mark.usefixtures("many_files")
def test_ten_thousand_idle_connections_leave_room_for_others(
    served: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """DOS-03, ASVS 15.2.2 (slowloris, CVE-2007-6750): those that wait longest give way, and memory is bounded."""
    limit = server.connections_that_fit(Config.read(served.settings), machine.memory_limit())
    with contextlib.ExitStack() as stack:
        oldest = stack.enter_context(kept(served))
        before = memory(served)
        for _ in range(IDLE - 1):
            stack.enter_context(kept(served))
        each = (memory(served) - before) / IDLE
        newest = [stack.enter_context(kept(served)) for _ in range(max(1, limit - IDLE + 1))]
        eventually(lambda: not is_open(oldest), "the oldest gives way")
        assert all(is_open(connection) for connection in newest)
        assert works(served)
    with capsys.disabled():
        print(f"\n  {IDLE} idle connections: {each / 1024:.1f} KiB each")  # noqa: T201 - a figure of the issue
    assert each < 64 * 1024
    eventually(lambda: works(served), "all are gone, and it works")


def test_a_newcomer_is_hung_up_on_where_all_are_busy(settings: dict[str, str], start: Start) -> None:
    """DOS-03 (CWE-774): out of file descriptors it still answers those that it has, its probes and its database."""
    # A wrong password is told late: so long each of them is busy, whatever its client does.
    held = {
        "AUTHSVC_LIMITS": "off",
        "AUTHSVC_PASSWORD_QUEUE_SECONDS": "30",
        "AUTHSVC_PASSWORD_REFUSAL_SECONDS": "10",
    }
    running = start("serve", settings={**settings, **held}, command=with_room_for(ROOM))
    running.until_it_says(READY)
    assert running.ask("/api/auth/register", CREDENTIALS).status == 201
    body = json.dumps(CREDENTIALS | {"password": "not the password"}).encode()
    login = b"POST /api/auth/login HTTP/1.1\r\n" + BODY + b"Content-Length: %d\r\n\r\n" % len(body) + body
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(connect(running)) for _ in range(ROOM)]
        for connection in busy:
            connection.sendall(login)
        compared = f"\nauthsvc_password_hash_duration_seconds_count {1 + ROOM}\n"
        eventually(lambda: compared in scrape(running), "every password is compared")
        for _ in range(200):
            with connect(running) as turned_away:
                assert rest_of(turned_away) == b""
        assert running.is_ready()
        for connection in busy:
            assert connection.recv(65_536).startswith(b"HTTP/1.1 401 ")
        assert works(running), "those that have their answer give way"
    assert '"severity":"ERROR"' not in running.said, "a flood of connections must not be one of errors in the log"


@pytest.mark.parametrize("kind", ["half a body", "answers that are not taken"])
def test_who_lets_it_wait_gives_way_to_newcomers(settings: dict[str, str], start: Start, kind: str) -> None:
    """DOS-02, ASVS 15.2.2 (R-U-Dead-Yet, slow read): one client that holds all connections shuts nobody out."""
    running = start("serve", settings=settings, command=with_room_for(ROOM))
    running.until_it_says(READY)
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(running)) for _ in range(ROOM)]
        for connection in slow:
            if kind == "half a body":
                connection.sendall(SLOW[kind][0].replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
                assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
            else:
                connection.sendall(b"GET /api/docs HTTP/1.1\r\nHost: a\r\n\r\n" * 100)
        eventually(lambda: is_served(running), "a newcomer is served")
        # Not by the clock: that cuts all of them.
        assert open_sockets(running) > ROOM // 2


@pytest.mark.parametrize("path", ["/api/docs", "/api/openapi.json"])
def test_answers_that_are_not_taken_cost_little_memory(served: Running, path: str) -> None:
    """DOS-02, CWE-770, ASVS 15.2.2 (slow read): nobody holds a long answer to a short question, nor does the kernel."""
    assert len(served.ask(path).body) > 50_000
    before = memory(served)
    with contextlib.ExitStack() as stack:
        for _ in range(UNTAKEN):
            stack.enter_context(greedy(served)).sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode() * 10)
        label = f'authsvc_http_requests_total{{method="GET",route="{path}",status="2xx"}} '
        eventually(lambda: int(scrape(served).partition(label)[2].split("\n")[0]) > UNTAKEN, "all are answered")
        assert (memory(served) - before) / UNTAKEN < 200 * 1024
        assert unsent(served) / UNTAKEN < 40 * 1024


FIELDS = b"".join(b"X%d: %s\r\n" % (number, b"a" * 7000) for number in range(60))
MANY_FIELDS = b"".join(b"X%d:\r\n" % number for number in range(60))
CHUNKED = b"POST /api/auth/login HTTP/1.1\r\n" + BODY + b"Transfer-Encoding: chunked\r\n\r\n"
UNTAKEN_ONE = b"GET /api/docs HTTP/1.1\r\nHost: a\r\n"
CRUMBS = b"Transfer-Encoding: chunked\r\n\r\n" + b"2\r\nab\r\n" * 100_000
ENDLESS = {
    "a head": b"GET /login HTTP/1.1\r\nHost: a\r\n" + FIELDS,
    "a head behind others": ASK * 3 + b"GET /login HTTP/1.1\r\nHost: a\r\n" + FIELDS,
    "trailers": CHUNKED + b"0\r\n" + FIELDS,
    "an extension of a chunk": CHUNKED + b"1;" + b"a" * 1_000_000,
    "chunks": CHUNKED + b"1\r\n \r\n" * 16_000,
    "chunks that nobody reads": UNTAKEN_ONE + CRUMBS,
    "chunks of a request that waits": UNTAKEN_ONE + b"\r\nPOST /nothing HTTP/1.1\r\nHost: a\r\n" + CRUMBS,
    "requests of many fields": (b"GET / HTTP/1.1\r\nHost: a\r\n" + MANY_FIELDS + b"\r\n") * 400,
    "requests": (b"GET /api/docs HTTP/1.1\r\nHost: a\r\n" + FIELDS[:28_000] + b"\r\n\r\n") * 50,
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_does_not_end_costs_little_memory(served: Running, kind: str) -> None:
    """CWE-770, ASVS 15.2.2, RFC 6585 §5: a few hundred connections took all there was, before any other limit."""
    before = memory(served)
    with contextlib.ExitStack() as stack:
        left = {}
        for _ in range(ENDLESS_ONES):
            connection = stack.enter_context(greedy(served))
            connection.settimeout(0)
            left[connection] = memoryview(ENDLESS[kind])
        # To the end, or until nobody takes any more.
        while writable := select.select([], list(left), [], 0.5)[1]:
            for connection in writable:
                with contextlib.suppress(BlockingIOError):
                    try:
                        left[connection] = left[connection][connection.send(left[connection]) :]
                    except ConnectionError:
                        left[connection] = memoryview(b"")
                if not left[connection]:
                    del left[connection]
        assert (memory(served) - before) / ENDLESS_ONES < server.CONNECTION_BYTES - KERNEL_BYTES
        assert works(served)


def test_more_connections_than_file_descriptors_stop_neither_port(settings: dict[str, str], start: Start) -> None:
    """DOS-03 (CWE-774): a flood of them on the admin port, too."""
    running = start("serve", settings=settings, command=with_room_for(ROOM))
    running.until_it_says(READY)
    with contextlib.ExitStack() as stack:
        for _ in range(200 + ROOM):
            stack.enter_context(connect(running))
            stack.enter_context(connect(running, admin=True))
        assert works(running)
    assert works(running)


# What is sent at first, and then now and then.
SLOW = {
    "a head that does not come": (b"", b""),
    "half a head": (b"GET /login HTTP/1.1\r\nHost: a\r\n", b"X: y\r\n"),
    "blank lines": (b"\r\n", b"\r\n"),
    "half a body": (b"POST /api/auth/login HTTP/1.1\r\n" + BODY + b"Content-Length: 999\r\n\r\n{", b" "),
    "chunks of a body": (
        b"POST /api/auth/login HTTP/1.1\r\n" + BODY + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1\r\n \r\n",
    ),
    "half a body that nobody reads": (b"POST /nothing HTTP/1.1\r\n" + BODY + b"Content-Length: 999\r\n\r\n{", b" "),
}


@pytest.mark.parametrize("body", [b"zz\r\n", b"5\r\nab\r\nzz\r\n"], ids=["a size", "a length"])
def test_a_malformed_chunk_is_answered_at_once(served: Running, body: bytes) -> None:
    """RFC 9112 §7.1: it was waited for the rest of such a body, until its time was over."""
    with connect(served) as connection:
        connection.sendall(CHUNKED.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert ANSWER.findall(rest_of(connection)) == [b"400"]
    assert works(served)
    assert '"severity":"ERROR"' not in served.said


DRIP_SECONDS = 0.2
ENDS = {"half a body": [b"408"], "chunks of a body": [b"408"], "half a body that nobody reads": [b"404"]}


@pytest.mark.lasting
def test_what_drips_is_hung_up_on_and_an_idle_connection_is_kept(served: Running) -> None:
    """DOS-02, ASVS 15.2.2 (slowloris, R-U-Dead-Yet): a byte now and then buys no time, nor does a first good request.

    The limits are those of production: 10 seconds.
    """
    with contextlib.ExitStack() as stack:
        idle = stack.enter_context(kept(served))
        dripping = {
            (kind, name): stack.enter_context(begin(served))
            for kind, begin in (("first", connect), ("later", kept))
            for name, (first, drip) in SLOW.items()
            if kind == "first" or first + drip
        }
        for (_, name), connection in dripping.items():
            connection.sendall(SLOW[name][0])
        said = {each: bytearray() for each in dripping}
        while dripping:
            # Between two drips; whoever is hung up on before that is seen at once.
            select.select(list(dripping.values()), [], [], DRIP_SECONDS)
            for each, connection in list(dripping.items()):
                if not drip_once(connection, SLOW[each[1]][1], said[each]):
                    del dripping[each]
        assert is_open(idle)
        idle.sendall(ASK)
        assert idle.recv(65_536).startswith(b"HTTP/1.1 200 ")
    for (_, name), all_of_it in said.items():
        assert ANSWER.findall(all_of_it) == ENDS.get(name, []), name


def drip_once(connection: socket.socket, drip: bytes, said: bytearray) -> bool:
    """Send a little more; return whether the other side still listens."""
    connection.settimeout(0)
    try:
        connection.send(drip)
        while chunk := connection.recv(65_536):
            said += chunk
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    return False


def test_a_thousand_requests_at_once_are_answered_in_order(served: Running) -> None:
    """HTTP-08 (RFC 9112 §9.3.2): and nobody else waits for it."""
    with connect(served) as connection:
        paths = [f"/api/nothing/{number}" for number in range(PIPELINED)]
        lines = [f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: n{path[13:]}\r\n\r\n" for path in paths]
        lines[-1] = lines[-1].replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
        sender = threading.Thread(target=connection.sendall, args=("".join(lines).encode(),))
        sender.start()
        assert works(served)
        answers = rest_of(connection)
        sender.join()
    numbers = [int(each) for each in re.findall(rb"X-Request-Id: n(\d+)\r\n", answers)]
    assert numbers == list(range(PIPELINED))
    assert set(ANSWER.findall(answers)) == {b"404"}


def test_clients_that_go_away_while_their_password_is_hashed_leave_nothing_behind(
    settings: dict[str, str], start: Start
) -> None:
    """DOS-01, DOS-03 (ASVS 15.2.2): by a reset, by half an end, by a plain one."""
    running = start("serve", settings={**settings, "AUTHSVC_PASSWORD_THREADS": "1", "AUTHSVC_LIMITS": "off"})
    running.until_it_says(READY)
    assert running.ask("/api/auth/register", CREDENTIALS).status == 201
    body = json.dumps(CREDENTIALS).encode()
    login = b"POST /api/auth/login HTTP/1.1\r\n" + BODY + b"Content-Length: %d\r\n\r\n" % len(body) + body
    for number in range(30):
        with connect(running) as connection:
            connection.sendall(login)
            if number % 3 == 0:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif number % 3 == 1:
                connection.shutdown(socket.SHUT_WR)
    eventually(lambda: pending(running) == 0, "no hash is pending")
    eventually(lambda: open_sockets(running) == 0, "no connection is left")
    assert running.ask(LOGIN, CREDENTIALS).status == 200
    assert "unforeseen" not in running.said
    assert '"severity":"ERROR"' not in running.said
