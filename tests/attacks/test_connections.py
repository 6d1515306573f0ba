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

from authsvc import server
from tests.cli.conftest import AUTHSVC, CREDENTIALS, Running, Start, eventually, settings, start
from tests.web.helpers import LOGIN

__all__ = ["settings", "start"]  # the fixtures of a process

READY = '"event":"serving"'
IDLE = 10_000
PIPELINED = 1000
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


def pending(running: Running) -> int:
    """Return how many passwords wait for their hash."""
    found = re.findall(r"^authsvc_password_hashes_(?:running|waiting) (\d+)", scrape(running), re.MULTILINE)
    return sum(map(int, found))


def scrape(running: Running) -> str:
    return running.ask("/metrics", admin=True).body.decode()


def works(running: Running) -> bool:
    return running.is_ready() and running.ask(LOGIN, CREDENTIALS).status in (200, 401)


@pytest.mark.usefixtures("many_files")
def test_ten_thousand_idle_connections_leave_room_for_others(
    served: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    """DOS-03, ASVS 15.2.2 (slowloris, CVE-2007-6750): those that wait longest give way, and memory is bounded."""
    limit = server.connections_that_fit(pool_size=10)
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
    """DOS-03: with all file descriptors in use it still answers those that it has, its probes and its database."""
    files = server.RESERVED_FILES + server.MAX_ADMIN_CONNECTIONS + 10 + 20
    running = start("serve", settings=settings, command=["prlimit", f"--nofile={files}:{files}", *AUTHSVC])
    running.until_it_says(READY)
    assert running.ask("/api/auth/register", CREDENTIALS).status == 201
    head = b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
    body = json.dumps(CREDENTIALS).encode()
    with contextlib.ExitStack() as stack:
        busy = [stack.enter_context(connect(running)) for _ in range(20)]
        for connection in busy:
            connection.sendall(head % len(body) + b"Expect: 100-continue\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        for _ in range(2 * files):
            with connect(running) as turned_away:
                assert rest_of(turned_away) == b""
        assert running.is_ready()
        for connection in busy:
            connection.sendall(body)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert works(running), "those that have their answer give way"


def test_more_connections_than_file_descriptors_stop_neither_port(settings: dict[str, str], start: Start) -> None:
    """DOS-03: a flood of them on the admin port, too."""
    files = server.RESERVED_FILES + server.MAX_ADMIN_CONNECTIONS + 10 + 20
    running = start("serve", settings=settings, command=["prlimit", f"--nofile={files}:{files}", *AUTHSVC])
    running.until_it_says(READY)
    with contextlib.ExitStack() as stack:
        for _ in range(files):
            stack.enter_context(connect(running))
            stack.enter_context(connect(running, admin=True))
        assert works(running)
    assert works(running)


BODY = b"Host: a\r\nContent-Type: application/json\r\n"
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
    """HTTP-08: and nobody else waits for it."""
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
