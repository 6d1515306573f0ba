"""`authsvc serve`: what it refuses to start with, what it says, and how it stops."""

import fcntl
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from authsvc import embedded
from authsvc.config import DatabaseUrl
from authsvc.store import migrations
from tests.cli.conftest import AUTHSVC, CREDENTIALS, Answer, Run, Running, Start, environment, eventually, run

READY = '"event":"serving"'
IN_FLIGHT = 12


@pytest.fixture
def served(settings: dict[str, str], start: Start) -> Running:
    """A service on a migrated database, ready."""
    running = start("serve", settings=settings)
    running.until_it_says(READY)
    return running


def gauge(running: Running, name: str) -> float:
    found = re.search(rf"^{name}(?:{{}})? (\S+)$", running.ask("/metrics", admin=True).body.decode(), re.MULTILINE)
    return float(found[1]) if found else 0


def raw(running: Running, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", int(running.settings["AUTHSVC_PORT"])), timeout=60)
    connection.sendall(request)
    return connection


def rest_of(connection: socket.socket) -> bytes:
    """Return all that comes until the other side closes."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def pending(running: Running) -> int:
    return int(sum(gauge(running, f"authsvc_password_hashes_{state}") for state in ("running", "waiting")))


def finished(logins: list[Future[Answer]]) -> int:
    return sum(each.done() for each in logins)


def login(running: Running) -> Answer:
    return running.ask("/api/auth/login", CREDENTIALS)


def test_a_bad_configuration_is_told_with_every_fault_and_ends_with_78(call: Run) -> None:
    given = {"AUTHSVC_PORT": "0", "AUTHSVC_JWT_SECRET": "short", "AUTHSVC_LOG_LEVEL": "loud", "AUTHSVC_POTR": "1"}
    done = call("serve", settings=given)
    assert done.returncode == 78
    assert done.stdout == ""
    faults = re.findall(r"^  - (\w+)", done.stderr, re.MULTILINE)
    assert sorted(faults) == sorted([*given, "AUTHSVC_DATABASE_URL"])


def test_it_is_not_ready_until_the_migrations_are_applied(
    call: Run, settings: dict[str, str], unmigrated_url: str, start: Start
) -> None:
    """DEP-16."""
    settings["AUTHSVC_DATABASE_URL"] = unmigrated_url
    running = start("serve", settings=settings)
    running.until_it_says(READY)
    assert running.readiness() == 503
    assert running.ask("/livez", admin=True).status == 200
    refused = login(running)
    assert (refused.status, "Retry-After" in refused.headers) == (503, True)
    first, second = (call("migrate", settings=settings) for _ in range(2))
    assert first.stdout.startswith("applied 0001.users\n")
    assert second.stdout == "0 applied; the database is current.\n"
    eventually(running.is_ready, "ready after the migrations")
    assert running.ask("/api/auth/register", CREDENTIALS).status == 201


def test_it_serves_as_the_role_that_migrate_made_for_it(
    call: Run, settings: dict[str, str], unmigrated_url: str, start: Start, tmp_path: Path
) -> None:
    settings["AUTHSVC_DATABASE_URL"] = unmigrated_url
    password = tmp_path / "password"
    password.write_text("open sesame\n")
    refused = call("migrate", "--service-role", "serving", settings=settings)
    assert (refused.returncode, refused.stderr) == (
        1,
        "authsvc: There is no role serving: create it, or name a file with its password, to have it created.\n",
    )
    made = call("migrate", "--service-role", "serving", "--service-password-file", password, settings=settings)
    assert made.stdout == "0 applied; the database is current.\nserving may do what the service needs.\n"
    try:
        settings["AUTHSVC_DATABASE_URL"] = unmigrated_url.replace("authsvc@", "serving:open%20sesame@")
        running = start("serve", settings=settings)
        running.until_it_says(READY)
        eventually(running.is_ready, "ready, as that role")
        assert running.ask("/api/auth/register", CREDENTIALS).status == 201
        assert login(running).status == 200
        swept = call("sweep", settings=settings)
        assert swept.returncode == 1
        assert swept.stderr.startswith("authsvc: The role may not use the tables: grant it")
        running.send(signal.SIGTERM)
        assert running.ends() == 0
    finally:
        with psycopg.connect(unmigrated_url, autocommit=True) as connection:
            connection.execute("drop owned by serving")
            connection.execute("drop role serving")


def test_it_waits_for_a_database_that_is_not_there_yet(
    call: Run, settings: dict[str, str], start: Start, tmp_path: Path
) -> None:
    """DEP-16."""
    settings["AUTHSVC_DATABASE_URL"] = f"postgresql://authsvc@/authsvc?host={tmp_path}"
    running = start("serve", settings=settings)
    running.until_it_says(READY)
    assert running.readiness() == 503
    failed = call("migrate", settings=settings)
    assert failed.returncode == 1
    assert re.fullmatch(r"authsvc: The database at .* cannot be reached \(OperationalError\)\.\n", failed.stderr)


@pytest.mark.parametrize(
    "path, admin", [("/livez", False), ("/readyz", False), ("/metrics", False), ("/", True), ("/api/auth/me", True)]
)
def test_no_route_of_one_port_is_on_the_other(served: Running, path: str, *, admin: bool) -> None:
    """MET-03 (ASVS 13.4.5)."""
    assert served.ask(path, admin=admin).status == 404
    assert served.ask(path, admin=not admin).status != 404


def test_logins_in_flight_finish_while_readyz_says_503(settings: dict[str, str], start: Start) -> None:
    """PWD-11, DEP-08."""
    slow = {
        "AUTHSVC_PASSWORD_PROFILE": "rfc9106-64mib",
        "AUTHSVC_PASSWORD_THREADS": "1",
        "AUTHSVC_PASSWORD_QUEUE_SECONDS": "60",
        "AUTHSVC_SHUTDOWN_SECONDS": "60",
    }
    # More of one account at once than the limits grant; and that they are off is said at the start.
    running = start("serve", settings={**settings, **slow, "AUTHSVC_LIMITS": "off"})
    assert '"limits_off"' in running.until_it_says(READY)
    assert running.ask("/api/auth/register", CREDENTIALS).status == 201
    with ThreadPoolExecutor(IN_FLIGHT) as threads:
        logins = [threads.submit(login, running) for _ in range(IN_FLIGHT)]
        eventually(lambda: finished(logins) + pending(running) == IN_FLIGHT, "all are done or wait for their hash")
        running.send(signal.SIGTERM)
        eventually(lambda: running.readiness() == 503, "draining")
        assert not all(each.done() for each in logins)
        assert [each.result().status for each in logins] == [200] * IN_FLIGHT
    assert running.ends() == 0
    assert running.said.endswith("}\n")


def test_a_body_that_is_still_on_its_way_is_read_to_its_end(served: Running) -> None:
    body = json.dumps(CREDENTIALS).encode()
    head = (
        f"POST /api/auth/register HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    with raw(served, f"{head}\r\nExpect: 100-continue\r\n\r\n".encode()) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        served.send(signal.SIGTERM)
        # The listening socket closes when the service begins to wait for what is in flight.
        eventually(lambda: is_closed(served), "it listens no more")
        connection.sendall(body)
        answer = rest_of(connection)
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b"\r\nConnection: close\r\n" in answer
    assert served.ends() == 0


def test_an_export_that_is_still_being_sent_is_sent_to_its_end(
    settings: dict[str, str], start: Start, database_url: DatabaseUrl
) -> None:
    """DEP-08 (ASVS 16.5.2): a client that reads slowly has the last chunk, too."""
    running = start("serve", settings={**settings, "AUTHSVC_SHUTDOWN_SECONDS": "60"})
    running.until_it_says(READY)
    assert running.ask("/api/auth/register", CREDENTIALS).status == 201
    token = login(running).json()["access_token"]
    with psycopg.connect(database_url.reveal()) as connection:
        row = connection.execute("select * from journal limit 1")
        names = ", ".join(column.name for column in row.description or () if column.name != "id")
        connection.execute(
            f"insert into journal ({names}) select {names} from journal, generate_series(1, 50000)".encode()  # noqa: S608 - names of columns
        )
    request = f"GET /api/auth/me/export HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n"
    with raw(running, request.encode()) as connection:
        assert connection.recv(13) == b"HTTP/1.1 200 "
        running.send(signal.SIGTERM)
        eventually(lambda: is_closed(running), "it listens no more")
        time.sleep(1.5)  # longer than aiohttp's own way down waits; a slower client finds nothing else
        answer = rest_of(connection)
    assert answer.endswith(b"]}\r\n0\r\n\r\n")
    assert running.ends() == 0


def test_an_answer_that_waits_for_its_client_is_sent_to_its_end(settings: dict[str, str], start: Start) -> None:
    """DEP-08 (ASVS 16.5.2): it is made and handed over, and the client is slower than the way down."""
    running = start("serve", settings={**settings, "AUTHSVC_SHUTDOWN_SECONDS": "60"})
    running.until_it_says(READY)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", int(running.settings["AUTHSVC_PORT"])))
        connection.sendall(b"GET /api/openapi.json HTTP/1.1\r\nHost: a\r\n\r\n")
        head = connection.recv(13)
        running.send(signal.SIGTERM)
        eventually(lambda: is_closed(running), "it listens no more")
        time.sleep(1.5)  # a slower client finds nothing else
        head, _, body = (head + rest_of(connection)).partition(b"\r\n\r\n")
    assert f"content-length: {len(body)}\r\n".encode() in head.lower() + b"\r\n"
    assert running.ends() == 0


def is_closed(running: Running) -> bool:
    try:
        raw(running, b"").close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it closed meanwhile: the next one is refused
        pass
    return False


def test_a_request_that_never_ends_is_cut_after_the_time_for_those_in_flight(
    settings: dict[str, str], start: Start
) -> None:
    running = start("serve", settings={**settings, "AUTHSVC_SHUTDOWN_SECONDS": "0.1"})
    running.until_it_says(READY)
    head = b"POST /api/auth/register HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n"
    with raw(running, head + b"Expect: 100-continue\r\n\r\n") as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
        running.send(signal.SIGTERM)
        assert running.ends() == 0


def test_an_idle_connection_is_closed_and_a_busy_one_is_told_to_go(settings: dict[str, str], start: Start) -> None:
    running = start("serve", settings={**settings, "AUTHSVC_DRAIN_SECONDS": "60"})
    running.until_it_says(READY)
    connection = http.client.HTTPConnection("127.0.0.1", int(settings["AUTHSVC_PORT"]), timeout=60)
    connection.request("GET", "/login")
    assert connection.getresponse().read()
    running.send(signal.SIGTERM)
    eventually(lambda: running.readiness() == 503, "draining")
    connection.request("GET", "/login")
    last = connection.getresponse()
    assert (last.status, last.headers["Connection"]) == (200, "close")
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_connection_does_not_keep_it_from_ending(served: Running, number: signal.Signals) -> None:
    with raw(served, b"GET /login HTTP/1.1\r\nHost: a\r\n\r\n") as connection:
        assert connection.recv(9) == b"HTTP/1.1 "
        served.send(number, number)
        rest_of(connection)
        assert served.ends() == 0
    assert "Traceback" not in served.said


@pytest.mark.lasting
def test_a_client_that_never_ends_its_head_or_its_body_is_hung_up_on(served: Running) -> None:
    """DOS-02. The limits are those of production: 10 seconds."""
    half = b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9"
    with raw(served, half) as silent, raw(served, half + b"\r\n\r\n{") as dripping, raw(served, b"") as mute:
        assert rest_of(silent) == b""
        assert rest_of(mute) == b""
        assert rest_of(dripping).startswith(b"HTTP/1.1 408 ")
    assert served.is_ready()


def test_a_reader_of_its_output_that_went_away_fails_no_request_and_no_stop(settings: dict[str, str]) -> None:
    """LGX-07."""
    process = subprocess.Popen(
        [*AUTHSVC, "serve"], env=environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert READY in process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        ask = _Asker(settings)
        assert ask.ask("/api/auth/register", CREDENTIALS).status == 201
        assert ask.ask("/api/auth/login", CREDENTIALS).status == 200
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, "")
    finally:
        process.kill()
        process.communicate()


def test_a_reader_of_its_output_that_takes_nothing_blocks_no_request_and_no_stop(settings: dict[str, str]) -> None:
    """LGX-07, DOS-15: a real pipe, full."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([*AUTHSVC, "serve"], env=environment(settings), stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    try:
        ask = _Asker(settings)
        eventually(ask.is_ready, "ready")
        assert [ask.ask("/api/nothing").status for _ in range(100)] == [404] * 100
        with raw(ask, b"GET /api/nothing HTTP/1.1\r\nHost: a\r\n\r\n") as connection:
            assert connection.recv(9) == b"HTTP/1.1 "
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        assert (process.returncode, said) == (0, b"")
        with os.fdopen(reading, "rb") as pipe:
            assert READY.encode() in pipe.readline()
    finally:
        process.kill()
        process.communicate()


class _Asker(Running):
    """Asks a service that somebody else runs."""

    def __init__(self, settings: dict[str, str]) -> None:
        self.settings = settings


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[embedded.Server]:
    """A database that a test may stop."""
    with embedded.serve(tmp_path / "own", durable=False) as server:
        migrations.apply(DatabaseUrl(server.url))
        yield server


def test_the_log_of_a_whole_session_is_json_with_the_request_ids_and_holds_no_secret(
    settings: dict[str, str], start: Start, own_server: embedded.Server
) -> None:
    """LGX-01, LGX-06 (ASVS 14.2.4)."""
    settings |= {"AUTHSVC_DATABASE_URL": own_server.url, "AUTHSVC_LOG_LEVEL": "debug"}
    running = start("serve", settings=settings)
    running.until_it_says(READY)
    token, answers = session(running)
    with psycopg.connect(own_server.url) as connection:
        row = connection.execute("select password_hash from users").fetchone()
    own_server.stop()
    answers.append(login(running))
    own_server.start()
    answers.append(eventually(lambda: ok(login(running)), "the database is back"))
    assert [answer.status for answer in answers] == [201, 200, 200, 200, 401, 401, 422, 400, 303, 503, 200]
    running.send(signal.SIGTERM)
    assert running.ends() == 0

    lines = [json.loads(line) for line in running.said.splitlines()]
    logged = {line["request_id"] for line in lines if line["event"] == "request"}
    assert {answer.headers["X-Request-Id"] for answer in answers} <= logged
    assert {"chosen-by-the-client"} <= logged
    cookies = [answer.headers.get("Set-Cookie", "").partition(";")[0].partition("=")[2] for answer in answers]
    forbidden = [
        *CREDENTIALS.values(), "not the password", "SECRET", token, token.split(".")[0], *filter(None, cookies),
        str(row and row[0]), "argon2", "@", own_server.url, "postgresql:", "host=", "eyJ", "Traceback",
    ]  # fmt: skip
    assert [each for each in forbidden if each in running.said] == []


def ok(answer: Answer) -> Answer | None:
    return answer if answer.status == 200 else None


def session(running: Running) -> tuple[str, list[Answer]]:
    """Do what people and attackers do; return a good token and the answers."""
    registered = running.ask("/api/auth/register", CREDENTIALS)
    logged_in = login(running)
    token = logged_in.json()["access_token"]
    page = running.ask("/login?next=/account%3FSECRET")
    cookie = page.headers["Set-Cookie"].partition(";")[0]
    form_token = re.search(r'name="(\w+)" value="([^"]+)"', page.body.decode())
    assert form_token
    fields = f"email=ada%40example.com&password=correct+horse+battery+staple&{form_token[1]}={form_token[2]}"
    bad_json = running.ask("/api/auth/login", b"SECRET")
    with raw(running, b"GET / HTTP/1.1\r\nHost: a\r\nCookie: session=SECRET\x00\r\n\r\n") as connection:
        assert rest_of(connection).split()[1] == b"400"
    with raw(running, b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + b"SECRET" * 2000 + b"\r\n\r\n") as long:
        assert rest_of(long).split()[1] == b"400"
    return token, [
        registered,
        logged_in,
        running.ask(
            "/api/auth/me", headers={"Authorization": f"Bearer {token}", "X-Request-Id": "chosen-by-the-client"}
        ),
        page,
        running.ask("/api/auth/login", {**CREDENTIALS, "password": "not the password"}),
        running.ask("/api/auth/me", headers={"Authorization": "Bearer SECRET.SECRET.SECRET"}),
        running.ask("/api/auth/register", {"email": "SECRET", "password": "SECRET", "SECRET": ""}),
        bad_json,
        running.ask(
            "/login",
            fields.encode(),
            {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie},
        ),
    ]


def test_it_will_not_run_on_aiohttps_slow_parser(settings: dict[str, str]) -> None:
    """HTTP-01: the strictness that was tested is that of the C parser."""
    done = run("serve", settings={**settings, "AIOHTTP_NO_EXTENSIONS": "1"})
    assert done.returncode == 1
    assert done.stderr.startswith("authsvc: aiohttp runs without its C parser: ")
