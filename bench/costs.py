"""What one of each act costs, and how large a row is: docs/bench/service-times.json, which infra/capacity.py reads.

Rates belong to the machine; CPU seconds travel further, and hold on a machine that does other things beside. Each act
is one of many people's: each has an account, a session and an address of its own, and the tables are large enough that
few of them share a page. The limits are on.
"""

import json
import os
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import argon2
import psycopg

from authsvc.app import refresh_keys
from authsvc.clock import SystemClock
from authsvc.config import PROFILES, Config, DatabaseUrl
from authsvc.refresh_tokens import RefreshToken, RefreshTokens
from authsvc.store import migrations
from bench import wrk
from bench.accesses import EACH_ITS_OWN, issuer
from bench.refreshes import REFRESH
from bench.report import Figure
from bench.stage import PASSWORD, Instance, Stage

FILE = Path(__file__).parents[1] / "docs" / "bench" / "service-times.json"
NEW = FILE.parents[2] / "build" / FILE.name
"""Where each run puts it; `--write` moves it into the repository."""
PEOPLE = 200_000
ALONE = 100
"""Acts one after the other, whose WAL and pages are counted: few, so that hardly two of them touch the same page."""
HASHES = 20
SETTINGS = {"AUTHSVC_TRUSTED_PROXIES": "1", "AUTHSVC_LIMITS": "on"}
LOGIN = f"""
math.randomseed(os.time())
function request()
  local octet = function() return math.random(0, 255) end
  local address = "10." .. octet() .. "." .. octet() .. "." .. octet()
  local body = '{{"email":"person' .. math.random(1, {PEOPLE}) .. '@example.com","password":"{PASSWORD}"}}'
  return wrk.format("POST", nil, {{["Content-Type"] = "application/json", ["X-Forwarded-For"] = address}}, body)
end
"""
# As a year of it leaves them: an account, its session with an address and a browser, and what the journal says of both.
PEOPLE_WITH_SESSIONS = """
with people as (
  insert into users (public_id, email, password_hash, created_at, updated_at)
  select gen_random_uuid(), 'person' || number || '@example.com', %(hash)s, now(), now()
  from generate_series(1, %(people)s) as number
  returning public_id
)
insert into sessions (
  id, subject, counter, created_at, last_used_at, expires_at, access_until, address, agent, authentication_methods
)
select
  gen_random_uuid(), public_id, 1, now(), now(), now() + interval '30 days', now() + interval '15 minutes',
  '203.0.113.200', %(agent)s, '{pwd}'
from people
"""
ENTRIES = """
insert into journal (recorded_at, event, subject, session_id, address, agent)
select now(), 'session:start:succeeded', subject, id, address, agent from sessions
"""
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
TABLES = {"user": "users", "session": "sessions", "journal": "journal"}
WRITTEN = """
select
  (pg_current_wal_insert_lsn() - '0/0')::bigint,
  (select sum(fsyncs) from pg_stat_io where object = 'wal')::bigint,
  (select sum(writes) from pg_stat_io where object = 'relation' and backend_type = 'checkpointer')::bigint
"""


@dataclass(frozen=True)
class Act:
    """One of an act."""

    service_cpu_seconds: float
    database_cpu_seconds: float
    wal_bytes: int
    """Each page that it touches is written whole: it is the first since a checkpoint, as it is in large tables."""
    fsyncs: float
    """Of the WAL. Acts at the same time share them."""
    pages_written: float
    """At the next checkpoint, of 8 KiB."""


@dataclass(frozen=True)
class ServiceTimes:
    """All that the file holds."""

    made: dict[str, str | int | float]
    hash_cpu_seconds: float
    acts: dict[str, Act]
    row_bytes: dict[str, int]
    """With its share of the indexes."""


@dataclass(frozen=True)
class Request:
    """One act."""

    path: str
    body: Mapping[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, instance: Instance) -> None:
        """Send it, and wait for the answer.

        Raises:
            HTTPError: it was refused.
        """
        data = None if self.body is None else json.dumps(self.body).encode()
        headers = {**self.headers, **({"Content-Type": "application/json"} if data else {})}
        url = instance.url + self.path
        urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30).close()  # noqa: S310 - our own address


def costs(stage: Stage) -> list[Figure]:
    """CPU, WAL and pages of one login, refresh, verification and /me, and the bytes of a row."""
    times = measure(stage)
    NEW.parent.mkdir(exist_ok=True)
    NEW.write_text(json.dumps(asdict(times), indent=2) + "\n")
    return [
        *(
            Figure(
                f"(k) CPU of one {name}: of the service, beside of PostgreSQL",
                _milliseconds(act.service_cpu_seconds),
                _milliseconds(act.database_cpu_seconds),
            )
            for name, act in times.acts.items()
        ),
        Figure("    of that of a login: the hash alone", _milliseconds(times.hash_cpu_seconds)),
        *(Figure(f"    bytes of one {name}, with its indexes", f"{size:,}") for name, size in times.row_bytes.items()),
    ]


def keep() -> None:
    """Put what was measured last in place of what the repository holds."""
    NEW.replace(FILE)


def measure(stage: Stage) -> ServiceTimes:
    """Measure each act on a database of its own, with its crowd."""
    with psycopg.connect(stage.database_url, autocommit=True) as connection:
        connection.execute("create database crowded")
    url = stage.database_url.replace("/authsvc?", "/crowded?")
    migrations.apply(DatabaseUrl(url))
    with psycopg.connect(url, autocommit=True) as connection:
        crowd = _Crowd(stage, url, connection)
        rows = {name: crowd.row_bytes(table) for name, table in TABLES.items()}
        acts = {
            "login": crowd.cost(crowd.login, crowd.logins, writes=True),
            "refresh": crowd.cost(crowd.refresh, crowd.refreshes, writes=True),
            "verify": crowd.cost(crowd.verify, crowd.verifications, writes=False),
            "me": crowd.cost(crowd.me, crowd.mes, writes=False),
        }
        version = connection.info.parameter_status("server_version") or ""
    return ServiceTimes(_made(stage, version), _hash_cpu_seconds(), acts, rows)


class _Crowd:
    """Many people with a session each; of each act it makes one for somebody, or the script of a load."""

    def __init__(self, stage: Stage, url: str, connection: psycopg.Connection[Any]) -> None:
        self._stage, self._url, self._connection = stage, url, connection
        hashed = argon2.PasswordHasher(*_argon2()).hash(PASSWORD)
        connection.execute(PEOPLE_WITH_SESSIONS, {"hash": hashed, "people": PEOPLE, "agent": AGENT})
        connection.execute(ENTRIES)
        connection.execute("vacuum (analyze)")
        rows = connection.execute("select subject, id from sessions order by md5(id::text)").fetchall()
        self._people = iter(rows)
        self._numbers = iter(range(1, PEOPLE))
        config = Config.read({"AUTHSVC_DATABASE_URL": url, "AUTHSVC_JWT_KEYS": stage.keys})
        self._refresh_tokens = RefreshTokens(refresh_keys(config))
        self._issuer = issuer(stage)
        self._postmaster = int(str(self._row("select pg_read_file('postmaster.pid')")[0]).split()[0])

    def row_bytes(self, table: str) -> int:
        """Return what a row of it takes, with its indexes."""
        size, rows = self._row(f"select pg_total_relation_size('{table}'), count(*) from {table}")  # noqa: S608 - of TABLES
        return round(int(size) / int(rows))

    def login(self) -> Request:
        number = next(self._numbers)
        body = {"email": f"person{number}@example.com", "password": PASSWORD}
        return Request("/api/auth/login", body, {"X-Forwarded-For": f"10.1.{number // 256}.{number % 256}"})

    def logins(self) -> Path:
        return self._stage.script("crowd-login.lua", LOGIN)

    def refresh(self) -> Request:
        return Request("/api/auth/refresh", {"refresh_token": self._refresh_token()})

    def refreshes(self) -> Path:
        path = self._lines("crowd-refresh-tokens", self._refresh_token, self._stage.effort.seconds * 6_000)
        return self._stage.script("crowd-refresh.lua", REFRESH.format(path=path))

    def verify(self) -> Request:
        return Request("/api/auth/verify", headers={"Authorization": f"Bearer {self._access_token()}"})

    def verifications(self) -> Path:
        """Each of a token that the instance has not seen: its dearest."""
        path = self._lines("crowd-access-tokens", self._access_token, 15_000 * self._stage.effort.seconds)
        return self._stage.script("crowd-verify.lua", EACH_ITS_OWN.format(path=path))

    def me(self) -> Request:
        return Request("/api/auth/me", headers={"Authorization": f"Bearer {self._access_token()}"})

    def mes(self) -> Path:
        path = self._lines("crowd-own-tokens", self._access_token, 6_000 * self._stage.effort.seconds)
        return self._stage.script("crowd-me.lua", EACH_ITS_OWN.format(path=path))

    def cost(self, one: Callable[[], Request], load: Callable[[], Path], *, writes: bool) -> Act:
        """Measure what reaches the disk, one after the other, and the CPU under load."""
        wal_bytes, fsyncs, pages = self._alone(one) if writes else (0, 0.0, 0.0)
        service, database = self._under_load(one().path, load())
        return Act(service, database, wal_bytes, fsyncs, pages)

    def _alone(self, one: Callable[[], Request]) -> tuple[int, float, float]:
        with self._instance() as instance:
            self._checkpoint()
            before = self._row(WRITTEN)
            for _ in range(ALONE):
                one().send(instance)
        # Its connections are gone, and have said what they did.
        self._checkpoint()
        wal_bytes, fsyncs, pages = (now - then for now, then in zip(self._row(WRITTEN), before, strict=True))
        return round(wal_bytes / ALONE), round(fsyncs / ALONE, 2), round(pages / ALONE, 2)

    def _checkpoint(self) -> None:
        """Write all pages. What that wrote the checkpointer tells when the next one begins."""
        self._connection.execute("checkpoint")
        self._connection.execute("checkpoint")

    def _under_load(self, path: str, script: Path) -> tuple[float, float]:
        seconds = self._stage.effort.seconds
        with self._instance() as instance:
            before = _cpu_seconds(instance.pid), _cpu_seconds(self._postmaster)
            number = wrk.run(f"{instance.url}{path}", clients=16, seconds=seconds, script=script).rate * seconds
            after = _cpu_seconds(instance.pid), _cpu_seconds(self._postmaster)
        service, database = (now - then for now, then in zip(after, before, strict=True))
        return round(service / number, 6), round(database / number, 6)

    def _instance(self) -> AbstractContextManager[Instance]:
        return self._stage.another({**SETTINGS, "AUTHSVC_DATABASE_URL": self._url})

    def _refresh_token(self) -> str:
        _subject, session = self._somebody()
        return self._refresh_tokens.make(RefreshToken(session, 1))

    def _access_token(self) -> str:
        return self._issuer.issue(*self._somebody()).text

    def _somebody(self) -> Any:
        person = next(self._people, None)
        if person is None:
            self._people = iter(
                self._connection.execute("select subject, id from sessions where counter = 1").fetchall()
            )
            person = next(self._people)
        return person

    def _lines(self, name: str, make: Callable[[], str], number: int) -> str:
        path = self._stage.script(name, "".join(f"{make()}\n" for _ in range(number)))
        return json.dumps(str(path))[1:-1]

    def _row(self, statement: str) -> tuple[Any, ...]:
        row = self._connection.execute(statement.encode()).fetchone()
        assert row is not None
        return tuple(row)


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, of those that it started, and of those that have ended since."""
    ticks = 0
    for each in _with_children(pid):
        with_name = Path(f"/proc/{each}/stat").read_text()
        user, system, ended_user, ended_system = with_name.rpartition(")")[2].split()[11:15]
        ticks += int(user) + int(system) + int(ended_user) + int(ended_system)
    return ticks / os.sysconf("SC_CLK_TCK")


def _with_children(pid: int) -> Iterator[int]:
    yield pid
    for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from _with_children(int(each))


def _hash_cpu_seconds() -> float:
    hasher = argon2.PasswordHasher(*_argon2())
    stored = hasher.hash(PASSWORD)
    began = time.process_time()
    for _ in range(HASHES):
        hasher.verify(stored, PASSWORD)
    return round((time.process_time() - began) / HASHES, 6)


def _argon2() -> tuple[int, int, int]:
    profile = PROFILES["owasp-19mib"]
    return profile.passes, profile.memory_kib, profile.lanes


def _made(stage: Stage, postgresql: str) -> dict[str, str | int | float]:
    model = next((line.partition(": ")[2] for line in _lines_of("/proc/cpuinfo") if line.startswith("model name")), "")
    return {
        "by": 'make bench ARGS="--write"',
        "on": f"{SystemClock().now():%Y-%m-%d}",
        "cores": len(os.sched_getaffinity(0)),
        "processor": model,
        "load_average": round(os.getloadavg()[0], 1),
        "python": sys.version.split()[0],
        "postgresql": postgresql.split(maxsplit=1)[0],
        "seconds": stage.effort.seconds,
    }


def _lines_of(path: str) -> list[str]:
    return Path(path).read_text("utf-8", "replace").splitlines()


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.3f} ms"
