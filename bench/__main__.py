"""Measure the service beside the physical limit, in one run (short: `make bench ARGS="--seconds 2 --rounds 1"`).

Each pair is measured in turns, several rounds; medians are compared. Trust the ratios, not the absolute figures.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from authsvc import embedded, key_sets
from authsvc.config import DatabaseUrl
from authsvc.store import migrations
from bench import wrk

CREDENTIALS = {"email": "ada@example.com", "password": "correct horse battery staple"}
LOGIN_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"email":"ada@example.com","password":"correct horse battery staple"}'
"""


@dataclass(frozen=True)
class Subject:
    """What is measured: the running service, its bare counterpart, and how to ask them."""

    service: str
    bare: str
    bearer: str
    login_lua: Path


@dataclass(frozen=True)
class Ratio:
    """One line of the report."""

    name: str
    ours: str
    beside: str
    ratio: float
    wanted: str
    met: bool


def main() -> None:
    """Run everything, print the table, and exit 1 where a ratio is missed."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="of each pair (default 3)")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    with _subject() as subject:
        ratios = [
            _me_over_bare(subject, options.seconds, options.rounds),
            _logins_over_raw_hash(subject, options.seconds, options.rounds),
            *_me_in_a_storm(subject, options.seconds, options.rounds),
        ]
    _print(ratios)
    if options.json:
        options.json.write_text(json.dumps([vars(ratio) for ratio in ratios], indent=2) + "\n")
    sys.exit(not all(ratio.met for ratio in ratios))


def _me_over_bare(subject: Subject, seconds: float, rounds: int) -> Ratio:
    ours, bare = [], []
    for number in range(rounds):
        _say(f"(a) /api/auth/me beside a bare route, round {number + 1} of {rounds}")
        bare.append(wrk.run(f"{subject.bare}/me", clients=32, seconds=seconds).rate)
        ours.append(wrk.run(f"{subject.service}/api/auth/me", clients=32, seconds=seconds, header=subject.bearer).rate)
    ratio = median(ours) / median(bare)
    return Ratio(
        "(a) GET /api/auth/me over a bare aiohttp + asyncpg route, 32 clients",
        f"{median(ours):,.0f}/s",
        f"{median(bare):,.0f}/s",
        ratio,
        "≥ 0.80",
        ratio >= 0.80,
    )


def _logins_over_raw_hash(subject: Subject, seconds: float, rounds: int) -> Ratio:
    ours, raw = [], []
    for number in range(rounds):
        _say(f"(b) logins beside the raw hash rate, round {number + 1} of {rounds}")
        command = [sys.executable, "-m", "bench.raw_hash", str(seconds)]
        raw.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        ours.append(
            wrk.run(f"{subject.service}/api/auth/login", clients=16, seconds=seconds, script=subject.login_lua).rate
        )
    ratio = median(ours) / median(raw)
    return Ratio(
        "(b) POST /api/auth/login over raw argon2id on as many threads, 16 clients",
        f"{median(ours):,.1f}/s",
        f"{median(raw):,.1f}/s",
        ratio,
        "≥ 0.95",
        ratio >= 0.95,
    )


def _me_in_a_storm(subject: Subject, seconds: float, rounds: int) -> list[Ratio]:
    idle, storm = [], []
    me = f"{subject.service}/api/auth/me"
    for number in range(rounds):
        _say(f"(c) /api/auth/me while 32 clients log in, round {number + 1} of {rounds}")
        idle.append(wrk.run(me, clients=4, seconds=seconds, header=subject.bearer))
        logins = wrk.start(
            f"{subject.service}/api/auth/login", clients=32, seconds=seconds + 2, script=subject.login_lua
        )
        time.sleep(1)
        storm.append(wrk.run(me, clients=4, seconds=seconds, header=subject.bearer))
        wrk.result(logins)
    rate, quiet = median(load.rate for load in storm), median(load.rate for load in idle)
    p99 = median(load.p99 for load in storm)
    p99_idle = median(load.p99 for load in idle)
    return [
        Ratio(
            "(c) GET /api/auth/me in a login storm over idle, 4 clients",
            f"{rate:,.0f}/s",
            f"{quiet:,.0f}/s",
            rate / quiet,
            "≥ 0.50",
            rate / quiet >= 0.50,
        ),
        Ratio(
            "    its p99 in the storm, over idle",
            f"{p99:.1f} ms",
            f"{p99_idle:.1f} ms",
            p99 / p99_idle,
            "≤ 50 ms",
            p99 <= 50,
        ),
    ]


@contextmanager
def _subject() -> Iterator[Subject]:
    with tempfile.TemporaryDirectory() as folder, embedded.serve(Path(folder)) as server:
        _say("starting PostgreSQL, the service and the bare route")
        migrations.apply(DatabaseUrl(server.url))
        lua = Path(folder) / "login.lua"
        lua.write_text(LOGIN_LUA)
        port, admin_port, bare_port = _free_ports(3)
        environ = {
            "AUTHSVC_DATABASE_URL": server.url,
            "AUTHSVC_JWT_KEYS": json.dumps({"keys": [key_sets.generate_key("ES256")]}),
            "AUTHSVC_PORT": str(port),
            "AUTHSVC_ADMIN_PORT": str(admin_port),
            "AUTHSVC_LOG_FORMAT": "json",
        }
        service, bare = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{bare_port}"
        with _process([sys.executable, "-m", "authsvc", "serve"], environ, f"http://127.0.0.1:{admin_port}/readyz"):
            user = _post(f"{service}/api/auth/register")
            token = _post(f"{service}/api/auth/login")["access_token"]
            command = [sys.executable, "-m", "bench.bare", server.url, user["id"], str(bare_port)]
            with _process(command, {}, f"{bare}/me"):
                yield Subject(service, bare, f"Authorization: Bearer {token}", lua)


@contextmanager
def _process(command: list[str], environ: Mapping[str, str], ready_url: str) -> Iterator[None]:
    """Run a server as in production: its log goes to a file, every line of it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AUTHSVC_")}  # noqa: TID251 - a command of its own
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env={**inherited, **environ}, stdout=log)
        try:
            _wait_for(ready_url, process)
            yield
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{url} does not answer") from error
            time.sleep(0.05)


def _post(url: str) -> Any:
    request = urllib.request.Request(  # noqa: S310 - our own address
        url, json.dumps(CREDENTIALS).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
        return json.load(response)


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _print(ratios: list[Ratio]) -> None:
    cores = len(os.sched_getaffinity(0))
    print(f"\nmedians of one run on {cores} cores, Python {sys.version.split()[0]}\n")
    print(f"{'':<76} {'authsvc':>11} {'beside':>11} {'ratio':>6}  wanted")
    for each in ratios:
        mark = "met" if each.met else "MISSED"
        print(f"{each.name:<76} {each.ours:>11} {each.beside:>11} {each.ratio:>6.2f}  {each.wanted} {mark}")


def _say(sentence: str) -> None:
    print(sentence, "…", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
