"""What a drill found, as text for a terminal and as docs/drills/faults.md."""

import os
import platform
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from drills.attacks import FOLDERS, Attacks
from drills.ledger import Act, Kind
from drills.overload import Overload
from drills.play import NEED_THE_DATABASE, PEOPLE, Outcome

RECOVERY_SECONDS = 2.0
VERIFY_P99_MS = 10.0
SHARE = 0.9
MOST_SHOWN = 40

DOCUMENT = """# Faults under load

Written by `{command}` on
{machine}. The counts are worth more than the times, which are that machine's.

{people} clients register, log in, renew (also in two tabs at once), log out and change passwords, through HAProxy
([examples/haproxy.cfg](../../examples/haproxy.cfg)) at two instances on one PostgreSQL, while one fault after the other
fires. Each keeps a ledger of what it was promised, and asks again for whatever answer it lost. In the end every promise
is called in, at both instances. Passwords cost nothing in this part, so that the hash rate is not what is seen. The
limits are off in all of it (`AUTHSVC_LIMITS=off`), since every client comes from one address;
tests/attacks/test_limits.py tries these. {network}

Logins beyond capacity are another stage, with passwords that cost what they cost. The client shares the cores with the
service. So the capacity is measured while it offers as much as in the flood, but to an HAProxy that refuses all of it;
the share without that is given, too.

{goals}

{attacks}

## Each fault

Recovery: from the fault's end (PostgreSQL and the instances start only then) to the first time in which good answers
come at 80 % of the rate before it, for each kind that needs the database by itself; a time is 0.4 s, or as long as 8
answers take. `verify` is answered from memory, and does not count. 503 is the service's own, with `Retry-After`; what
the proxy says for itself is counted apart. 401 is what clients provoke who use what has ended.

{faults}

## Broken promises

{found}
"""


@dataclass(frozen=True)
class Goal:
    """A figure, what is wanted of it, and whether it was had."""

    name: str
    value: str
    wanted: str = ""
    is_met: bool = True

    @property
    def verdict(self) -> str:
        """Return what is wanted, and whether it was had."""
        return f"{self.wanted} {'met' if self.is_met else 'MISSED'}" if self.wanted else ""


@dataclass(frozen=True)
class Report:
    """What was found, and the command that found it."""

    outcome: Outcome
    overload: Overload | None
    attacks: Attacks | None
    command: str

    def missed(self) -> list[Goal]:
        """Return the goals that were not had."""
        return [goal for goal in self._goals if not goal.is_met]

    def text(self) -> str:
        """Return the table for a terminal, with every finding."""
        lines = ["", f"{self._machine()}", ""]
        lines += [f"{goal.name:<62} {goal.value:>16}   {goal.verdict}".rstrip() for goal in self._goals]
        found = self.outcome.findings
        lines += ["", f"{len(found)} broken promises" if found else "No promise was broken."]
        lines += [f"  {finding.kind.value}: {finding.sentence}" for finding in found[:MOST_SHOWN]]
        lines += [f"  … and {len(found) - MOST_SHOWN} more"] if len(found) > MOST_SHOWN else []
        return "\n".join(lines)

    def figures(self) -> dict[str, Any]:
        """Return the figures for a machine to read."""
        return {
            "findings": [{"kind": each.kind.name, "sentence": each.sentence} for each in self.outcome.findings],
            "faults": [
                {
                    "name": each.name,
                    "seconds": each.ended - each.began,
                    "normal_rates": {act.name.lower(): rate for act, rate in each.normal.items()},
                    "recovery_seconds": {act.name.lower(): found for act, found in each.recoveries.items()},
                    "answers": dict(each.answers),
                }
                for each in self.outcome.strikes
            ],
            "left_out": self.outcome.left_out,
            "network": self.outcome.network,
            "requests": self.outcome.requests,
            "acknowledged": dict(self.outcome.acts),
            "goals": [vars(each) | {"verdict": each.verdict} for each in self._goals],
        }

    def document(self) -> str:
        """Return docs/drills/faults.md."""
        goals = _table(("", "", "wanted"), ((goal.name, goal.value, goal.verdict) for goal in self._goals))
        kinds = (f"recovery of {_name(act)}" for act in NEED_THE_DATABASE)
        faults = _table(("fault", "fired", "longest", *kinds, "answers meanwhile"), self._rows())
        found = [f"- {finding.kind.value}: {finding.sentence}" for finding in self.outcome.findings]
        left_out = [f"Left out on that machine: {name}.\n" for name in self.outcome.left_out]
        return DOCUMENT.format(
            command=self.command,
            machine=self._machine(),
            people=PEOPLE,
            goals="\n".join(goals),
            network=self.outcome.network,
            attacks=self._sentence_of_attacks(),
            faults="\n".join([*faults, *left_out]),
            found="\n".join(found) or "None.",
        )

    @cached_property
    def _goals(self) -> list[Goal]:
        return [
            *(self._goals_of_attacks(self.attacks) if self.attacks else []),
            *self._goals_of_faults(),
            *(self._goals_of_overload(self.overload) if self.overload else []),
        ]

    def _sentence_of_attacks(self) -> str:
        folders = ", ".join(f"`{folder}`" for folder in FOLDERS)
        if self.attacks is None:
            return f"The attacks, faults and races in {folders} were not run with it."
        missed = "".join(f"\n- not held: {name}" for name in self.attacks.missed)
        return f"The attacks, faults and races are the tests in {folders}, run with this drill.\n{missed}".rstrip()

    def _goals_of_attacks(self, attacks: Attacks) -> Iterator[Goal]:
        is_met = attacks.held == attacks.tried > 0
        yield Goal("attacks, faults and races tried, and held", f"{attacks.tried}, {attacks.held}", "all", is_met)

    def _goals_of_faults(self) -> Iterator[Goal]:
        outcome, kinds = self.outcome, Counter(finding.kind for finding in self.outcome.findings)
        strikes = [strike for strike in outcome.strikes if not strike.is_comparison]
        during = sum((strike.answers for strike in strikes), Counter[str]())
        back = [strike for strike in strikes if strike.recovery_seconds is not None]
        yield Goal("faults fired, and survived", f"{len(strikes)}, {len(back)}", "all", len(back) == len(strikes))
        yield Goal("requests", f"{outcome.requests:,}")
        yield Goal("requests during faults", f"{during.total():,}")
        for sort, number in sorted(during.items()):
            yield Goal(f"· {sort}", f"{number:,}")
        for act in ("register", "login", "refresh", "logout", "change_password"):
            yield Goal(f"acknowledged: {act.replace('_', ' ')}", f"{outcome.acts[act]:,}")
        for kind in Kind:
            yield Goal(f"times that {kind.value}", str(kinds[kind]), "0", not kinds[kind])
        worst = max((each.recovery_seconds or 0 for each in back), default=0)
        yield Goal("longest recovery", f"{worst:.1f} s", f"≤ {RECOVERY_SECONDS:g} s", worst <= RECOVERY_SECONDS)

    def _goals_of_overload(self, overload: Overload) -> Iterator[Goal]:
        yield Goal("logins a second that one instance serves", f"{overload.alone:.0f}")
        yield Goal("the same beside a client that offers ten times as many, elsewhere", f"{overload.capacity:.0f}")
        yield Goal("logins a second offered, ten times as many", f"{overload.offered:.0f}")
        yield Goal("share of capacity still served", f"{overload.share:.2f}", f"≥ {SHARE:g}", overload.share >= SHARE)
        yield Goal("share of what is served without such a client beside", f"{overload.share_of_alone:.2f}")
        p99 = overload.p99_ms
        yield Goal("p99 of verify meanwhile", f"{p99:.1f} ms", f"≤ {VERIFY_P99_MS:g} ms", p99 <= VERIFY_P99_MS)
        yield Goal("p99 of verify while nobody logs in", f"{overload.idle_p99_ms:.1f} ms")

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for name in dict.fromkeys(strike.name for strike in self.outcome.strikes):
            strikes = [strike for strike in self.outcome.strikes if strike.name == name]
            answers = sum((strike.answers for strike in strikes), Counter[str]())
            yield (
                name,
                str(len(strikes)),
                f"{max(strike.ended - strike.began for strike in strikes):.1f} s",
                *(_worst([strike.recoveries[act] for strike in strikes]) for act in NEED_THE_DATABASE),
                ", ".join(f"{sort}: {number:,}" for sort, number in sorted(answers.items())),
            )

    def _machine(self) -> str:
        cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
        # Who reads the times must know how much else was going on.
        load = os.getloadavg()[1]
        return f"{cores} cores, load average {load:.0f}, {platform.system()}, Python {platform.python_version()}"


def _worst(found: list[float | None]) -> str:
    return "never" if None in found else f"{max(each for each in found if each is not None):.1f} s"


def _name(act: Act) -> str:
    return act.name.lower().replace("_", " ")


def _table(head: tuple[str, ...], rows: Any) -> Iterator[str]:  # noqa: ANN401 - tuples as long as the head
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
