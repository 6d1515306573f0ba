"""The process and its interpreter, as Prometheus' conventions name them: memory, files, pauses, a loop that lags.

/proc tells about memory and files; where there is none, nothing is told.
"""

import asyncio
import gc
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from authsvc.tallies import Tally

LAG_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
PAUSE_BUCKETS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
SAMPLE_SECONDS = 0.1
GENERATIONS = ("0", "1", "2")
STARTED_AT = time.time()  # noqa: TID251 - the start of the process, by Prometheus' convention
_PROC = Path("/proc/self")


class Runtime:
    """Watches the event loop and the garbage collector, between `start` and `stop`."""

    def __init__(self) -> None:
        self.lag = Tally(LAG_BUCKETS)
        self.pauses = Tally(PAUSE_BUCKETS)
        self._paused_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def start(self) -> Self:
        """Begin; in the loop that is watched."""
        gc.callbacks.append(self._collecting)
        self._await_next()
        return self

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
        gc.callbacks.remove(self._collecting)

    def _await_next(self) -> None:
        # Not the loop's own clock: uvloop's stands still while a callback runs.
        self._due = time.monotonic() + SAMPLE_SECONDS
        self._timer = asyncio.get_running_loop().call_later(SAMPLE_SECONDS, self._sample)

    def _sample(self) -> None:
        # Timers of milliseconds may come a little early.
        self.lag.observe(max(0.0, time.monotonic() - self._due))
        self._await_next()

    def _collecting(self, phase: str, _info: object) -> None:
        now = time.perf_counter()
        if phase == "start":
            self._paused_at = now
        else:
            self.pauses.observe(now - self._paused_at)


def collections() -> dict[str, int]:
    """Return how often each generation was collected since the process began."""
    return _by_generation("collections")


def collected() -> dict[str, int]:
    """Return how many objects of each generation were collected."""
    return _by_generation("collected")


def _by_generation(figure: str) -> dict[str, int]:
    return {generation: each[figure] for generation, each in zip(GENERATIONS, gc.get_stats(), strict=True)}


def resident_memory() -> int | None:
    """Return the bytes of memory that are resident."""
    return _told(lambda: int((_PROC / "statm").read_bytes().split()[1]) * resource.getpagesize())


def open_files() -> int | None:
    """Return how many file descriptors are open."""
    # The size tells since Linux 6.2; to list ten thousand takes milliseconds.
    return _told(lambda: (_PROC / "fd").stat().st_size or len(list((_PROC / "fd").iterdir())))


def most_files() -> int:
    """Return how many file descriptors may be open."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return most


def _told(read: Callable[[], int]) -> int | None:
    try:
        return read()
    except OSError:
        return None
