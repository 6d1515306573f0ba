"""How soon a logout is seen elsewhere, and what a million of them cost."""

import http.client
import re
import time
import urllib.request
from collections.abc import Callable
from contextlib import ExitStack
from statistics import median
from urllib.parse import urlsplit

import psycopg

from authsvc.config import DatabaseUrl
from authsvc.store import migrations
from bench import wrk
from bench.report import Figure, at_least, at_most
from bench.stage import CROWD, PASSWORD, Instance, Stage, post

LOGOUTS, MILLION = 100, 1_000_000
REVOKE = """
insert into revocations (session_id, expires_at)
select gen_random_uuid(), now() + interval '1 hour' from generate_series(1, %s)
"""


def logout_seen_elsewhere(stage: Stage) -> list[Figure]:
    """From the answer to a logout until another instance refuses the token."""
    delays = []
    with stage.another() as other:
        for number in range(LOGOUTS):
            token = post(f"{stage.service.url}/api/auth/login", {"email": CROWD[0], "password": PASSWORD})[
                "access_token"
            ]
            # Anywhere between two looks of the other instance.
            time.sleep(0.5 * number / LOGOUTS)
            post(f"{stage.service.url}/api/auth/logout", token=token)
            delays.append(_until_refused(other, token))
    delays.sort()
    shown = " · ".join(f"p{share} {delays[len(delays) * share // 100 - 1] * 1000:.0f}" for share in (10, 50, 90, 99))
    return [
        at_most(f"(h) from logout to refused by another instance, p99 of {LOGOUTS}", delays[-2] * 1000, 1000),
        Figure(f"    {shown} · most {delays[-1] * 1000:.0f} ms", ""),
    ]


def verify_with_a_million(stage: Stage) -> list[Figure]:
    """GET /api/auth/verify with a million live revocations, beside none, and while they are read."""
    with ExitStack() as stack:
        connection = stack.enter_context(psycopg.connect(stage.database_url, autocommit=True))
        # On a database of its own, where nothing has ended.
        connection.execute("create database quiet")
        quiet_url = stage.database_url.replace("/authsvc?", "/quiet?")
        migrations.apply(DatabaseUrl(quiet_url))
        quiet = stack.enter_context(stage.another({"AUTHSVC_DATABASE_URL": quiet_url}))
        instance = stack.enter_context(stage.another())
        before = instance.memory()
        idle, _seconds = _longest_wait(stage, instance, lambda seconds: seconds > stage.effort.seconds)
        connection.execute(REVOKE, [MILLION])
        try:
            busy, seconds = _longest_wait(stage, instance, lambda _seconds: _known(instance) >= MILLION)
            memory, peak = instance.memory() - before, instance.memory("VmHWM") - before
            rates: dict[Instance, list[float]] = {instance: [], quiet: []}
            for _turn in stage.effort.turns():
                for each, measured in rates.items():
                    measured.append(_rate(stage, each))
            began = time.perf_counter()
            with stage.another():
                start = time.perf_counter() - began
        finally:
            connection.execute("truncate revocations")
    return [
        at_least(
            "(i) GET /api/auth/verify with 1,000,000 live revocations over none",
            median(rates[instance]),
            median(rates[quiet]),
            0.90,
        ),
        Figure("    the memory that they take; at most, while they are read", _mib(memory), _mib(peak)),
        Figure("    until all are read by an instance that serves; that starts", f"{seconds:.1f} s", f"{start:.1f} s"),
        Figure("    the longest answer meanwhile, over idle", f"{busy * 1000:.0f} ms", f"{idle * 1000:.0f} ms"),
    ]


def _rate(stage: Stage, instance: Instance) -> float:
    url = f"{instance.url}/api/auth/verify"
    return wrk.run(url, clients=32, seconds=stage.effort.seconds, header=stage.bearer).rate


def _longest_wait(stage: Stage, instance: Instance, is_over: Callable[[float], bool]) -> tuple[float, float]:
    """Ask again and again on one connection; return the longest wait for an answer, and how long it all took."""
    connection = http.client.HTTPConnection(urlsplit(instance.url).netloc, timeout=60)
    began, longest, over = time.perf_counter(), 0.0, False
    while not over:
        for _ in range(50):
            asked = time.perf_counter()
            connection.request("GET", "/api/auth/verify", headers={"Authorization": f"Bearer {stage.token}"})
            connection.getresponse().read()
            longest = max(longest, time.perf_counter() - asked)
        over = is_over(time.perf_counter() - began)
    connection.close()
    return longest, time.perf_counter() - began


def _known(instance: Instance) -> int:
    """Return how many revocations an instance knows."""
    with urllib.request.urlopen(f"{instance.admin_url}/metrics", timeout=60) as response:  # noqa: S310 - our own address
        found = re.search(r"^authsvc_revocations(?:{})? (\S+)$", response.read().decode(), re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def _mib(size: int) -> str:
    return f"{size / 1024 / 1024:,.0f} MiB"


def _until_refused(instance: Instance, token: str) -> float:
    """Ask again and again on one connection; return the seconds until the answer is 401."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection(urlsplit(instance.url).netloc, timeout=30)
    while True:
        connection.request("GET", "/api/auth/verify", headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        if answer.status == 401:
            connection.close()
            return time.perf_counter() - started
        if answer.status != 204 or time.perf_counter() > started + 30:
            raise RuntimeError(f"the other instance answers {answer.status}")
        time.sleep(0.002)
