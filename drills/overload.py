"""Logins offered at ten times what can be served: how many are still served, and how quick the cheap answers stay."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from statistics import median

import aiohttp

from drills.open_loop import Offered, Offerer
from drills.stage import Stage

TIMES = 10
CLIENTS = 16
VERIFY_RATE = 100.0
ROUNDS = 3
SETTLE_SECONDS = 1.0
# So many that none of them comes near the most sessions of one account.
CROWD = 60
PASSWORD = "correct horse battery staple"  # noqa: S105 - it protects nothing


@dataclass
class Round:
    """What can be served, alone and beside the client's own work, and what is served when far more is offered."""

    alone: float
    capacity: float
    """While the client, which shares the cores, offers as much as in the flood, but to another; and asks to verify."""
    offered: float
    served: float
    answers: Counter[int]
    verify_idle: list[float]
    verify: list[float]


@dataclass
class Overload:
    """All rounds."""

    rounds: list[Round] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Return the share of capacity that is still served."""
        return median(each.served / each.capacity for each in self.rounds)

    @property
    def share_of_alone(self) -> float:
        """Return the same, where the client's own work is held against the service."""
        return median(each.served / each.alone for each in self.rounds)

    @property
    def alone(self) -> float:
        """Return logins a second that can be served when the client does no more than to ask for them."""
        return median(each.alone for each in self.rounds)

    @property
    def capacity(self) -> float:
        """Return logins a second that can be served."""
        return median(each.capacity for each in self.rounds)

    @property
    def offered(self) -> float:
        """Return logins a second that were offered."""
        return median(each.offered for each in self.rounds)

    @property
    def served(self) -> float:
        """Return logins a second that were served of those."""
        return median(each.served for each in self.rounds)

    @property
    def answers(self) -> Counter[int]:
        """Return the answers to the logins offered, by status."""
        return sum((each.answers for each in self.rounds), Counter())

    @property
    def p99_ms(self) -> float:
        """Return the 99th percentile of verify, in the median round."""
        return median(percentile_ms(each.verify, 0.99) for each in self.rounds)

    @property
    def idle_p99_ms(self) -> float:
        """Return the same while nobody logs in."""
        return median(percentile_ms(each.verify_idle, 0.99) for each in self.rounds)


def percentile_ms(seconds: list[float], share: float) -> float:
    """Return the value that this share of them does not exceed, in milliseconds."""
    return sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] * 1000


async def measure(stage: Stage, seconds: float) -> Overload:
    """Measure at one instance, past the proxy: first the capacity, then ten times as much, and that three times."""
    url, overload = stage.instances[0].url, Overload()
    offerer, verifier, elsewhere = Offerer(url), Offerer(url), Offerer(await stage.refusing())
    bodies, token = await _crowd(url)
    logins = [offerer.request("POST", "/api/auth/login", body=body) for body in bodies]
    verify = [verifier.request("GET", "/api/auth/verify", bearer=token)]

    async def capacity() -> float:
        busy, begin, end = await _timed(offerer.keep_busy(logins, clients=CLIENTS, seconds=seconds), seconds)
        return busy.statuses(begin, end)[200] / (end - begin)

    try:
        for _round in range(ROUNDS):
            quiet = await verifier.offer(verify, rate=VERIFY_RATE, seconds=seconds)
            alone = await capacity()
            async with asyncio.TaskGroup() as tasks:
                beside = tasks.create_task(capacity())
                # But for those that are served.
                tasks.create_task(elsewhere.offer(logins, rate=(TIMES - 1) * alone, seconds=seconds))
                tasks.create_task(verifier.offer(verify, rate=VERIFY_RATE, seconds=seconds))
            offering = offerer.offer(logins, rate=TIMES * alone, seconds=seconds)
            async with asyncio.TaskGroup() as tasks:
                storm = tasks.create_task(_timed(offering, seconds))
                await asyncio.sleep(SETTLE_SECONDS)
                amid = await verifier.offer(verify, rate=VERIFY_RATE, seconds=seconds - SETTLE_SECONDS)
            flood, begin, end = storm.result()
            answers = flood.statuses(begin, end)
            found = (alone, beside.result(), TIMES * alone, answers[200] / (end - begin), answers)
            overload.rounds.append(Round(*found, quiet.latencies, amid.latencies))
    finally:
        for each in (offerer, verifier, elsewhere):
            each.close()
    return overload


async def _timed(offering: Coroutine[None, None, Offered], seconds: float) -> tuple[Offered, float, float]:
    """Return what came of it, with the time to count in: after the queue has filled, and before the offering ends."""
    began = time.perf_counter()
    return await offering, began + SETTLE_SECONDS, began + seconds


async def _crowd(url: str) -> tuple[list[bytes], str]:
    """Return the credentials of those who log in, and the access token of one of them."""
    bodies = [json.dumps({"email": f"crowd-{n}@example.com", "password": PASSWORD}).encode() for n in range(CROWD)]
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(url, headers=headers, raise_for_status=True) as http:
        for body in bodies:
            async with http.post("/api/auth/register", data=body):
                pass
        async with http.post("/api/auth/login", data=bodies[0]) as response:
            return bodies, str((await response.json())["access_token"])
