"""The attacks, faults and races that are tests of their own, run once: how many were tried, and how many were held."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from drills.stage import ROOT

FOLDERS = ("tests/attacks", "tests/faults", "tests/races")
LONG = ("--kills", "100", "--timing-samples", "1000")
"""The whole of what the suite has in a short form."""


@dataclass(frozen=True)
class Attacks:
    """What came of them."""

    tried: int
    held: int
    missed: tuple[str, ...]
    """The names of those that were not held."""


def try_all(folders: Sequence[str] = FOLDERS) -> Attacks:
    """Run the tests in their long form, and count by pytest's own report; one that was skipped was not tried."""
    with tempfile.TemporaryDirectory(prefix="authsvc-drill-") as folder:
        path = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "--no-cov", "-n", "2", "--dist", "worksteal", *LONG]
        subprocess.run([*command, f"--junitxml={path}", *folders], stdout=sys.stderr, check=False, cwd=ROOT)
        return count(path)


def count(path: Path) -> Attacks:
    """Return what a report in the format of JUnit says."""
    report = ET.parse(path)  # noqa: S314 - pytest wrote it
    cases = [case for case in report.iter("testcase") if case.find("skipped") is None]
    missed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    names = tuple(sorted(f"{case.get('classname')}.{case.get('name')}" for case in missed))
    return Attacks(len(cases), len(cases) - len(missed), names)
