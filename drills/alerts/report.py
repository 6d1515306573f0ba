"""What a drill of alerts found, as text for a terminal and as docs/drills/alerts.md."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from drills.alerts.play import Outcome, Strike
from drills.alerts.receiver import Told
from drills.alerts.scene import PEOPLE
from drills.report import machine, table

DOCUMENT = """# Alerts, heard

Written by `make drill-alerts` on {machine}.

{people} people look at their account, renew and log in at one instance on one PostgreSQL; a real Prometheus and a real
Alertmanager watch it by [the rules](../../infra/monitoring/rules) and call a webhook. Then something breaks for real.
Every window, wait and interval of the rules, of [the scrapes](../../infra/local/prometheus.yml) and of
[the notifications](../../infra/local/alertmanager.yml) is {factor} of what it is in production; thresholds
are the same. So a time here is about {times:g} times as long in production, but for what a threshold takes: the feed is
stale after 5 seconds in both.

- In {calm:.0f} s of calm before the first fault {calm_told}.
- {wanted} alerts had to arrive, each because of its fault, and to resolve once it was over: {met} did.
- {strangers}

![The main panels over the drill, with the time of each fault shaded, and below them who was told when]({picture})

## Each fault

From the fault's beginning to the webhook's call that says so, and from the fault's end to the call that says that it
is over. **Bold** had to arrive; the others are explained by the fault, too, or burn slowly, and resolve when their
window has passed.

{rows}

{faults}

## Findings

{findings}
"""


@dataclass(frozen=True)
class Report:
    """What was found, with all times `factor` times those of production."""

    outcome: Outcome
    factor: Fraction

    def text(self) -> str:
        """Return the table for a terminal, with every finding."""
        lines = ["", machine(), "", f"{'':<32} {'':<38} {'noticed':>9} {'resolved':>9}"]
        for strike in self.outcome.strikes:
            lines += [
                f"{strike.fault.name if not number else '':<32} {told.alert.title:<31} {told.alert.severity:<6} "
                f"{noticed:>9} {resolved:>9}"
                for number, (told, noticed, resolved) in enumerate(_times(strike))
            ]
        findings = self.outcome.findings
        lines += [
            "",
            f"{len(findings)} findings" if findings else "All that had to be told was told, and nothing else.",
        ]
        lines += [f"  {sentence}" for sentence in findings]
        return "\n".join(lines)

    def figures(self) -> dict[str, Any]:
        """Return the figures for a machine to read; times in seconds."""
        return {
            "factor": str(self.factor),
            "calm_seconds": self.outcome.calm_seconds,
            "findings": self.outcome.findings,
            "faults": [
                {
                    "fault": strike.fault.key,
                    "seconds": strike.ended - strike.began,
                    "told": [
                        {
                            "alert": told.alert.name,
                            "severity": told.alert.severity,
                            "noticed": told.fired - strike.began,
                            "resolved": None if told.resolved is None else told.resolved - strike.ended,
                        }
                        for told in strike.told
                    ],
                }
                for strike in self.outcome.strikes
            ],
        }

    def document(self, picture: str) -> str:
        """Return docs/drills/alerts.md."""
        outcome = self.outcome
        wanted = [(strike, name) for strike in outcome.strikes for name in strike.fault.wanted]
        met = [
            (strike, name)
            for strike, name in wanted
            if any(told.alert.name == name and told.resolved is not None for told in strike.told)
        ]
        strangers = [each for each in outcome.findings if "not explained" in each]
        calm = [each for each in outcome.findings if "nothing was wrong" in each]
        return DOCUMENT.format(
            machine=machine(),
            people=PEOPLE,
            factor=self.factor,
            times=float(1 / self.factor),
            calm=outcome.calm_seconds,
            calm_told=f"{len(calm)} fired" if calm else "none fired",
            wanted=len(wanted),
            met=len(met) if len(met) < len(wanted) else "all",
            strangers=f"{len(strangers)} came that no fault explains."
            if strangers
            else "None came that no fault explains.",
            picture=picture,
            rows="\n".join(table(("fault", "alert", "", "noticed after", "resolved after"), self._rows())),
            faults="\n".join(
                f"- {strike.fault.name}: {strike.fault.what}, for {strike.ended - strike.began:.0f} s."
                for strike in outcome.strikes
            ),
            findings="\n".join(f"- {sentence}" for sentence in outcome.findings) or "None.",
        )

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for strike in self.outcome.strikes:
            name, seen = strike.fault.name, set[str]()
            for told, noticed, resolved in _times(strike):
                alert = told.alert
                is_wanted = alert.name in strike.fault.wanted and alert.name not in seen
                yield name, f"**{alert.title}**" if is_wanted else alert.title, alert.severity, noticed, resolved
                seen.add(alert.name)
                name = ""


def _times(strike: Strike) -> Iterator[tuple[Told, str, str]]:
    """Yield what was told, with how long after the fault's beginning, and how long after its end it was over."""
    for told in strike.told:
        resolved = "not" if told.resolved is None else f"{told.resolved - strike.ended:.1f} s"
        yield told, f"{told.fired - strike.began:.1f} s", resolved
