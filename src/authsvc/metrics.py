"""Metrics for Prometheus (aioprometheus): an observer of events, of requests, of hashes and of the pool.

The library escapes neither label values nor help texts, so that a quote in a label would forge a sample: every label
here comes from a closed set of this program's own words, never from a client.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable
from itertools import accumulate, product
from typing import Any

from aioprometheus.collectors import Counter, Gauge, Histogram, Registry
from aioprometheus.formats import text

from authsvc.events import KINDS, Event

CONTENT_TYPE = text.TEXT_CONTENT_TYPE
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
LIMITS = ("origin", "account", "browser", "register")
LIMIT_OUTCOMES = ("granted", "refused", "unavailable")
REQUEST_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0]
HASH_BUCKETS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5]


class Metrics:
    """The collectors of one service, in a registry of their own."""

    def __init__(self) -> None:
        """Every series of a closed set starts at 0, so that its first increase is seen."""
        registry = self._registry = Registry()
        self._requests = Counter(
            "authsvc_http_requests_total", "Requests answered, by method, route and status.", registry=registry
        )
        self._durations = Histogram(
            "authsvc_http_request_duration_seconds",
            "Time to answer, by route.",
            registry=registry,
            buckets=REQUEST_BUCKETS,
        )
        self._events = Counter("authsvc_events_total", "What happened, as subject:action:outcome.", registry=registry)
        self._limits = Counter(
            "authsvc_limits_total", "Slots asked of the limits, by limit and outcome.", registry=registry
        )
        self._hashes = Histogram(
            "authsvc_password_hash_duration_seconds",
            "Time of one password hash in its thread, without the queue.",
            registry=registry,
            buckets=HASH_BUCKETS,
        )
        # The library's look-up by labels costs more than a whole access check: its collectors are filled at the scrape.
        self._tallies: dict[tuple[str, str, int], _Tally] = {}
        self._gauges: list[tuple[Gauge, Callable[[], float]]] = []
        self.gauge("process_start_time_seconds", "Start of the process since the epoch.", _start_time())
        for kind in KINDS:
            self._events.set({"event": kind.tag}, 0)
        for limit, outcome in product(LIMITS, LIMIT_OUTCOMES):
            self._limits.set({"limit": limit, "outcome": outcome}, 0)

    def gauge(self, name: str, help_: str, read: Callable[[], float]) -> None:
        """Add a gauge whose value is read at each scrape."""
        self._gauges.append((Gauge(name, help_, registry=self._registry), read))

    def event(self, event: Event) -> None:
        """Count an event."""
        self._events.inc({"event": event.tag})

    def limit(self, limit: str, outcome: str) -> None:
        """Count a slot that was asked for; of LIMITS and LIMIT_OUTCOMES."""
        self._limits.inc({"limit": limit, "outcome": outcome})

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is a template of the route table, or `unmatched`."""
        key = (method if method in METHODS else "other", route, status)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = _Tally()
        tally.add(max(seconds, 0.0))

    def hash(self, seconds: float) -> None:
        """Observe the time of one password hash."""
        self._hashes.observe({}, seconds)

    def render(self) -> bytes:
        """Return the exposition in Prometheus' text format 0.0.4."""
        by_route: defaultdict[str, _Tally] = defaultdict(_Tally)
        for (method, route, status), tally in self._tallies.items():
            labels = {"method": method, "route": route, "status": str(status)}
            self._requests.set(labels, sum(tally.counts))
            by_route[route].merge(tally)
        for route, tally in by_route.items():
            self._durations.observe({"route": route}, 0)
            tally.fill(self._durations.get_value({"route": route}))
        for gauge, read in self._gauges:
            gauge.set({}, read())
        return text.TextFormatter().marshall(self._registry)


class _Tally:
    """Durations by bucket, each counted once; a histogram of Prometheus counts them cumulatively."""

    def __init__(self) -> None:
        self.counts = [0] * (len(REQUEST_BUCKETS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(REQUEST_BUCKETS, seconds)] += 1
        self.sum += seconds

    def merge(self, other: "_Tally") -> None:
        self.counts = [ours + theirs for ours, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    def fill(self, histogram: Any) -> None:  # noqa: ANN401 - the library's values are numbers or objects
        histogram.buckets.update(zip(histogram.buckets, accumulate(self.counts), strict=True))
        histogram.observations, histogram.sum = sum(self.counts), self.sum


def _start_time() -> Callable[[], float]:
    started = time.time()  # noqa: TID251 - the start of the process, by Prometheus' convention
    return lambda: started
