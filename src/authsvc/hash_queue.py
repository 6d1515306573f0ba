"""Threads for hashes, and the queue before them, bounded by time.

Who would wait longer than the bound is refused at once. Who has gone is not counted in that wait, and a hash that
nobody wants any more is never begun.
"""

import asyncio
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from authsvc.refusals import Busy
from authsvc.tallies import Tally

WAIT_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
HASH_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
QUEUE_FULL, CLIENT_GONE = "queue_full", "client_gone"
"""Why a hash was shed: there was no room for it, or nobody wanted it any more when its turn came."""

_T = TypeVar("_T")


def always() -> bool:
    """Tell that somebody waits."""
    return True


@dataclass(frozen=True)
class HashFigures:
    """What queues have seen: hashes that were shed by why, seconds in the queue, and seconds in the thread."""

    shed: dict[str, int] = field(default_factory=lambda: {QUEUE_FULL: 0, CLIENT_GONE: 0})
    waits: Tally = field(default_factory=lambda: Tally(WAIT_BUCKETS))
    durations: Tally = field(default_factory=lambda: Tally(HASH_BUCKETS))


@dataclass(eq=False)
class _Job:
    """A hash that runs or waits."""

    wanted: Callable[[], bool]
    asked_at: float = field(default_factory=time.monotonic)
    begun: bool = False


class HashQueue:
    """Runs hashes in `threads` threads of its own; used from one event loop. `close` it at the end."""

    def __init__(self, name: str, threads: int, seconds: float, mean_seconds: float, figures: HashFigures) -> None:
        """`seconds` is the longest wait, `mean_seconds` a first guess at a hash's time; `figures` are added to."""
        self._threads = threads
        self._seconds = seconds
        self._mean_seconds = mean_seconds
        self._figures = figures
        self._executor = ThreadPoolExecutor(threads, name, initializer=_yield_the_cpu)
        self._jobs: set[_Job] = set()

    @property
    def pending(self) -> int:
        """How many hashes run or wait."""
        return len(self._jobs)

    @property
    def running(self) -> int:
        """How many hashes run."""
        return sum(job.begun for job in self._jobs)

    def refuse_when_full(self) -> None:
        """Ask whether a hash would find its turn in time.

        Raises:
            Busy: it would not.
        """
        if self._wait() > self._seconds:
            self._jobs -= {job for job in self._jobs if not job.begun and not job.wanted()}
        if (wait := self._wait()) > self._seconds:
            self._figures.shed[QUEUE_FULL] += 1
            raise Busy(retry_after=math.ceil(wait))

    async def run(self, work: Callable[[], _T], wanted: Callable[[], bool] = always) -> tuple[_T, float]:
        """Return what `work` returns, and when it began (monotonic clock, seconds).

        Raises:
            Busy: the queue is too long, or nobody wants it any more when its turn comes.
        """
        self.refuse_when_full()
        loop, job = asyncio.get_running_loop(), _Job(wanted)
        self._jobs.add(job)
        future = self._executor.submit(_timed, work, job)
        # Counted when the thread is free again, not when its caller has gone away.
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(self._finished, job, done))
        result, began, _seconds = await asyncio.wrap_future(future)
        return result, began

    async def close(self) -> None:
        """Let the running hashes end, and stop the threads."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)

    def _wait(self) -> float:
        return len(self._jobs) // self._threads * self._mean_seconds

    def _finished(self, job: _Job, future: "Future[tuple[_T, float, float]]") -> None:
        self._jobs.discard(job)
        if future.cancelled() or isinstance(future.exception(), Busy):
            self._figures.shed[CLIENT_GONE] += 1
        elif future.exception() is None:
            _result, began, seconds = future.result()
            self._mean_seconds += (seconds - self._mean_seconds) / 16
            self._figures.waits.observe(began - job.asked_at)
            self._figures.durations.observe(seconds)


def _timed(work: Callable[[], _T], job: _Job) -> tuple[_T, float, float]:
    """Do the work in its thread; return what it returns, when it began, and how long it took."""
    job.begun = True
    if not job.wanted():
        raise Busy
    began = time.monotonic()
    result = work()
    return result, began, time.monotonic() - began


def _yield_the_cpu() -> None:
    """Put this thread behind the event loop: answers to others stay quick while every CPU hashes."""
    if sys.platform == "linux":  # elsewhere the priority is the whole process's
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
