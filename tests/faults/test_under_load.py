"""Faults while people register, log in, renew and log out.

Whoever asks is answered as documented or told to come back; what was acknowledged holds; who needs no database notices
nothing; and once the fault is over everything goes on by itself.
"""

import asyncio
import io
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.faults.conftest import Fallible, ProxiedScene
from tests.faults.crowd import Crowd, crowded
from tests.faults.proxy import Proxy
from tests.faults.test_database import CUT, closed, full, lasting, locked, read_only, suspended

During = Callable[[Crowd], Awaitable[None]]
Fault = Callable[[Fallible, Proxy], AbstractAsyncContextManager[During]]


async def refused(crowd: Crowd) -> None:
    await crowd.is_refused()


async def slow(crowd: Crowd) -> None:
    await crowd.all_go_round()


@asynccontextmanager
async def restarted(fallible: Fallible, _proxy: Proxy) -> AsyncIterator[During]:
    await asyncio.to_thread(fallible.server.stop)
    await asyncio.to_thread(fallible.server.start)
    yield slow


@asynccontextmanager
async def crashed(fallible: Fallible, _proxy: Proxy) -> AsyncIterator[During]:
    await asyncio.to_thread(fallible.server.kill)
    yield refused
    await asyncio.to_thread(fallible.server.start)


@asynccontextmanager
async def killed_at_random(fallible: Fallible, _proxy: Proxy) -> AsyncIterator[During]:
    async def kill(crowd: Crowd) -> None:
        for _kill in range(20):
            await asyncio.to_thread(fallible.run, f"{CUT} order by random() limit 2")
        await crowd.all_go_round()

    yield kill


@asynccontextmanager
async def cut_off(_fallible: Fallible, proxy: Proxy) -> AsyncIterator[During]:
    """The network takes what is sent, and nothing arrives."""
    proxy.black_hole()
    yield refused
    proxy.let_through()


@asynccontextmanager
async def cut_again_and_again(_fallible: Fallible, proxy: Proxy) -> AsyncIterator[During]:
    async def cut(crowd: Crowd) -> None:
        for _cut in range(20):
            proxy.cut()
            await asyncio.sleep(0.02)
        await crowd.all_go_round()

    yield cut


@asynccontextmanager
async def delayed(_fallible: Fallible, proxy: Proxy) -> AsyncIterator[During]:
    proxy.delay = 0.1  # each way: 200 ms for a statement
    yield slow
    proxy.delay = 0


@asynccontextmanager
async def throttled(_fallible: Fallible, proxy: Proxy) -> AsyncIterator[During]:
    proxy.bytes_per_second = 20_000
    yield slow
    proxy.bytes_per_second = float("inf")


def of_the_server(fault: Callable[..., object]) -> Fault:
    """Return a fault of test_database.py in this form."""

    @asynccontextmanager
    async def begin(fallible: Fallible, _proxy: Proxy) -> AsyncIterator[During]:
        async with lasting(fault, fallible):  # type: ignore[arg-type]
            yield refused

    return begin


FAULTS = {
    "restarted": restarted,
    "crashed": crashed,
    "frozen": of_the_server(suspended),
    "out of connections": of_the_server(full),
    "its backends killed at random": killed_at_random,
    "a table locked": of_the_server(locked),
    "closed to connections": of_the_server(closed),
    "read-only": of_the_server(read_only),
    "cut off": cut_off,
    "its connections cut again and again": cut_again_and_again,
    "200 ms away": delayed,
    "on a thin line": throttled,
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
async def test_under_load_nothing_acknowledged_is_lost_and_no_answer_is_another_than_documented(
    fault: Fault, fallible: Fallible, proxied: ProxiedScene
) -> None:
    """DBF-01 … DBF-09, DBF-13, REF-06, MW-07 (ASVS 16.5.3): the database is …"""
    async with crowded(proxied) as crowd:
        async with fault(fallible, proxied.proxy) as during:
            await during(crowd)
        await proxied.until_ready()
    assert crowd.statuses.keys() <= {200, 201, 204, 401, 409, 503}


@pytest.fixture
def small_disk(fallible: Fallible, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of 24 MB that holds the database's tables; the server's log of changes lies elsewhere."""
    folder = tmp_path_factory.mktemp("small")
    options = f"size=24m,mode=0700,uid={fallible.uid}"
    command = ["mount", "-t", "tmpfs", "-o", options, "small", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(command, check=False).returncode == 0
    if not mounted:
        advice = "A full disk is not tested: it takes root and the right to mount a tmpfs."
        if os.environ.get("CI") == "true":  # noqa: TID251 - the tests' own
            pytest.fail(advice)
        pytest.skip(advice)
    try:
        fallible.administer(
            f"create tablespace small location '{folder}'", f"alter database {fallible.name} set tablespace small"
        )
        yield folder
        fallible.administer(
            f"drop database {fallible.name} with (force)", "drop tablespace small", f"create database {fallible.name}"
        )
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


async def test_a_full_disk_is_503_for_who_writes_and_nothing_acknowledged_is_lost(
    small_disk: Path, proxied: ProxiedScene, log: io.StringIO
) -> None:
    """DBF-12 (SQLSTATE 53100): who only reads is served, and once there is room everything goes on by itself."""
    ballast = small_disk / "ballast"

    def fill() -> None:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    async with crowded(proxied) as crowd:
        await asyncio.to_thread(fill)
        await crowd.is_refused()
        assert '"fault":"disk_full"' in log.getvalue()
        assert (await proxied.me()).status == 200
        await asyncio.to_thread(ballast.unlink)
        await proxied.until_ready()
