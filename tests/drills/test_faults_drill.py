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


@pytest.fixture
def haproxy() -> None:
    if any(shutil.which(place) for place in HAPROXIES):
        return
    advice = "There is no HAProxy: run tests/install-haproxy."
    if os.environ.get("CI") == "true":  # noqa: TID251 - the tests' own
        pytest.fail(advice)
    pytest.skip(advice)


@pytest.mark.usefixtures("haproxy")
def test_whatever_fails_no_acknowledgement_is_lost_and_the_service_comes_back(tmp_path: Path) -> None:
    """Each client is answered in the end. How soon is a figure of `make drill-faults`: others use the machine, too."""
    path = tmp_path / "figures.json"
    left_out = ["--overload-seconds", "0", "--without-attacks"]
    command = [sys.executable, "-m", "drills", "--seconds", "30", *left_out, "--json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert path.exists(), done.stderr
    figures = json.loads(path.read_text())
    assert figures["findings"] == []
    fired = {each["name"] for each in figures["faults"]}
    assert fired | set(figures["left_out"]) == {fault.name for fault in faults.ALL}
    assert min(figures["acknowledged"].values()) > 0
    assert sum(each["answers"].get("503", 0) for each in figures["faults"]) > 0, "nothing failed"
