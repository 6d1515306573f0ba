"""Metrics for Prometheus (aioprometheus): an observer of events and of requests, and a reader of everybody's figures.

The library escapes neither label values nor help texts, so that a quote in a label would forge a sample: every label
here comes from a closed set of this program's own words, never from a client. docs/metrics.md names them all.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate, product
from math import inf
from typing import Any

from aioprometheus.collectors import Counter, Gauge, Histogram, Registry
from aioprometheus.formats import text

from authsvc.events import KINDS, Event
from authsvc.tallies import Tally

CONTENT_TYPE = text.TEXT_CONTENT_TYPE
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
LIMITS = ("origin", "account", "browser", "register")
LIMIT_OUTCOMES = ("granted", "refused", "unavailable")
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """The collectors of one service, in a registry of their own."""

    def __init__(self) -> None:
        """Every series of a closed set starts at 0, so that its first increase is seen; of requests see `route`."""
        registry = self._registry = Registry()
        self._formatter = _Formatter()
        self._requests = Counter(
            "authsvc_http_requests_total", "Requests answered, by the class of their status.", registry=registry
        )
        self._durations = _Histogram(
            "authsvc_http_request_duration_seconds", "Time from a request's head to its answer.", registry=registry
        )
        self._events = Counter("authsvc_events_total", "What happened, as subject:action:outcome.", registry=registry)
        self._limits = Counter("authsvc_limits_total", "Slots asked of the limits.", registry=registry)
        # The library's look-up by labels costs more than a whole access check: its collectors are filled at the scrape.
        self._tallies: dict[tuple[str, str, int], Tally] = {}
        self._by_labels: dict[tuple[str, str, str], Tally] = {}
        self._reads: list[Callable[[], None]] = []
        for kind in KINDS:
            self._events.set({"event": kind.tag}, 0)
        for limit, outcome in product(LIMITS, LIMIT_OUTCOMES):
            self._limits.set({"limit": limit, "outcome": outcome}, 0)

    def gauge(self, name: str, help_: str, read: Callable[[], float | None]) -> None:
        """Add a gauge whose value is read at each scrape; None where it is not known."""
        gauge = Gauge(name, help_, registry=self._registry)

        def fill() -> None:
            gauge.values.clear()
            if (value := read()) is not None:
                gauge.set({}, +value)  # a bool as 0 or 1

        self._reads.append(fill)

    def counter(self, name: str, help_: str, read: Callable[[], float]) -> None:
        """Add a counter whose value is read at each scrape."""
        counter = Counter(name, help_, registry=self._registry)
        self._reads.append(lambda: counter.set({}, read()))

    def counters(self, name: str, help_: str, label: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Add a counter with a label; `read` returns the count of each of its values, those at 0 included."""
        counter = Counter(name, help_, registry=self._registry)

        def fill() -> None:
            for value, count in read().items():
                counter.set({label: value}, count)

        self._reads.append(fill)

    def histogram(self, name: str, help_: str, tally: Tally) -> None:
        """Add a histogram of what `tally` counts."""
        _Histogram(name, help_, registry=self._registry).set_value({}, tally)

    def info(self, name: str, help_: str, labels: Mapping[str, str]) -> None:
        """Add a gauge that is 1, and tells its labels."""
        Gauge(name, help_, registry=self._registry).set(dict(labels), 1)

    def event(self, event: Event) -> None:
        """Count an event."""
        self._events.inc({"event": event.tag})

    def limit(self, limit: str, outcome: str) -> None:
        """Count a slot that was asked for; of LIMITS and LIMIT_OUTCOMES."""
        self._limits.inc({"limit": limit, "outcome": outcome})

    def route(self, method: str, route: str, answers: Iterable[int]) -> None:
        """Begin what the objectives count of a route at 0, its good answers and 5xx: a first value is no increase."""
        for status in (*answers, 500):
            self._tally_of((method, route, status))

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request; `route` is a template of the route table, or `unmatched`."""
        key = (method if method in METHODS else "other", route, status)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tally_of(key)
        # Tally.observe, without the call: this is done for every request.
        if 0 <= seconds < inf:
            tally.counts[bisect_left(REQUEST_BUCKETS, seconds)] += 1
            tally.sum += seconds
        else:
            tally.ignored += 1

    def render(self) -> bytes:
        """Return the exposition in Prometheus' text format 0.0.4."""
        for (method, route, status), tally in self._by_labels.items():
            labels = {"method": method, "route": route, "status": status}
            self._requests.set(labels, sum(tally.counts) + tally.ignored)
        for fill in self._reads:
            fill()
        return self._formatter.marshall(self._registry)

    def _tally_of(self, key: tuple[str, str, int]) -> Tally:
        """Return the tally that all statuses of a class share."""
        method, route, status = key
        labels = (method, route, f"{status // 100}xx")
        tally = self._by_labels.get(labels)
        if tally is None:
            tally = self._by_labels[labels] = Tally(REQUEST_BUCKETS)
            self._durations.set_value(dict(zip(("method", "route", "status"), labels, strict=True)), tally)
        self._tallies[key] = tally
        return tally


class _Histogram(Histogram):
    """Holds a tally for each set of labels, in place of the library's own counts."""

    get = Histogram.get_value  # type: ignore[assignment] # what `_Formatter` writes


class _Formatter(text.TextFormatter):
    """Writes a tally as a histogram: the labels are spelt once, where the library does it for each line of twenty."""

    def _format_histogram(self, histogram: Any, name: str, _const_labels: object) -> list[str]:  # noqa: ANN401 - the library has values of several kinds
        labels, tally = histogram
        spelt = ",".join(f'{label}="{value}"' for label, value in labels.items())
        before, alone = (f"{spelt},", f"{{{spelt}}}") if spelt else ("", "")
        *counts, count = accumulate(tally.counts)
        return [
            *(
                f'{name}_bucket{{{before}le="{bound}"}} {below}'
                for bound, below in zip(tally.bounds, counts, strict=True)
            ),
            f'{name}_bucket{{{before}le="+Inf"}} {count}',
            f"{name}_sum{alone} {tally.sum}",
            f"{name}_count{alone} {count}",
        ]
