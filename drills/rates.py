"""How fast good answers of one kind come, and when after a fault they come as fast as before."""

from bisect import bisect_left
from collections.abc import Sequence
from statistics import median

WINDOW_SECONDS = 0.4
WINDOW_ANSWERS = 8
"""So many at the normal rate: fewer tell chance alone."""
STEP_SECONDS = 0.1
NORMAL_SHARE = 0.8


def rate(moments: Sequence[float], begin: float, end: float) -> float:
    """Return how many of the sorted `moments` fall into a second of this time."""
    return (bisect_left(moments, end) - bisect_left(moments, begin)) / (end - begin)


def normal_rate(moments: Sequence[float], begin: float, end: float) -> float:
    """Return the median over the windows of a time in which nothing was wrong; the mean where they hold few."""
    windows, mean = int((end - begin) / WINDOW_SECONDS), rate(moments, begin, end)
    if windows < 1 or mean * WINDOW_SECONDS < WINDOW_ANSWERS:
        return mean
    starts = [begin + number * WINDOW_SECONDS for number in range(windows)]
    return median(rate(moments, start, start + WINDOW_SECONDS) for start in starts)


def window_seconds(normal: float) -> float:
    """Return how long to look for a rate."""
    return max(WINDOW_SECONDS, WINDOW_ANSWERS / normal) if normal else WINDOW_SECONDS


def recovery_seconds(moments: Sequence[float], ended: float, normal: float, now: float) -> float | None:
    """Return the time from a fault's end to the first window with at least 80 % of the normal rate.

    None where there is no such window up to `now`, or where there was nothing to compare with. A window, not a
    single moment: on a busy machine some hundredths of a second without an answer are nothing.
    """
    window = window_seconds(normal)
    for step in range(round((now - ended) / STEP_SECONDS)):
        start = ended + step * STEP_SECONDS
        if not normal or start + window > now:
            return None
        if rate(moments, start, start + window) >= NORMAL_SHARE * normal:
            return step * STEP_SECONDS
    return None
