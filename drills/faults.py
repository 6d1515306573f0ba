"""The faults, each a function that begins it, lets it last, and returns the moment from which nothing fails any more.

What must start again after that (PostgreSQL, an instance) starts within the time that the recovery is given.
"""

import asyncio
import errno
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from drills.stage import Stage

SERVICES = "from pg_stat_activity where application_name = 'authsvc'"
DELAY_SECONDS = 0.2
KILL_EACH_SECONDS = 0.25
MOST_CONNECTIONS = 200
BLOCK = 1 << 20


@dataclass(frozen=True)
class Fault:
    """What fails, for how long, and how."""

    name: str
    seconds: float
    """0: it takes as long as it takes."""
    strike: Callable[[Stage, float], Awaitable[float]]
    needs_disk: bool = False


async def _lasting(seconds: float) -> float:
    """Let the time pass; return the moment at which it has."""
    await asyncio.sleep(seconds)
    return time.monotonic()


async def nothing(_stage: Stage, seconds: float) -> float:
    """Let the time pass: what the machine's other work does to the figures."""
    return await _lasting(seconds)


async def restart_postgres(stage: Stage, _seconds: float) -> float:
    """Stop PostgreSQL as an administrator does, and start it."""
    return await stop_postgres(stage, 0)


async def stop_postgres(stage: Stage, seconds: float) -> float:
    """Stop PostgreSQL, and start it later."""
    await asyncio.to_thread(stage.server.stop)
    ended = await _lasting(seconds)
    await asyncio.to_thread(stage.server.start)
    return ended


async def kill_postgres(stage: Stage, _seconds: float) -> float:
    """Kill PostgreSQL in the middle of its work, and start it."""
    await asyncio.to_thread(stage.server.kill)
    ended = time.monotonic()
    await asyncio.to_thread(stage.server.start)
    return ended


async def freeze_postgres(stage: Stage, seconds: float) -> float:
    """Suspend every process of PostgreSQL: the kernel still accepts connections, and nobody answers."""
    pids = [stage.server.pid, *await asyncio.to_thread(_backends, stage)]
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        return await _lasting(seconds)
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _backends(stage: Stage) -> list[int]:
    with stage.administering() as connection:
        rows = connection.execute("select pid from pg_stat_activity where pid <> pg_backend_pid()")
        return [int(row[0]) for row in rows]


async def kill_backends(stage: Stage, seconds: float) -> float:
    """End connections of the service at random, whatever they are doing."""
    end = time.monotonic() + seconds
    kill = f"select pg_terminate_backend(pid) from (select pid {SERVICES} order by random() limit 3) as chosen"
    async with await psycopg.AsyncConnection.connect(stage.server.url, autocommit=True) as connection:
        while time.monotonic() < end:
            await connection.execute(kill.encode())
            await asyncio.sleep(KILL_EACH_SECONDS)
    return end


async def lock_tables(stage: Stage, seconds: float) -> float:
    """Hold the accounts and the sessions locked, as a careless migration does."""
    async with await psycopg.AsyncConnection.connect(stage.server.url) as connection:
        await connection.execute("lock table users, sessions in access exclusive mode")
        return await _lasting(seconds)


async def exhaust_connections(stage: Stage, seconds: float) -> float:
    """Take every connection that PostgreSQL has, the service's too."""
    with ExitStack() as held:
        await asyncio.to_thread(_take_connections, stage, held)
        return await _lasting(seconds)


def _take_connections(stage: Stage, held: ExitStack) -> None:
    ours = held.enter_context(psycopg.connect(stage.server.url, autocommit=True))
    left = MOST_CONNECTIONS
    for _round in range(5):
        with suppress(psycopg.OperationalError):
            while left:
                held.enter_context(psycopg.connect(stage.server.url))
                left -= 1
        # The service takes some of what it loses again: the rest is ours.
        ours.execute(f"select pg_terminate_backend(pid) {SERVICES}".encode())


async def make_read_only(stage: Stage, seconds: float) -> float:
    """Refuse every write, as a standby does."""
    setting = "default_transaction_read_only"
    async with await psycopg.AsyncConnection.connect(stage.server.url, autocommit=True) as connection:
        await connection.execute(f"alter system set {setting} = on".encode())
        await connection.execute("select pg_reload_conf()")
        try:
            return await _lasting(seconds)
        finally:
            # Our own session, too, has heard of it.
            await connection.execute(f"set {setting} = off".encode())
            await connection.execute(f"alter system reset {setting}".encode())
            await connection.execute("select pg_reload_conf()")


async def fill_disk(stage: Stage, seconds: float) -> float:
    """Leave PostgreSQL no byte to write; where it gave up, start it when there is room again."""
    if stage.disk is None:
        raise RuntimeError("there is no small disk to fill")
    filler = stage.disk / "filler"
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            await asyncio.to_thread(_fill, filler)
            await asyncio.to_thread(_ask_for_room, stage)
            await asyncio.sleep(0.2)
    finally:
        filler.unlink(missing_ok=True)
    ended = time.monotonic()
    if not await asyncio.to_thread(stage.answers):
        await asyncio.to_thread(stage.server.start)
    return ended


def _ask_for_room(stage: Stage) -> None:
    """Begin another file of the write-ahead log, for what was set aside to be used up."""
    with suppress(psycopg.Error), stage.administering() as connection:
        connection.execute("select pg_switch_wal()")


def _fill(path: Path) -> None:
    with path.open("ab", buffering=0) as file:
        for size in (BLOCK, 4096):
            try:
                while file.write(b"\0" * size) == size:
                    pass
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


async def delay_postgres(stage: Stage, seconds: float) -> float:
    """Have each answer of PostgreSQL come 200 ms later."""
    async with stage.network.slow(DELAY_SECONDS):
        return await _lasting(seconds)


async def cut_network(stage: Stage, seconds: float) -> float:
    """Reset each connection to PostgreSQL, old or new."""
    async with stage.network.cut():
        return await _lasting(seconds)


async def silence_network(stage: Stage, seconds: float) -> float:
    """Lose each packet to and from PostgreSQL."""
    async with stage.network.silent():
        return await _lasting(seconds)


async def kill_instance(stage: Stage, _seconds: float) -> float:
    """Kill one instance in the middle of its work, and start it again."""
    await stage.instances[0].end(signal.SIGKILL)
    ended = time.monotonic()
    await stage.instances[0].start()
    return ended


async def roll_instances(stage: Stage, _seconds: float) -> float:
    """Stop and start one instance after the other, as for a new version."""
    ended = time.monotonic()
    for instance in stage.instances:
        await instance.end(signal.SIGTERM)
        ended = time.monotonic()
        await instance.start()
    return ended


ALL = (
    Fault("nothing, for comparison", 5, nothing),
    Fault("PostgreSQL restarted", 0, restart_postgres),
    Fault("PostgreSQL stopped", 20, stop_postgres),
    Fault("PostgreSQL killed and started", 0, kill_postgres),
    Fault("PostgreSQL frozen", 10, freeze_postgres),
    Fault("its backends killed at random", 10, kill_backends),
    Fault("users and sessions locked", 10, lock_tables),
    Fault("its connections exhausted", 10, exhaust_connections),
    Fault("PostgreSQL read-only", 10, make_read_only),
    Fault("its disk full", 10, fill_disk, needs_disk=True),
    Fault("each answer of it 200 ms late", 10, delay_postgres),
    Fault("the network to it cut", 10, cut_network),
    Fault("the network to it silent", 10, silence_network),
    Fault("one instance killed and started", 0, kill_instance),
    Fault("instances stopped and started in turn", 0, roll_instances),
)
