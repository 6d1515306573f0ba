"""One line of the report."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """What was measured, what beside it, and what is wanted; `met` is None where nothing is."""

    name: str
    ours: str
    beside: str = ""
    ratio: float | None = None
    wanted: str = ""
    met: bool = True

    def line(self) -> str:
        """Return it as a line of the table."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        mark = f"{self.wanted} {'met' if self.met else 'MISSED'}" if self.wanted else ""
        return f"{self.name:<74} {self.ours:>12} {self.beside:>12} {ratio:>6}  {mark}".rstrip()


def at_least(name: str, ours: float, beside: float, least: float) -> Figure:
    """Return a figure of two rates whose ratio has a least value."""
    ratio = ours / beside
    return Figure(name, f"{ours:,.0f}/s", f"{beside:,.0f}/s", ratio, f"≥ {least:.2f}", met=ratio >= least)


def at_most(name: str, milliseconds: float, most: float) -> Figure:
    """Return a figure of a duration that has a largest value."""
    return Figure(name, f"{milliseconds:.1f} ms", wanted=f"≤ {most:g} ms", met=milliseconds <= most)


def say(sentence: str) -> None:
    """Tell what is going on."""
    print(sentence, "…", file=sys.stderr, flush=True)
