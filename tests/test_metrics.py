"""The exposition: well-formed, from closed sets of labels, complete from the start."""

import itertools
import re
from pathlib import Path
from uuid import UUID

import pytest

from authsvc import resources
from authsvc.clock import SystemClock
from authsvc.entropy import SystemEntropy
from authsvc.events import KINDS, LoginFailed, UserRegistered
from authsvc.metrics import CONTENT_TYPE, HASH_BUCKETS, METHODS, REQUEST_BUCKETS, Metrics

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n]*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9.e+-]+|NaN|[+-]Inf)")
COMMENT = re.compile(rf"# (HELP|TYPE) ({NAME}) ([^\n]+)")
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: bytes) -> Samples:
    """Read Prometheus' text format 0.0.4, and refuse whatever is not in it."""
    samples: Samples = {}
    types: dict[str, str] = {}
    assert text.endswith(b"\n")
    for line in text.decode().rstrip("\n").split("\n"):
        if comment := COMMENT.fullmatch(line):
            kind, name, rest = comment.groups()
            if kind == "TYPE":
                assert name not in types
                types[name] = rest
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, line
        name, labels, value = sample.groups()
        assert name in types or re.sub("_(bucket|sum|count)$", "", name) in types, line
        pairs = re.findall(r'([^,=]+)="([^"]*)"', labels or "")
        key = (name, frozenset(pairs))
        assert key not in samples, line
        samples[key] = float(value)
    assert set(types.values()) <= {"counter", "gauge", "histogram"}
    return samples


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
    labels = {"method": "GET", "route": "/api/auth/me", "status": "200"}
    assert value(samples, "authsvc_http_requests_total", **labels) == 3
    name = "authsvc_http_request_duration_seconds"
    assert value(samples, f"{name}_count", route="/api/auth/me") == 3
    assert value(samples, f"{name}_sum", route="/api/auth/me") == pytest.approx(9.0205)
    counts = [value(samples, f"{name}_bucket", route="/api/auth/me", le=str(limit)) for limit in REQUEST_BUCKETS]
    assert counts == [1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]
    assert value(samples, f"{name}_bucket", route="/api/auth/me", le="+Inf") == 3


def test_hashes_are_timed(metrics: Metrics) -> None:
    metrics.hash(0.02)
    samples = parse(metrics.render())
    counts = [value(samples, "authsvc_password_hash_duration_seconds_bucket", le=str(limit)) for limit in HASH_BUCKETS]
    assert counts == [0, 1, 1, 1, 1, 1, 1, 1]


def test_a_clock_that_steps_back_takes_no_time_away(metrics: Metrics) -> None:
    """MET-05."""
    metrics.request("GET", "/", 200, -5.0)
    assert value(parse(metrics.render()), "authsvc_http_request_duration_seconds_sum", route="/") == 0


@pytest.mark.parametrize(
    "method", ["BREW", "get", "", "\ud800", 'G"} 1\nauthsvc_admin{x="1', "G\nauthsvc_forged 1", "GET ", "M" * 1000]
)
def test_a_method_that_nobody_knows_makes_no_series_of_its_own(metrics: Metrics, method: str) -> None:
    """MET-01."""
    for _ in range(3):
        metrics.request(method, "unmatched", 400, 0.001)
    samples = parse(metrics.render())
    assert value(samples, "authsvc_http_requests_total", method="other", route="unmatched", status="400") == 3
    assert {name for name, _labels in samples if name.startswith("authsvc_http_requests")} == {
        "authsvc_http_requests_total"
    }


def test_the_series_are_bounded_by_the_routes(metrics: Metrics) -> None:
    """MET-01, MET-04: all methods, routes and statuses that can be, ten times: no more the tenth time."""
    routes = [f"/route/{number}" for number in range(10)]
    counts = set()
    for round_ in range(10):
        for method, route in itertools.product([*METHODS, f"X{round_}", "other"], routes):
            metrics.request(method, route, 200, 0.01)
        counts.add(len(parse(metrics.render())))
    (count,) = counts
    assert count < 500


def test_a_gauge_is_read_at_each_scrape(metrics: Metrics) -> None:
    values = iter((3.0, 0.0))
    metrics.gauge("authsvc_waiting", "How many wait.", lambda: next(values))
    assert value(parse(metrics.render()), "authsvc_waiting") == 3
    assert value(parse(metrics.render()), "authsvc_waiting") == 0


def test_the_start_of_the_process_stays(metrics: Metrics) -> None:
    first, second = (value(parse(metrics.render()), "process_start_time_seconds") for _ in range(2))
    assert first == second <= SystemClock().now().timestamp()


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
