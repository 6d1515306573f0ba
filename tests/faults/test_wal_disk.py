"""The disk of the write-ahead log is full: PostgreSQL itself stops then, not only who writes."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from tests.faults.conftest import Fallible, ProxiedScene, until
from tests.faults.crowd import crowded

MIB = 96
SETTINGS = ("max_wal_size = '32MB'", "min_wal_size = '32MB'")


@pytest.fixture
def log_disk(fallible: Fallible, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system that holds the server's write-ahead log, and nothing else."""
    folder, log = tmp_path_factory.mktemp("log"), fallible.rules.parent / "pg_wal"
    command = ["mount", "-t", "tmpfs", "-o", f"size={MIB}m,mode=0700,uid={fallible.uid}", "small", str(folder)]
    if os.geteuid() or subprocess.run(command, check=False).returncode:
        advice = "A full disk of the log is not tested: it takes root and the right to mount a tmpfs."
        if os.environ.get("CI") == "true":  # noqa: TID251 - the tests' own
            pytest.fail(advice)
        pytest.skip(advice)
    try:
        fallible.administer(*(f"alter system set {setting}" for setting in SETTINGS))
        fallible.server.stop()
        aside, there = log.with_name("pg_wal.aside"), folder / "pg_wal"
        subprocess.run(["cp", "--archive", log, there], check=True)
        log.rename(aside)
        log.symlink_to(there)
        fallible.server.start()
        yield folder
        fallible.server.stop()
        log.unlink()
        subprocess.run(["cp", "--archive", there, log], check=True)
        shutil.rmtree(aside)
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(ballast: Path) -> None:
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def switch(fallible: Fallible) -> bool:
    """Have the server begin another file of its log; return whether it is down."""
    with suppress(psycopg.OperationalError):
        fallible.run("select pg_switch_wal()")
        return False
    return True


async def test_a_full_disk_of_the_log_stops_the_server_and_loses_nothing_acknowledged(
    log_disk: Path, fallible: Fallible, proxied: ProxiedScene
) -> None:
    """DBF-12 (ASVS 16.5.2): it panics, and comes back once there is room and somebody has started it."""
    ballast = log_disk / "ballast"

    async def is_down() -> bool:
        await asyncio.to_thread(fill, ballast)
        return await asyncio.to_thread(switch, fallible)

    async with crowded(proxied) as crowd:
        await until(is_down, wanted=True)
        await crowd.is_refused()
        await asyncio.to_thread(ballast.unlink)
        await asyncio.to_thread(fallible.server.start)
        await proxied.until_ready()
    assert crowd.statuses.keys() <= {200, 201, 204, 401, 409, 503}
