"""The drill itself: people live, faults fire one after the other, and each one's recovery is measured."""

import asyncio
import random  # noqa: TID251 - the order of faults need not be unguessable
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from drills import faults, ledger, rates
from drills.asking import Asker, Record
from drills.faults import Fault
from drills.ledger import Act
from drills.person import Person
from drills.settlement import Settlement
from drills.stage import Stage

PEOPLE = 50
NEED_THE_DATABASE = (Act.ME, Act.REFRESH, Act.LOGIN)
"""What must come as fast as before: `verify` is answered from memory, whatever the database does."""
FULL_SECONDS = 300
"""From so many seconds on every fault lasts its full time."""
REST_SECONDS = 8.0
LEAST_REST_SECONDS = 1.2
RECOVERY_PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Strike:
    """One fault that fired."""

    name: str
    began: float
    ended: float
    normal: Mapping[Act, float]
    """Good answers a second before it, of each kind that needs the database."""
    recoveries: Mapping[Act, float | None]
    """From its end on; None where it did not come to that."""
    answers: Counter[str]
    """What came back while it lasted, and until the rate was normal again."""

    @property
    def recovery_seconds(self) -> float | None:
        """Return the longest of them."""
        found = [each for each in self.recoveries.values() if each is not None]
        return max(found) if len(found) == len(self.recoveries) else None

    @property
    def is_comparison(self) -> bool:
        """Tell whether nothing failed."""
        return self.name == faults.ALL[0].name


@dataclass
class Outcome:
    """What a drill found."""

    strikes: list[Strike] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    findings: list[ledger.Finding] = field(default_factory=list)
    acts: Counter[str] = field(default_factory=Counter)
    """Acknowledged, by sort."""
    requests: int = 0
    network: str = ""
    """How it was made."""


class Play:
    """A drill on a stage, for a number of seconds."""

    def __init__(self, stage: Stage, seconds: float, seed: int) -> None:
        self._stage = stage
        self._seconds = seconds
        self._scale = min(1.0, seconds / FULL_SECONDS)
        self._rest = max(LEAST_REST_SECONDS, REST_SECONDS * self._scale)
        self._chance = random.Random(seed)
        self._record = Record()
        self._outcome = Outcome(network=stage.network.sentence)
        self._is_over = False

    async def run(self) -> Outcome:
        """Play it to its end, and call in every promise."""
        documented = await _documented(self._stage.url)
        asker = Asker(self._stage.url, self._record)
        people = [Person(f"person-{number}", asker, random.Random(self._chance.random())) for number in range(PEOPLE)]
        try:
            async with asyncio.TaskGroup() as tasks:
                for person in people:
                    tasks.create_task(person.live(lambda: self._is_over))
                await self._until_everybody_is_in(people)
                await self._fire()
                self._is_over = True
            say("every promise is called in")
            instances = [instance.url for instance in self._stage.instances]
            settlement = Settlement(asker, instances, people, self._chance)
            await settlement.call_in()
        finally:
            await asker.close()
        entries = self._record.entries
        self._outcome.findings = [*ledger.findings(entries, documented), *settlement.unanswered]
        self._outcome.requests = len(entries)
        self._outcome.acts = Counter(each.act.name.lower() for each in entries if each.answer.is_good)
        return self._outcome

    async def _until_everybody_is_in(self, people: list[Person]) -> None:
        say(f"{len(people)} people register and log in")
        async with asyncio.TaskGroup() as tasks:
            for person in people:
                tasks.create_task(person.is_in.wait())

    async def _fire(self) -> None:
        end = time.monotonic() + self._seconds
        usable = self._usable()
        for fault in usable:
            await self._strike(fault)
        while True:
            for fault in self._chance.sample(usable, len(usable)):
                if time.monotonic() + self._rest + fault.seconds * self._scale > end:
                    return
                await self._strike(fault)

    def _usable(self) -> list[Fault]:
        usable = [fault for fault in faults.ALL if self._stage.disk is not None or not fault.needs_disk]
        self._outcome.left_out = [fault.name for fault in faults.ALL if fault not in usable]
        for name in self._outcome.left_out:
            say(f"{name:<38} left out: no small file system can be mounted here (it needs root)")
        return usable

    async def _strike(self, fault: Fault) -> None:
        rest_began = time.monotonic()
        await asyncio.sleep(self._rest)
        began, good = time.monotonic(), self._record.good
        normal = {act: rates.normal_rate(good[act], rest_began, began) for act in NEED_THE_DATABASE}
        async with asyncio.TaskGroup() as tasks:
            line = tasks.create_task(self._show(fault.name, began))
            ended = await fault.strike(self._stage, fault.seconds * self._scale)
            recoveries = await self._recoveries(ended, normal)
            line.cancel()
        last = max(found or 0 for found in recoveries.values())
        until = time.monotonic() if None in recoveries.values() else ended + last
        strike = Strike(fault.name, began, ended, normal, recoveries, self._record.count(began, until))
        self._outcome.strikes.append(strike)
        back = "not back" if strike.recovery_seconds is None else f"back after {strike.recovery_seconds:.1f} s"
        answers = ", ".join(f"{sort}: {number}" for sort, number in sorted(strike.answers.items()))
        say(f"{fault.name:<38} {ended - began:5.1f} s   {back:<18} {answers}")

    async def _recoveries(self, ended: float, normal: Mapping[Act, float]) -> dict[Act, float | None]:
        found: dict[Act, float | None] = dict.fromkeys(normal)
        while None in found.values() and (now := time.monotonic()) < ended + RECOVERY_PATIENCE_SECONDS:
            for act, rate in normal.items():
                if found[act] is None:
                    found[act] = rates.recovery_seconds(self._record.good[act], ended, rate, now)
            await asyncio.sleep(rates.STEP_SECONDS)
        return found

    async def _show(self, name: str, began: float) -> None:
        """Keep one line of a terminal alive while a fault lasts."""
        while sys.stderr.isatty():
            now = time.monotonic()
            rate = sum(rates.rate(moments, now - 0.5, now) for moments in self._record.good.values())
            sys.stderr.write(f"\r\x1b[K{name:<38} {now - began:5.1f} s   {rate:4.0f} good answers a second")
            sys.stderr.flush()
            await asyncio.sleep(0.25)


def say(sentence: str) -> None:
    """Tell what is going on: over the live line in a terminal, a plain line elsewhere."""
    start = "\r\x1b[K" if sys.stderr.isatty() else ""
    print(f"{start}{sentence}", file=sys.stderr, flush=True)


async def _documented(url: str) -> dict[ledger.Act, frozenset[int]]:
    """Return the statuses that the service's own description names, by act."""
    async with aiohttp.ClientSession() as http, http.get(f"{url}/api/openapi.json") as response:
        paths = (await response.json())["paths"]
    return {
        act: frozenset(int(status) for status in paths[path][method.lower()]["responses"])
        for act in ledger.Act
        for method, path in [act.value]
    }
