"""What is measured: PostgreSQL, instances of the service as in production, and their bare counterparts."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from authsvc import embedded, key_sets
from authsvc.config import DatabaseUrl
from authsvc.store import migrations
from drills.ports import free_ports

PASSWORD = "correct horse battery staple"  # noqa: S105 - it protects nothing
CREDENTIALS = {"email": "ada@example.com", "password": PASSWORD}
# Those who log in as load: so many that none of them comes near the most sessions of one account.
CROWD = [f"load{number}@example.com" for number in range(96)]


@dataclass(frozen=True)
class Effort:
    """How long and how often each pair is measured."""

    seconds: int
    rounds: int

    def turns(self) -> Iterator[int]:
        """Count the rounds."""
        yield from range(self.rounds)


@dataclass(frozen=True)
class Instance:
    """A running instance."""

    url: str
    admin_url: str
    pid: int

    def memory(self, kind: str = "VmRSS") -> int:
        """Return its resident memory in bytes; the most there ever was for `VmHWM`."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{kind}:"))


@dataclass(frozen=True)
class Stage:
    """A database with one account, one instance, a bare counterpart, and room for more."""

    effort: Effort
    folder: Path
    database_url: str
    keys: str
    service: Instance
    bare: str
    subject: str
    token: str
    _stack: ExitStack

    @classmethod
    @contextmanager
    def up(cls, effort: Effort) -> Iterator[Self]:
        """Lend it, and take all of it down at the end."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            settings = {"max_connections": "100"}
            server = stack.enter_context(embedded.serve(folder / "pg", settings=settings))
            migrations.apply(DatabaseUrl(server.url))
            keys = json.dumps({"keys": [key_sets.generate_key("ES256")]})
            service = _instance(stack, server.url, keys)
            user = post(f"{service.url}/api/auth/register", CREDENTIALS)
            token = post(f"{service.url}/api/auth/login", CREDENTIALS)["access_token"]
            for email in CROWD:
                post(f"{service.url}/api/auth/register", {"email": email, "password": PASSWORD})
            (port,) = free_ports(1)
            bare = f"http://127.0.0.1:{port}"
            command = [sys.executable, "-m", "bench.bare", server.url, user["id"], str(port)]
            _process(stack, command, {}, f"{bare}/204")
            yield cls(effort, folder, server.url, keys, service, bare, user["id"], token, stack)

    @property
    def bearer(self) -> str:
        """The header that carries the account's token."""
        return f"Authorization: Bearer {self.token}"

    @contextmanager
    def another(self, settings: Mapping[str, str] | None = None) -> Iterator[Instance]:
        """Lend another instance on the same database."""
        with ExitStack() as stack:
            yield _instance(stack, self.database_url, self.keys, settings)

    def script(self, name: str, text: str) -> Path:
        """Write a script for wrk, and return its path."""
        path = self.folder / name
        path.write_text(text)
        return path


def post(url: str, body: Mapping[str, str] | None = None, token: str | None = None) -> Any:
    """Send JSON; return the JSON of the answer, or None where it has no body."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url, json.dumps(body or {}).encode(), headers)  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return json.loads(response.read() or b"null")


def _instance(stack: ExitStack, database_url: str, keys: str, settings: Mapping[str, str] | None = None) -> Instance:
    port, admin_port = free_ports(2)
    environ = {
        "AUTHSVC_DATABASE_URL": database_url,
        "AUTHSVC_JWT_KEYS": keys,
        "AUTHSVC_JWT_ISSUER": "http://127.0.0.1:8080",
        "AUTHSVC_PORT": str(port),
        "AUTHSVC_ADMIN_PORT": str(admin_port),
        "AUTHSVC_LOG_FORMAT": "json",
        "AUTHSVC_LIMITS": "off",
        **(settings or {}),
    }
    admin_url = f"http://127.0.0.1:{admin_port}"
    pid = _process(stack, [sys.executable, "-m", "authsvc", "serve"], environ, f"{admin_url}/readyz")
    return Instance(f"http://127.0.0.1:{port}", admin_url, pid)


def _process(stack: ExitStack, command: list[str], environ: Mapping[str, str], ready_url: str) -> int:
    """Run a server as in production: its log goes to a file, every line of it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}  # noqa: TID251 - a command of its own
    log = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
    process = subprocess.Popen(command, env={**inherited, **environ}, stdout=log)

    def stop() -> None:
        process.terminate()
        process.wait(30)

    stack.callback(stop)
    _wait_for(ready_url, process)
    return process.pid


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{url} does not answer") from error
            time.sleep(0.05)
