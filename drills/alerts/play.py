"""The drill itself: calm, then one fault after the other, and of each who was told of it, how soon, and until when."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from drills.alerts.faults import Fault
from drills.alerts.receiver import Alert, Told
from drills.alerts.scene import Scene
from drills.beside import beside
from drills.play import say

NOTICE_SECONDS = 60.0
RESOLVE_SECONDS = 120.0
START_SECONDS = 60.0
LOOK_SECONDS = 0.25
WIDTH = 32
READY = "authsvc:login_availability_bad:ratio_rate5m"
SLOWEST_SECONDS = 9 * 3600
"""The longest short window of the burn rates, 6 h, and the longest `for`, 3 h."""


@dataclass
class Strike:
    """One fault, and what was told from its beginning to that of the next."""

    fault: Fault
    began: float
    ended: float = 0.0
    told: list[Told] = field(default_factory=list)


@dataclass
class Outcome:
    """What a drill found."""

    factor: float
    began: float = 0.0
    calm_seconds: float = 0.0
    ended: float = 0.0
    strikes: list[Strike] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Pace:
    """How long it is waited where nothing happens."""

    calm_seconds: float
    hold_seconds: float
    """A fault lasts so long at least, and until all that must be told of it was."""
    is_short: bool = False
    """Whether the drill ends with the last fault's own alerts, and does not wait for those that burn slowly."""


class Play:
    """A drill on a scene."""

    def __init__(self, scene: Scene, faults: Sequence[Fault], pace: Pace, factor: float) -> None:
        self._scene = scene
        self._faults = faults
        self._pace = pace
        self._outcome = Outcome(factor)
        self._receiver = scene.receiver

    async def run(self) -> Outcome:
        """Play it to its end."""
        await self._until_watched()
        outcome = self._outcome
        outcome.began = _now()
        await self._be_calm()
        for fault in self._faults:
            await self._strike(fault)
            if not (self._pace.is_short and fault is self._faults[-1]):
                await self._until_quiet()
        if not self._pace.is_short:
            await self._until_silent()
        outcome.ended = _now()
        self._attribute()
        self._find_unexplained()
        return outcome

    async def _until_watched(self) -> None:
        say("the load begins; Prometheus has its first look")
        deadline = time.monotonic() + START_SECONDS
        while await self._scene.monitoring.value(READY) is None:
            if time.monotonic() > deadline:
                self._find(f"{READY} has no value after {START_SECONDS:g} s of load.")
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _be_calm(self) -> None:
        outcome, told = self._outcome, self._receiver.told
        async with _line("calm", told):
            await self._receiver.until(lambda: bool(told), self._pace.calm_seconds)
        outcome.calm_seconds = _now() - outcome.began
        outcome.findings += [
            f"{_titled(each.alert)} fired while nothing was wrong. {each.alert.summary}" for each in told
        ]
        say(f"{'calm':<{WIDTH}} {outcome.calm_seconds:5.1f} s   {len(told)} alerts")

    async def _strike(self, fault: Fault) -> None:
        strike, before = Strike(fault, _now()), len(self._receiver.told)
        self._outcome.strikes.append(strike)

        def wanted() -> dict[str, Told]:
            """Return the first of each name; those that follow look at longer windows."""
            told = reversed(self._receiver.told[before:])
            return {each.alert.name: each for each in told if each.alert.name in fault.wanted}

        async with _line(fault.name, self._receiver.told), fault.last(self._scene):
            await self._receiver.until(lambda: wanted().keys() == fault.wanted, NOTICE_SECONDS)
            await asyncio.sleep(max(0.0, strike.began + self._pace.hold_seconds - _now()))
        strike.ended = _now()
        for name in sorted(fault.wanted - wanted().keys()):
            self._find(f"{name} did not arrive within {NOTICE_SECONDS:g} s of: {fault.name}.")
        seconds = ", ".join(f"{name} {told.fired - strike.began:.1f} s" for name, told in wanted().items())
        say(f"{fault.name:<{WIDTH}} {strike.ended - strike.began:5.1f} s   told: {seconds or 'nothing'}")

        def firing() -> list[Told]:
            return [told for told in wanted().values() if told.resolved is None]

        async with _line(f"{fault.name}, over", self._receiver.told):
            await self._receiver.until(lambda: not firing(), RESOLVE_SECONDS)
        for told in firing():
            self._find(f"{_titled(told.alert)} has not resolved {RESOLVE_SECONDS:g} s after: {fault.name}.")
        ends = {name: told.resolved - strike.ended for name, told in wanted().items() if told.resolved is not None}
        seconds = ", ".join(f"{name} {end:.1f} s" for name, end in ends.items())
        say(f"{'… over':<{WIDTH}} {_now() - strike.ended:5.1f} s   resolved: {seconds or 'nothing'}")

    async def _until_quiet(self) -> None:
        """Wait until nobody would be woken any more, so that the next fault's pages are its own."""
        deadline, began = time.monotonic() + RESOLVE_SECONDS, _now()
        async with _line("until no page fires", self._receiver.told):
            while (pages := await self._pages()) and time.monotonic() < deadline:  # noqa: ASYNC110 - it is asked for
                await asyncio.sleep(LOOK_SECONDS)
        for name in sorted(pages):
            self._find(f"{name} still fires {RESOLVE_SECONDS:g} s after: {self._outcome.strikes[-1].fault.name}.")
        say(f"{'… quiet':<{WIDTH}} {_now() - began:5.1f} s")

    async def _pages(self) -> set[str]:
        """Return the names of pages that are active here, or that Prometheus has, were they only pending."""
        alerts = [alert["labels"] for alert in await self._scene.monitoring.alerts()]
        told = {each.alert.name for each in self._receiver.active if each.alert.is_page}
        return told | {labels["alertname"] for labels in alerts if labels.get("severity") == "page"}

    async def _until_silent(self) -> None:
        """Wait for the alerts that look at the longest windows."""
        patience = SLOWEST_SECONDS * self._outcome.factor + RESOLVE_SECONDS
        async with _line("until no ticket is open", self._receiver.told):
            await self._receiver.until(lambda: not self._receiver.active, patience)
        for told in self._receiver.active:
            self._find(f"{_titled(told.alert)} has not resolved {patience:.0f} s after the last fault.")
        say(f"{'all over':<{WIDTH}}           {len(self._receiver.told)} alerts were told")

    def _attribute(self) -> None:
        """Give each alert to the fault under way when it came, or over but followed by none yet."""
        for told in self._receiver.told:
            if begun := [strike for strike in self._outcome.strikes if strike.began <= told.fired]:
                begun[-1].told.append(told)

    def _find(self, sentence: str) -> None:
        self._outcome.findings.append(sentence)
        say(f"  {sentence}")

    def _find_unexplained(self) -> None:
        """Find what no fault explains: of pages the one under way, of tickets that or one before."""
        before: set[str] = set()
        for strike in self._outcome.strikes:
            explained = strike.fault.wanted | strike.fault.explained
            for told in strike.told:
                if told.alert.name not in (explained if told.alert.is_page else explained | before):
                    self._find(f"{_titled(told.alert)} is not explained by: {strike.fault.name}. {told.alert.summary}")
            before |= explained


@asynccontextmanager
async def _line(name: str, told: Sequence[Told]) -> AsyncIterator[None]:
    """Keep one line of a terminal alive while something lasts: for how long, and how many were told since."""
    began, before = time.monotonic(), len(told)

    async def show() -> None:
        while sys.stderr.isatty():
            active = sum(each.resolved is None for each in told)
            alerts = f"{len(told) - before} alerts told, {active} active"
            sys.stderr.write(f"\r\x1b[K{name:<{WIDTH}} {time.monotonic() - began:5.1f} s   {alerts}")
            sys.stderr.flush()
            await asyncio.sleep(LOOK_SECONDS)

    async with beside(show()):
        yield


def _titled(alert: Alert) -> str:
    return f"{alert.title} ({alert.severity})"


def _now() -> float:
    return time.time()  # noqa: TID251 - compared with Prometheus' own times
