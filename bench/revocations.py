"""How soon a logout is seen elsewhere, and what a million of them cost."""

import http.client
import time
from statistics import median
from urllib.parse import urlsplit

import psycopg

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
    """GET /api/auth/verify with a million live revocations, beside none."""
    rates: dict[str, list[float]] = {"none": [], "million": []}
    with stage.another() as none:
        before = none.memory()
        with psycopg.connect(stage.database_url, autocommit=True) as connection:
            _measure(stage, none, rates["none"])
            connection.execute(REVOKE, [MILLION])
            with stage.another() as million:
                # In turns: the machine is not the same from one minute to the next. The first knows them by now, too.
                _measure(stage, million, rates["million"])
                memory = million.memory() - before
            connection.execute("truncate revocations")
    name = "(i) GET /api/auth/verify with 1,000,000 live revocations over none"
    return [
        at_least(name, median(rates["million"]), median(rates["none"]), 0.90),
        Figure("    the memory that they take", f"{memory / 1024 / 1024:,.0f} MiB"),
    ]


def _measure(stage: Stage, instance: Instance, rates: list[float]) -> None:
    for _turn in stage.effort.turns():
        url = f"{instance.url}/api/auth/verify"
        rates.append(wrk.run(url, clients=32, seconds=stage.effort.seconds, header=stage.bearer).rate)


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
