"""The exposition: well-formed, from closed sets of labels, complete from the start."""

import itertools
import math
from pathlib import Path
from uuid import UUID

import pytest

from authsvc import resources
from authsvc.clock import SystemClock
from authsvc.entropy import SystemEntropy
from authsvc.events import KINDS, LoginFailed, UserRegistered
from authsvc.metrics import CONTENT_TYPE, METHODS, REQUEST_BUCKETS, Metrics
from authsvc.tallies import Tally
from tests.prometheus import Samples, parse


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def test_every_event_is_counted_from_nought(metrics: Metrics) -> None:
    for kind in KINDS:
        assert value(parse(metrics.render()), "authsvc_events_total", event=kind.tag) == 0
    metrics.event(LoginFailed(None))
    metrics.event(LoginFailed(UUID(int=1)))
    metrics.event(UserRegistered(UUID(int=1)))
    samples = parse(metrics.render())
    assert value(samples, "authsvc_events_total", event="session:login:failure") == 2
    assert value(samples, "authsvc_events_total", event="user:register:success") == 1
    assert value(samples, "authsvc_events_total", event="session:login:success") == 0


def test_requests_are_counted_and_timed(metrics: Metrics) -> None:
    for seconds in (0.0005, 0.02, 9.0):
        metrics.request("GET", "/api/auth/me", 200, seconds)
    samples = parse(metrics.render())
    labels = {"method": "GET", "route": "/api/auth/me", "status": "2xx"}
    assert value(samples, "authsvc_http_requests_total", **labels) == 3
    name = "authsvc_http_request_duration_seconds"
    assert value(samples, f"{name}_count", **labels) == 3
    assert value(samples, f"{name}_sum", **labels) == pytest.approx(9.0205)
    counts = [value(samples, f"{name}_bucket", **labels, le=str(limit)) for limit in REQUEST_BUCKETS]
    assert counts == [1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]
    assert value(samples, f"{name}_bucket", **labels, le="+Inf") == 3


def test_a_tally_is_a_histogram(metrics: Metrics) -> None:
    tally = Tally((0.01, 0.1))
    metrics.histogram("authsvc_wait_seconds", "Time until it is over.", tally)
    for seconds in (0.01, 0.02, 5.0):
        tally.observe(seconds)
    samples = parse(metrics.render())
    counts = [value(samples, "authsvc_wait_seconds_bucket", le=limit) for limit in ("0.01", "0.1", "+Inf")]
    assert counts == [1, 2, 3]
    assert value(samples, "authsvc_wait_seconds_count") == 3
    assert value(samples, "authsvc_wait_seconds_sum") == pytest.approx(5.03)


@pytest.mark.parametrize("seconds", [-5.0, -1e-12, math.nan, math.inf, -math.inf])
def test_what_is_no_duration_is_ignored_and_the_request_counts_all_the_same(metrics: Metrics, seconds: float) -> None:
    """MET-05: a clock that steps back, a NaN."""
    tally = Tally((0.01, 0.1))
    metrics.histogram("authsvc_wait_seconds", "Time until it is over.", tally)
    tally.observe(seconds)
    metrics.request("GET", "/", 200, seconds)
    samples = parse(metrics.render())
    labels = {"method": "GET", "route": "/", "status": "2xx"}
    for name, labelled in (("authsvc_wait_seconds", {}), ("authsvc_http_request_duration_seconds", labels)):
        assert value(samples, f"{name}_sum", **labelled) == value(samples, f"{name}_count", **labelled) == 0
        assert value(samples, f"{name}_bucket", **labelled, le="+Inf") == 0
    assert value(samples, "authsvc_http_requests_total", **labels) == 1


def test_all_statuses_of_a_class_are_one_series(metrics: Metrics) -> None:
    for status in (200, 201, 204, 400, 404, 503):
        metrics.request("GET", "/", status, 0.01)
    samples = parse(metrics.render())
    counts = [
        value(samples, "authsvc_http_requests_total", method="GET", route="/", status=status)
        for status in ("2xx", "4xx", "5xx")
    ]
    assert counts == [3, 2, 1]


@pytest.mark.parametrize(
    "method", ["BREW", "get", "", "\ud800", 'G"} 1\nauthsvc_admin{x="1', "G\nauthsvc_forged 1", "GET ", "M" * 1000]
)
def test_a_method_that_nobody_knows_makes_no_series_of_its_own(metrics: Metrics, method: str) -> None:
    """MET-01."""
    for _ in range(3):
        metrics.request(method, "unmatched", 400, 0.001)
    samples = parse(metrics.render())
    assert value(samples, "authsvc_http_requests_total", method="other", route="unmatched", status="4xx") == 3
    assert {name for name, _labels in samples if name.startswith("authsvc_http_requests")} == {
        "authsvc_http_requests_total"
    }


def test_the_series_are_bounded_by_the_routes(metrics: Metrics) -> None:
    """MET-01, MET-04: all methods, routes and statuses that can be, ten times: no more the tenth time."""
    routes = [f"/route/{number}" for number in range(10)]
    counts = set()
    for round_ in range(10):
        for method, route, status in itertools.product([*METHODS, f"X{round_}", "other"], routes, range(200, 600)):
            metrics.request(method, route, status, 0.01)
        counts.add(len([name for name, _labels in parse(metrics.render()) if name == "authsvc_http_requests_total"]))
    assert counts == {(len(METHODS) + 1) * len(routes) * 4}


def test_a_gauge_is_read_at_each_scrape(metrics: Metrics) -> None:
    values = iter((3.0, 0.0))
    metrics.gauge("authsvc_waiting", "How many wait.", lambda: next(values))
    assert value(parse(metrics.render()), "authsvc_waiting") == 3
    assert value(parse(metrics.render()), "authsvc_waiting") == 0


def test_a_gauge_of_what_is_not_known_has_no_sample(metrics: Metrics) -> None:
    values = iter((None, 7.0, None))
    metrics.gauge("authsvc_size_bytes", "How large it is.", lambda: next(values))
    told = [parse(metrics.render()).get(("authsvc_size_bytes", frozenset())) for _ in range(3)]
    assert told == [None, 7, None]


def test_counters_are_read_at_each_scrape(metrics: Metrics) -> None:
    counts = {"hit": 0, "miss": 1}
    metrics.counters("authsvc_lookups_total", "Who was looked up.", "outcome", lambda: counts)
    metrics.counter("authsvc_lost_total", "What was lost.", lambda: sum(counts.values()))
    assert value(parse(metrics.render()), "authsvc_lookups_total", outcome="hit") == 0
    counts["hit"] = 5
    samples = parse(metrics.render())
    assert value(samples, "authsvc_lookups_total", outcome="hit") == 5
    assert value(samples, "authsvc_lost_total") == 6


def test_two_services_of_one_process_count_apart(metrics: Metrics) -> None:
    other = Metrics()
    metrics.event(LoginFailed(None))
    assert value(parse(other.render()), "authsvc_events_total", event="session:login:failure") == 0


def test_the_content_type_is_that_of_the_format() -> None:
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"


def test_the_machines_clock_tells_utc() -> None:
    now = SystemClock().now()
    assert now.utcoffset() is not None
    assert not now.utcoffset()
    assert now <= SystemClock().now()


def test_the_machines_chance_does_not_repeat_itself() -> None:
    entropy = SystemEntropy()
    assert {entropy.new_id().version for _ in range(10)} == {4}
    assert len({entropy.new_id() for _ in range(100)}) == 100
    assert len({entropy.token_bytes(16) for _ in range(100)}) == 100
    assert [len(entropy.token_bytes(size)) for size in (0, 1, 32)] == [0, 1, 32]


def test_shipped_folders_are_found_in_a_checkout_and_in_a_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (resources.folder("migrations") / "0001.users.sql").is_file()
    package = tmp_path / "site-packages" / "authsvc"
    (package / "sql").mkdir(parents=True)
    monkeypatch.setattr(resources, "PACKAGE", package)
    assert resources.folder("sql") == package / "sql"


def test_a_broken_installation_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "a" / "b")
    with pytest.raises(FileNotFoundError, match=r"The folder sql/ is missing .* install authsvc again"):
        resources.folder("sql")
