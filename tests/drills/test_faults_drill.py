"""The drill of faults, short: real processes, a real proxy, a real PostgreSQL, and every promise called in."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from drills import faults
from drills.stage import HAPROXIES, ROOT

IS_CI = os.environ.get("CI") == "true"  # noqa: TID251 - the tests' own


@pytest.fixture
def haproxy() -> None:
    if any(shutil.which(place) for place in HAPROXIES):
        return
    advice = "There is no HAProxy: run tests/install-haproxy."
    if IS_CI:
        pytest.fail(advice)
    pytest.skip(advice)


@pytest.mark.lasting
@pytest.mark.usefixtures("haproxy")
def test_whatever_fails_no_acknowledgement_is_lost_and_the_service_comes_back(tmp_path: Path) -> None:
    """Each fault fires, and each kind of request comes as fast again as before it; docs/drills/faults.md says how soon.

    ASVS 16.5.2, 16.5.3.
    """
    path = tmp_path / "figures.json"
    left_out = ["--overload-seconds", "0", "--without-attacks"]
    command = [sys.executable, "-m", "drills", "--seconds", "30", *left_out, "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert path.exists(), done.stderr
    figures = json.loads(path.read_text())
    assert figures["findings"] == []
    fired = {each["name"] for each in figures["faults"]}
    left_out = [fault.name for fault in faults.ALL if fault.name not in fired]
    assert left_out == figures["left_out"]
    assert not (left_out and IS_CI), "the disk of this machine cannot be filled: run it as root"
    never = [
        (each["name"], act)
        for each in figures["faults"]
        for act, rate in each["normal_rates"].items()
        if rate and each["recovery_seconds"][act] is None
    ]
    assert never == [], "not back to their normal rate"
    assert min(figures["acknowledged"].values()) > 0
    assert sum(each["answers"].get("503", 0) for each in figures["faults"]) > 0, "nothing failed"
