"""The process and its interpreter: what lags, what pauses, and what /proc tells."""

import asyncio
import gc
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from authsvc import runtime
from authsvc.clock import SystemClock
from authsvc.runtime import Runtime

PATIENCE = 10


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - a tally tells no asyncio.Event
            await asyncio.sleep(0.01)


async def test_a_loop_that_is_held_up_lags() -> None:
    """DOS-11 (CWE-405): whoever blocks the event loop shows in its lag, which an alert watches."""
    watched = Runtime()
    watched.start()
    try:
        await until(lambda: sum(watched.lag.counts) >= 2)
        assert watched.lag.ignored == 0
        before = watched.lag.sum
        held_until = time.monotonic() + 0.35
        while time.monotonic() < held_until:
            pass
        seen = sum(watched.lag.counts)
        await until(lambda: sum(watched.lag.counts) > seen)
        assert watched.lag.sum - before >= 0.2
    finally:
        watched.stop()


async def test_nothing_is_watched_any_more_once_it_is_stopped() -> None:
    callbacks = list(gc.callbacks)
    watched = Runtime()
    watched.start()
    assert len(gc.callbacks) == len(callbacks) + 1
    watched.stop()
    assert gc.callbacks == callbacks
    timer = watched._timer
    assert timer is not None
    assert timer.cancelled()


async def test_each_run_of_the_collector_is_timed() -> None:
    watched = Runtime()
    before = runtime.collections()["2"], runtime.collected()["2"]
    watched.start()
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    gc.collect()
    watched.stop()
    assert sum(watched.pauses.counts) >= 1
    assert watched.pauses.sum > 0
    assert runtime.collections()["2"] > before[0]
    assert runtime.collected()["2"] > before[1]


def test_what_the_system_says_of_the_process_is_told() -> None:
    open_before = runtime.open_files()
    assert open_before is not None
    descriptor = os.open("/dev/null", os.O_RDONLY)
    try:
        assert runtime.open_files() == open_before + 1
    finally:
        os.close(descriptor)
    assert (runtime.resident_memory() or 0) > 2**20
    assert runtime.most_files() >= open_before
    assert 0 < runtime.STARTED_AT <= SystemClock().timestamp()


def test_without_proc_nothing_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(runtime, "_PROC", tmp_path)
    assert runtime.resident_memory() is None
    assert runtime.open_files() is None
