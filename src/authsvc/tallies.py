"""Durations by bucket, in plain numbers: cheap to fill anywhere, and read when somebody scrapes."""

from bisect import bisect_left
from collections.abc import Sequence
from math import inf


class Tally:
    """What a histogram is made from; each duration is counted in one bucket."""

    __slots__ = ("bounds", "counts", "ignored", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` are the upper ends of the buckets in seconds, in order; a last one without end follows them."""
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.ignored = 0

    def observe(self, seconds: float) -> None:
        """Count a duration; what is none (negative, NaN, infinite) is `ignored`."""
        if 0 <= seconds < inf:
            self.counts[bisect_left(self.bounds, seconds)] += 1
            self.sum += seconds
        else:
            self.ignored += 1
