"""Memory: refused at the start where it would not do, and never more than the sum that was shown."""

import asyncio
import os
import re
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import aiohttp
import psycopg
import pytest
from argon2.low_level import Type, hash_secret

from authsvc import machine, server
from authsvc.config import Config, DatabaseUrl
from tests.cli.conftest import AUTHSVC, CREDENTIALS, Run, Running, Start, environment

MIB = 2**20
SUM = re.compile(r"2 x 19 MiB for hashes \+ 128 MiB .* = (\d+) MiB, and it may use 200 MiB")
ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
_numbers = count(1)


@contextmanager
def container(mib: int) -> Iterator[Path | None]:
    """Lend a real cgroup with this much memory; None where this machine lets nobody make one."""
    limits = {"memory": "memory.limit_in_bytes", "": "memory.max"}
    name = f"authsvc-test-{os.getpid()}-{next(_numbers)}"
    for controller, limit in limits.items():
        folder = Path("/sys/fs/cgroup", controller, name)
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            (folder / limit).write_text(str(mib * MIB))
            yield folder
            return
        except OSError:  # v2, and the memory is not counted here
            continue
        finally:
            folder.rmdir()
    yield None


def lay_out(root: Path, mib: int) -> Path:
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{mib * MIB}\n"}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize("command", ["check-config", "serve"])
def test_an_impossible_setting_is_refused_with_the_sum_shown(
    call: Run, settings: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """DOS-01 (ASVS 15.2.2): by the files of a container."""
    monkeypatch.setattr(machine, "memory_limit", partial(machine.memory_limit, lay_out(tmp_path, 200)))
    done = call(command, settings={**settings, "AUTHSVC_PASSWORD_THREADS": "2"})
    assert done.returncode == 78
    assert SUM.search(done.stderr)


def test_a_real_container_is_asked_by_the_real_process(settings: dict[str, str], tmp_path: Path) -> None:
    given = {**settings, "AUTHSVC_PASSWORD_THREADS": "2"}
    for mib, code in ((200, 78), (400, 0)):
        with container(mib) as folder:
            if folder is None:
                assert machine.memory_limit(lay_out(tmp_path / str(mib), mib)) == mib * MIB
                continue
            done = run_in(folder, given)
        assert done.returncode == code, done.stderr
        assert bool(SUM.search(done.stderr)) is (code == 78)


def run_in(folder: Path, settings: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = ["sh", "-c", ENTER, str(folder), *AUTHSVC, "check-config"]
    return subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "mib, threads, connections",
    [
        (310, 2, server.LEAST_CONNECTIONS),
        (400, 2, server.LEAST_CONNECTIONS + 180),
        (400, 1, server.LEAST_CONNECTIONS + 218),
        (1024, 2, server.LEAST_CONNECTIONS + 1428),
        (65_536, 2, server.MAX_CONNECTIONS),
        (None, 2, server.MAX_CONNECTIONS),
    ],
)
def test_there_are_as_many_connections_as_the_memory_has_room_for(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch, mib: int | None, threads: int, connections: int
) -> None:
    """DOS-03, CWE-770, ASVS 15.2.2."""
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (1024, 20_000))
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, _limits: None)
    config = Config.read({**settings, "AUTHSVC_PASSWORD_THREADS": str(threads)})
    assert server.connections_that_fit(config, None if mib is None else mib * MIB) == connections


def test_a_storm_of_the_dearest_logins_stays_within_the_sum(
    settings: dict[str, str], start: Start, database_url: DatabaseUrl
) -> None:
    """DOS-01, ASVS 15.2.2: as many hashes at once as threads, the dear ones one after the other, and nothing more."""
    given = {
        **settings,
        "AUTHSVC_PASSWORD_THREADS": "2",
        "AUTHSVC_PASSWORD_REFUSAL_SECONDS": "0",
        "AUTHSVC_LIMITS": "off",
    }
    # 64 connections are in the 112 MiB: 20 MiB are for 40 more.
    mib = 2 * 19 + 128 + 32 + 112 + 20
    with container(mib) as folder:
        command = AUTHSVC if folder is None else ["sh", "-c", ENTER, str(folder), *AUTHSVC]
        running = start("serve", settings=given, command=command)
        running.until_it_says('"event":"serving"')
        assert folder is None or '"most_connections":104' in running.said
        assert running.ask("/api/auth/register", CREDENTIALS).status == 201
        dearest = hash_secret(b"hunter22", b"somesaltsomesalt", 2, 131_072, 16, 32, Type.ID).decode()
        with psycopg.connect(database_url.reveal()) as connection:
            connection.execute(
                "insert into users (public_id, email, password_hash, created_at, updated_at)"
                " values (gen_random_uuid(), 'dear@example.com', %s, now(), now())",
                [dearest],
            )
        statuses = asyncio.run(storm(running))
        peak = int(re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{running.process.pid}/status").read_text())[0]) / 1024
        assert statuses.keys() == {401, 503}
        assert statuses[401] > 10
        assert running.ask("/api/auth/login", CREDENTIALS).status == 200
        assert peak < mib
        running.send(signal.SIGTERM)
        assert running.ends() == 0


async def storm(running: Running) -> dict[int, int]:
    statuses: dict[int, int] = {}
    url = f"http://127.0.0.1:{running.settings['AUTHSVC_PORT']}/api/auth/login"

    async def ask(session: aiohttp.ClientSession, number: int) -> None:
        email = ("dear@example.com", CREDENTIALS["email"], "nobody@example.com")[number % 3]
        for _ in range(4):
            body = {"email": email, "password": "not the right one"}
            async with session.post(url, json=body) as response:
                statuses[response.status] = statuses.get(response.status, 0) + 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(ask(session, number) for number in range(100)))
    return statuses
