"""What the drill is played on: PostgreSQL, a way to it, two instances and HAProxy before them, all on this machine."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, urlsplit

import aiohttp
import psycopg

from authsvc import config, embedded, key_sets
from authsvc.store import migrations
from drills import network
from drills.network import Network
from drills.ports import free_ports
from drills.relay import Relay
from drills.serve import PROFILE

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "haproxy.cfg"
UNPACKED = ROOT / "build" / "haproxy"
HAPROXIES = ("haproxy", "/usr/sbin/haproxy", str(UNPACKED / "usr" / "sbin" / "haproxy"))
PATIENCE_SECONDS = 60
RELAYED = "postgresql://authsvc@{host}:{port}/authsvc?sslmode=disable"
REFUSING = """
defaults
    mode http
    timeout client 30s
frontend refusing
    bind 127.0.0.1:{port}
    http-request return status 200 if {{ path /ready }}
    http-request return status 503 content-type text/plain string busy hdr Retry-After 1
"""
DISK_MIB = 320
POSTGRES = {
    "max_connections": "60",
    # Small, so that the small disk holds them.
    "max_wal_size": "64MB",
    "min_wal_size": "32MB",
}


class StageError(Exception):
    """The drill cannot be played here; the message is one sentence that says what to do."""


@dataclass
class Instance:
    """`authsvc serve` on ports of its own."""

    url: str
    admin_url: str
    command: Sequence[str]
    environ: Mapping[str, str]
    log: Path
    process: "subprocess.Popen[bytes] | None" = None

    async def start(self) -> None:
        """Start it, and return when it is ready."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: ASYNC220 - a fork, and no wait
                [sys.executable, *self.command],
                env=self.environ,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                # A Ctrl-C is for us, who put all away in order.
                start_new_session=True,
            )
        await until_answered(f"{self.admin_url}/readyz", self.process)

    async def end(self, number: signal.Signals) -> None:
        """Send it a signal, and return when it is gone."""
        if self.process is not None:
            self.process.send_signal(number)
            await asyncio.to_thread(self.process.wait)


@dataclass
class Stage:
    """Everything that the faults can be done to."""

    folder: Path
    server: embedded.Server
    network: Network
    instances: list[Instance]
    url: str
    disk: Path | None
    """The small file system that PostgreSQL lies on; None where none could be mounted."""
    _stack: AsyncExitStack = field(repr=False)

    @classmethod
    @asynccontextmanager
    async def up(cls, *, is_measured: bool = False) -> AsyncIterator[Self]:
        """Lend it, and take all of it down at the end.

        Where a rate is measured, passwords cost what they cost, and PostgreSQL is reached past the relay, which shares
        the event loop with who measures.

        Raises:
            StageError: there is no HAProxy.
            EmbeddedError: there is no PostgreSQL.
        """
        haproxy = _haproxy()
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(temporary_folder())
            disk = stack.enter_context(_small_disk(folder / "disk"))
            home = disk or folder / "disk"
            server = await asyncio.to_thread(stack.enter_context, embedded.serve(home, settings=POSTGRES))
            await asyncio.to_thread(migrations.apply, config.DatabaseUrl(server.url))
            listening, link = await asyncio.to_thread(stack.enter_context, network.made())
            host, port = listening.getsockname()
            relay = await stack.enter_async_context(Relay(_socket_of(server)).listening(listening))
            database_url = server.url if is_measured else RELAYED.format(host=host, port=port)
            command = ["-m", "authsvc", "serve"] if is_measured else ["-m", "drills.serve"]
            # All clients come from one address.
            settings = {"AUTHSVC_DATABASE_URL": database_url, "AUTHSVC_LIMITS": "off"}
            if not is_measured:
                settings["AUTHSVC_PASSWORD_PROFILE"] = PROFILE
            environ = environ_of(folder, settings)
            instances = [instance_of(folder, number, command, environ) for number in range(2)]
            for instance in instances:
                stack.push_async_callback(stop, instance)
            await asyncio.gather(*(instance.start() for instance in instances))
            url = await _proxy(stack, folder, haproxy, instances)
            yield cls(folder, server, Network(relay, link), instances, url, disk, stack)

    @contextmanager
    def administering(self) -> Iterator[psycopg.Connection]:
        """Lend an administrator's connection, past the relay."""
        with psycopg.connect(self.server.url, autocommit=True) as connection:
            yield connection

    async def refusing(self) -> str:
        """Return the URL of what refuses every request, at next to no cost."""
        (port,) = free_ports(1)
        url = f"http://127.0.0.1:{port}"
        await _serve(self._stack, self.folder, _haproxy(), REFUSING.format(port=port), f"{url}/ready")
        return url

    def answers(self) -> bool:
        """Tell whether the database takes connections."""
        with suppress(psycopg.OperationalError), psycopg.connect(self.server.url, connect_timeout=2):
            return True
        return False


async def until_answered(url: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait for a 200.

    Raises:
        StageError: the process ended, or took too long.
    """
    async with aiohttp.ClientSession() as http, asyncio.timeout(PATIENCE_SECONDS):
        while True:
            if process.poll() is not None:
                raise StageError(f"{url} does not answer: its process ended with {process.returncode}.")
            with suppress(aiohttp.ClientError):
                async with http.get(url) as response:
                    if response.ok:
                        return
            await asyncio.sleep(0.02)


def environ_of(folder: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of both instances."""
    keys = folder / "keys.json"
    keys.write_text(json.dumps({"keys": [key_sets.generate_key("ES256")]}))
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")},  # noqa: TID251 - a command of its own
        "AUTHSVC_JWT_KEYS_FILE": str(keys),
        "AUTHSVC_JWT_ISSUER": "http://127.0.0.1:8000",
        "AUTHSVC_LOG_FORMAT": "json",
        # What was ended is used again at the end: it must not have expired by then.
        "AUTHSVC_ACCESS_TOKEN_SECONDS": "7200",
        **settings,
    }


def instance_of(folder: Path, number: int, command: Sequence[str], environ: Mapping[str, str]) -> Instance:
    """Return an instance on free ports; it is not started."""
    port, admin_port = free_ports(2)
    ports = {"AUTHSVC_PORT": str(port), "AUTHSVC_ADMIN_PORT": str(admin_port)}
    log = folder / f"instance-{number}.log"
    return Instance(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}", command, {**environ, **ports}, log)


async def stop(instance: Instance) -> None:
    """End an instance as an administrator does, if it runs."""
    if instance.process is not None and instance.process.poll() is None:
        await instance.end(signal.SIGTERM)


def _socket_of(server: embedded.Server) -> str:
    query = parse_qs(urlsplit(server.url).query)
    return f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"


def _haproxy() -> str:
    for place in HAPROXIES:
        if found := shutil.which(place):
            return found
    raise StageError("There is no HAProxy: run tests/install-haproxy, or install it (apt-get install haproxy).")


async def _proxy(stack: AsyncExitStack, folder: Path, haproxy: str, instances: Sequence[Instance]) -> str:
    (port,) = free_ports(1)
    example = EXAMPLE.read_text("utf-8")
    replaced = {"bind 127.0.0.1:8000": f"bind 127.0.0.1:{port}"}
    for number, instance in enumerate(instances):
        public, admin = urlsplit(instance.url).port, urlsplit(instance.admin_url).port
        replaced[f"127.0.0.1:{8080 + number} port {9090 + number}"] = f"127.0.0.1:{public} port {admin}"
    for given, ours in replaced.items():
        if example.count(given) != 1:
            raise StageError(f"{EXAMPLE} has not exactly one {given!r}: mend it.")
        example = example.replace(given, ours)
    url = f"http://127.0.0.1:{port}"
    await _serve(stack, folder, haproxy, example, f"{url}/.well-known/jwks.json")
    return url


async def _serve(stack: AsyncExitStack, folder: Path, haproxy: str, text: str, answers: str) -> None:
    """Run an HAProxy with this configuration until the stack ends; return when it answers at a URL."""
    path = folder / f"haproxy-{urlsplit(answers).port}.cfg"
    path.write_text(text)
    libraries = ":".join(str(each) for each in UNPACKED.glob("usr/lib/*-linux-*"))
    environ = {"PATH": os.defpath, "LD_LIBRARY_PATH": libraries}
    with path.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen([haproxy, "-db", "-f", str(path)], env=environ, stdout=log, stderr=log)  # noqa: ASYNC220 - a fork, and no wait
    stack.callback(_end(process))
    await until_answered(answers, process)


def _end(process: "subprocess.Popen[bytes]") -> Callable[[], None]:
    def end() -> None:
        process.terminate()
        process.wait()

    return end


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Make a folder that PostgreSQL's own user may pass through."""
    with tempfile.TemporaryDirectory(prefix="authsvc-drill-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


@contextmanager
def _small_disk(path: Path) -> Iterator[Path | None]:
    """Mount a small file system, where that is allowed."""
    path.mkdir()
    path.chmod(0o711)
    options = ["-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0711", "authsvc-drill", str(path)]
    mount = shutil.which("mount")
    with ExitStack() as stack:
        is_mounted = (
            mount is not None
            and os.geteuid() == 0
            and subprocess.run([mount, *options], capture_output=True, check=False).returncode == 0
        )
        if is_mounted:
            stack.callback(subprocess.run, ["umount", "--lazy", str(path)], check=False)
        yield path if is_mounted else None
