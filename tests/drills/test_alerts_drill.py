"""The drill of alerts, short: a real Prometheus and Alertmanager, two faults, and a webhook that must hear of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from drills.alerts import faults, monitoring
from drills.stage import ROOT

# What is slow here may be so because of who else uses the machine.
OF_THE_MACHINE = (
    "LoginLatencyBudgetBurn",
    "RefreshLatencyBudgetBurn",
    "MeLatencyBudgetBurn",
    "FeedAgeBudgetBurn",
    "EventLoopLagging",
)


@pytest.fixture
def prometheus() -> None:
    if advice := monitoring.missing():
        if os.environ.get("CI") == "true":  # noqa: TID251 - the tests' own
            pytest.fail(advice)
        pytest.skip(advice)


@pytest.mark.lasting
@pytest.mark.usefixtures("prometheus")
def test_what_breaks_is_told_and_resolves_and_nothing_else_is_told(tmp_path: Path) -> None:
    """How soon it is told is a figure of `make drill-alerts`: others use the machine, too."""
    path = tmp_path / "figures.json"
    command = [
        sys.executable, "-m", "drills.alerts", "--short", "--only", "replay", "database",
        "--without", *OF_THE_MACHINE, "--json", str(path),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert path.exists(), done.stderr
    figures = json.loads(path.read_text())
    assert figures["findings"] == []
    assert [each["fault"] for each in figures["faults"]] == ["replay", "database"]
    for each in figures["faults"]:
        resolved = {told["alert"] for told in each["told"] if told["resolved"] is not None}
        assert faults.ALL[each["fault"]].wanted <= resolved
