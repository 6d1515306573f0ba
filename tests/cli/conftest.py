"""The command line as an operator meets it: real processes, on ports and databases of their own."""

import http.client
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from authsvc import __main__, embedded, resources
from authsvc.config import DatabaseUrl
from drills import ports
from tests.conftest import SIGNING_KEYS

Run = Callable[..., "subprocess.CompletedProcess[str]"]
AUTHSVC = [sys.executable, "-m", "authsvc"]
PATIENCE = 60
CREDENTIALS = {"email": "ada@example.com", "password": "correct horse battery staple"}
_unmigrated = count(1)


def eventually(condition: Callable[[], Any], what: str) -> Any:
    """Return what `condition` returns once it is true."""
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.02)
    return found


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return our environment with exactly these settings of the service."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}  # noqa: TID251 - a child inherits it
    return {**ours, **settings}


def run(
    *arguments: str | Path, settings: Mapping[str, str], stdin: str | bytes = "", cwd: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    given = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [*AUTHSVC, *arguments],
        env=environment(settings),
        input=given,
        capture_output=True,
        check=False,
        cwd=cwd,
        start_new_session=True,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run a command to its end in this process: for the many cases that differ in their input alone."""
    resources.common_passwords()  # read once, and not on a loop that is watched

    def begin(
        *arguments: str | Path, settings: Mapping[str, str], stdin: str | bytes = ""
    ) -> "subprocess.CompletedProcess[str]":
        given = stdin.encode() if isinstance(stdin, str) else stdin
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("AUTHSVC_")]:  # noqa: TID251 - as in `environment`
                patch.delenv(name)
            for name, value in settings.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["authsvc", *map(str, arguments)])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
            with pytest.raises(SystemExit) as ended:
                __main__.main()
        said = capsysbinary.readouterr()
        return subprocess.CompletedProcess(
            arguments, int(ended.value.code or 0), said.out.decode(), said.err.decode("utf-8", "surrogateescape")
        )

    return begin


def free_ports() -> dict[str, str]:
    """Return the settings of two ports that nobody uses."""
    return dict(zip(("AUTHSVC_PORT", "AUTHSVC_ADMIN_PORT"), map(str, ports.free_ports(2)), strict=True))


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A command that runs until it is stopped; what it says goes to a file."""

    def __init__(self, command: list[str], settings: Mapping[str, str], said: Path, cwd: Path) -> None:
        self.settings = settings
        self._said = said
        with said.open("ab") as output:
            self.process = subprocess.Popen(
                command,
                env=environment(settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._said.read_text()

    def until_it_says(self, text: str) -> str:
        def says() -> bool:
            assert self.process.poll() is None or text in self.said, self.said
            return text in self.said

        eventually(says, text)
        return self.said

    def send(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            self.process.send_signal(number)

    def ends(self) -> int:
        """Wait for its end; return the exit code."""
        return self.process.wait(PATIENCE)

    def ask(
        self, path: str, body: object = None, headers: Mapping[str, str] | None = None, *, admin: bool = False
    ) -> Answer:
        """GET, or POST where there is a body."""
        port = int(self.settings["AUTHSVC_ADMIN_PORT" if admin else "AUTHSVC_PORT"])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        given = {"Content-Type": "application/json", **(headers or {})}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            connection.request("GET" if body is None else "POST", path, data, given)
            response = connection.getresponse()
            return Answer(response.status, dict(response.headers.items()), response.read())
        finally:
            connection.close()

    def is_ready(self) -> bool:
        return self.readiness() == 200

    def readiness(self) -> int | None:
        """Return the status of /readyz, or None where nobody listens."""
        with suppress(OSError, http.client.HTTPException):
            return self.ask("/readyz", admin=True).status
        return None


Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a command; the test's end kills it."""
    with ExitStack() as unwinding:
        numbers = count(1)

        def begin(*arguments: str, settings: Mapping[str, str], command: list[str] = AUTHSVC) -> Running:
            running = Running([*command, *arguments], settings, tmp_path / f"said-{next(numbers)}.txt", tmp_path)
            unwinding.callback(running.process.wait)
            unwinding.callback(running.process.kill)
            return running

        yield begin


@pytest.fixture
def settings(database_url: DatabaseUrl) -> dict[str, str]:
    """What `authsvc serve` needs, on a migrated database."""
    return {
        "AUTHSVC_DATABASE_URL": database_url.reveal(),
        "AUTHSVC_JWT_KEYS": SIGNING_KEYS,
        "AUTHSVC_LOG_FORMAT": "json",
        "AUTHSVC_DRAIN_SECONDS": "0",
        **free_ports(),
    }


@pytest.fixture
def unmigrated_url(postgres: embedded.Server) -> str:
    """The URL of an empty database."""
    name = f"unmigrated_{next(_unmigrated)}"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"create database {name}".encode())
    return postgres.url_of(name)
