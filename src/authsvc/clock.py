"""The present moment. Everything that depends on time has a `Clock` field, so that a test can turn it."""

import time
from datetime import UTC, datetime
from typing import Protocol

# The one that goes on while the machine sleeps: what was learnt before is old when it wakes.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present moment, timezone-aware, in UTC."""

    def timestamp(self) -> float:
        """Return the present moment in seconds since the epoch."""

    def steady(self) -> float:
        """Return seconds since some moment; nobody sets this clock, so that its differences are durations."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the present moment, timezone-aware, in UTC."""
        return datetime.now(UTC)

    def timestamp(self) -> float:
        """Return the present moment in seconds since the epoch: a third of the time that `now` takes."""
        return time.time()

    def steady(self) -> float:
        """Return seconds since some moment; nobody sets this clock, so that its differences are durations."""
        return time.clock_gettime(_STEADY)
