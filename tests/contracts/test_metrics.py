"""docs/metrics.md and a service that runs and is asked expose the same metrics, with the same labels."""

import contextlib
import http.client
import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from itertools import cycle
from pathlib import Path

import pytest

from authsvc.app import Service
from authsvc.events import KINDS
from authsvc.metrics import METHODS
from authsvc.store import migrations
from authsvc.store.faults import FAULTS
from authsvc.web.routes import ROUTES
from tests.cli.conftest import CREDENTIALS, PATIENCE, Running, Start, eventually, settings, start
from tests.prometheus import Samples, comments, family, parse, promtool

__all__ = ["settings", "start"]  # the fixtures of a process

DOCUMENT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text("utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*)\| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
CLASSES = ("2xx", "3xx", "4xx", "5xx")
CAPACITY = 10 * 2**30
STALE_SECONDS = 7
ODD_REQUESTS = 10_000
# What llhttp knows as methods and no route has, and what it does not know.
ODD_METHODS = ("MKCOL", "PROPFIND", "M-SEARCH", "TRACE", "SUBSCRIBE", "LINK", "PURGE")
NO_METHODS = ("BREW", "get", "GET\u0130", 'G"}', "M" * 100)
ODD_PATHS = (
    "/{0}",
    "/api/auth/me/{0}",
    "/login?next={0}",
    '/a"}} 1%0Aauthsvc_forged{{x="{0}',
    "/%ff%fe{0}",
    "/{0}@example.com",
    "//{0}//..;/",
    "/api/auth/sessions/{0}",
    "/static/../{0}",
    "/{0}" + "a" * 500,
)


@dataclass(frozen=True)
class Documented:
    """A row of the document."""

    type: str
    labels: dict[str, frozenset[str]]
    """Their values, by the name of the label."""
    unit: str
    meaning: str


@pytest.fixture
def documented(service: Service) -> dict[str, Documented]:
    """The table of the document; where it names a set, that of the code."""
    sets = {
        "[the events](#events)": {kind.tag for kind in KINDS},
        "a template of the routes, or unmatched": {
            "unmatched",
            *(route.path for route in service.public[ROUTES].values()),
        },
        "a word of the table of faults": {fault.word for fault in FAULTS.values()},
        "that of the service": {version("authsvc")},
        "that of the interpreter": {platform.python_version()},
    }
    table = {}
    for name, kind, labels, unit, meaning in ROW.findall(DOCUMENT):
        parts = dict(re.findall(r"`(\w+)`: ([^;]+?) ?(?:;|$)", labels))
        values = {label: frozenset(sets.get(told) or told.split(", ")) for label, told in parts.items()}
        assert name not in table
        table[name] = Documented(kind, values, unit, meaning)
    return table


@pytest.fixture
def served(settings: dict[str, str], start: Start) -> Running:
    settings = {
        **settings,
        "AUTHSVC_DATABASE_CAPACITY_BYTES": str(CAPACITY),
        "AUTHSVC_REVOCATION_STALE_SECONDS": str(STALE_SECONDS),
        "AUTHSVC_LOG_LEVEL": "warning",
    }
    running = start("serve", settings=settings)
    eventually(running.is_ready, "ready")
    return running


def scrape(running: Running) -> bytes:
    answer = running.ask("/metrics", admin=True)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return answer.body


def series(text: bytes) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    return set(parse(text))


def use(running: Running) -> None:
    """Do what people do."""
    assert running.ask("/api/auth/register", CREDENTIALS).status == 201
    assert running.ask("/api/auth/login", {**CREDENTIALS, "password": "another one of these"}).status == 401
    pair = running.ask("/api/auth/login", CREDENTIALS).json()
    bearer = {"Authorization": f"Bearer {pair['access_token']}"}
    for _ in range(3):
        assert running.ask("/api/auth/me", headers=bearer).status == 200
    assert running.ask("/api/auth/refresh", {"refresh_token": pair["refresh_token"]}).status == 200
    assert running.ask("/api/auth/logout", b"", bearer).status == 204
    assert running.ask("/api/auth/me", headers=bearer).status == 401
    assert running.ask("/login").status == 200
    assert running.ask("/nowhere").status == 404


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def test_the_document_and_a_real_run_expose_the_same(served: Running, documented: dict[str, Documented]) -> None:
    use(served)
    text = eventually(lambda: b"\nauthsvc_database_size_bytes " in (told := scrape(served)) and told, "its size")
    assert comments(text, "TYPE") == {name: row.type for name, row in documented.items()}
    helps = comments(text, "HELP")
    plain = {name: row.meaning.replace("`", "") for name, row in documented.items()}
    assert not [name for name, meaning in plain.items() if not meaning.startswith(helps[name])]

    exposed: dict[str, list[dict[str, str]]] = {name: [] for name in documented}
    for name, labels in parse(text):
        known = name if name in documented else family(name)
        exposed[known].append({label: told for label, told in labels if label != "le"})
    for name, row in documented.items():
        assert exposed[name], f"{name} has no sample"
        for given in exposed[name]:
            assert given.keys() == row.labels.keys(), name
            assert not [told for label, told in given.items() if told not in row.labels[label]], name
        if not name.startswith("authsvc_http_"):  # of those some begin with the first such request
            assert {frozenset(given.items()) for given in exposed[name]} == all_of(row.labels), name


def all_of(labels: dict[str, frozenset[str]]) -> set[frozenset[tuple[str, str]]]:
    """Return every combination of values."""
    sets: set[frozenset[tuple[str, str]]] = {frozenset()}
    for label, values in labels.items():
        sets = {each | {(label, told)} for each in sets for told in values}
    return sets


def test_what_the_objectives_count_of_a_route_begins_at_0(served: Running) -> None:
    samples = parse(scrape(served))
    for method, path, good in (
        ("POST", "/api/auth/login", "2xx"),
        ("POST", "/api/auth/refresh", "2xx"),
        ("GET", "/api/auth/me", "2xx"),
        ("POST", "/login", "3xx"),
    ):
        for status in (good, "5xx"):
            labels = {"method": method, "route": path, "status": status}
            assert value(samples, "authsvc_http_requests_total", **labels) == 0
            assert value(samples, "authsvc_http_request_duration_seconds_count", **labels) == 0


def test_what_happened_is_what_is_counted(served: Running) -> None:
    use(served)
    eventually(lambda: b"\nauthsvc_database_size_bytes " in scrape(served), "its size")
    samples = parse(scrape(served))
    told = {
        (event, count)
        for event, count in (
            ("user:register:success", 1),
            ("session:login:failure", 1),
            ("session:login:success", 1),
            ("session:refresh:success", 1),
            ("session:end:logout", 1),
            ("session:refresh:reuse", 0),
        )
        if value(samples, "authsvc_events_total", event=event) != count
    }
    assert told == set()
    me = {"method": "GET", "route": "/api/auth/me"}
    for status, count in (("2xx", 3), ("4xx", 1)):
        assert value(samples, "authsvc_http_requests_total", **me, status=status) == count
        assert value(samples, "authsvc_http_request_duration_seconds_count", **me, status=status) == count
    assert value(samples, "authsvc_password_hash_duration_seconds_count") == 3
    assert value(samples, "authsvc_password_hash_wait_seconds_count") == 3
    assert value(samples, "authsvc_access_token_cache_lookups_total", outcome="hit") >= 2
    assert value(samples, "authsvc_access_token_cache_lookups_total", outcome="miss") >= 1
    assert value(samples, "authsvc_access_token_cache_bytes") > 1000
    assert value(samples, "authsvc_limits_total", limit="account", outcome="granted") == 2
    assert value(samples, "authsvc_revocations") == 1
    assert value(samples, "authsvc_revocations_stale_seconds") == STALE_SECONDS
    assert value(samples, "authsvc_revocation_reads_total", outcome="success") >= 1
    assert value(samples, "authsvc_database_reachable") == 1
    assert value(samples, "authsvc_database_size_bytes") > 2**20
    assert value(samples, "authsvc_database_capacity_bytes") == CAPACITY
    assert value(samples, "authsvc_database_pool_size") == 10
    assert 1 <= value(samples, "authsvc_database_pool_connections") <= 10
    assert value(samples, "authsvc_database_pool_wait_seconds_count") > 10
    assert value(samples, "authsvc_migration_version") == migrations.number(migrations.shipped()[-1])
    assert value(samples, "authsvc_migrations_pending") == 0
    assert value(samples, "authsvc_event_loop_lag_seconds_count") > 0
    assert value(samples, "process_cpu_seconds_total") > 0
    assert value(samples, "process_open_fds") < value(samples, "process_max_fds")


def test_an_open_connection_is_counted(served: Running) -> None:
    with contextlib.closing(connection(served)) as kept:
        kept.request("GET", "/login")
        kept.getresponse().read()
        samples = parse(scrape(served))
        assert value(samples, "authsvc_http_connections") == 1
        assert 64 <= value(samples, "authsvc_http_connections_max") <= 10_000
    eventually(lambda: value(parse(scrape(served)), "authsvc_http_connections") == 0, "closed")


def test_promtool_finds_nothing_to_say(served: Running) -> None:
    use(served)
    done = promtool("check", "metrics", stdin=scrape(served))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # And it would: a counter without _total, and no help.
    assert promtool("check", "metrics", stdin=b"# TYPE authsvc_odd counter\nauthsvc_odd 1\n").returncode != 0


def connection(running: Running) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", int(running.settings["AUTHSVC_PORT"]), timeout=PATIENCE)


def odd_requests() -> Iterator[tuple[str, str]]:
    """Yield methods and paths, no path twice."""
    methods = cycle([*sorted(METHODS), *ODD_METHODS])
    paths = cycle(ODD_PATHS)
    for number in range(ODD_REQUESTS):
        # One in fifty is no HTTP, and costs a connection.
        method = NO_METHODS[number // 50 % len(NO_METHODS)] if number % 50 == 0 else next(methods)
        yield method, next(paths).format(f"odd-{number}")


def ask(kept: http.client.HTTPConnection, method: str, path: str) -> int:
    """Ask without any check of what is asked, which http.client would refuse."""
    if kept.sock is None:
        kept.connect()
    kept.sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
    response = http.client.HTTPResponse(kept.sock, method=method)
    response.begin()
    response.read()
    if response.will_close:
        kept.close()
    return response.status


def test_ten_thousand_odd_paths_and_methods_add_no_series(served: Running) -> None:
    """MET-01: once each kind of them was there, no other adds a line to the exposition."""
    statuses, before = set(), b""
    with contextlib.closing(connection(served)) as kept:
        for number, (method, path) in enumerate(odd_requests()):
            if number == ODD_REQUESTS // 10:
                before = scrape(served)
            statuses.add(ask(kept, method, path))
    after = scrape(served)
    assert series(after) == series(before)
    assert {400, 404, 405} <= statuses
    assert b"odd-" not in after
    samples = parse(after)
    counted = sum(
        count
        for (name, labels), count in samples.items()
        if name == "authsvc_http_requests_total" and ("route", "unmatched") in labels
    )
    assert counted > ODD_REQUESTS / 2
    assert value(samples, "authsvc_http_requests_total", method="other", route="unmatched", status="4xx") > 100


def test_the_public_port_has_no_metrics(served: Running) -> None:
    """MET-03 (ASVS 13.4.5)."""
    assert served.ask("/metrics").status == 404


def test_the_document_lists_the_events() -> None:
    section = DOCUMENT.partition("## Events")[2]
    assert sorted(re.findall(r"`(\w+:\w+:\w+)`", section)) == sorted(kind.tag for kind in KINDS)


def test_units_are_those_of_the_names(documented: dict[str, Documented]) -> None:
    for name, row in documented.items():
        assert (row.type == "counter") == name.endswith("_total"), name
        assert (row.unit == "seconds") == bool(re.search("_seconds(_total)?$", name)), name
        assert (row.unit == "bytes") == name.endswith("_bytes"), name


def test_the_labels_of_requests_are_those_of_the_code(documented: dict[str, Documented]) -> None:
    for name in ("authsvc_http_requests_total", "authsvc_http_request_duration_seconds"):
        assert documented[name].labels["status"] == set(CLASSES)
        assert documented[name].labels["method"] == {*METHODS, "other"}
