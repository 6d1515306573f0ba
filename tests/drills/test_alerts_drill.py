"""The drill of alerts, short: a real Prometheus and Alertmanager, two faults, and a webhook that must hear of them."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from drills.alerts import faults, picture
from drills.alerts.__main__ import DOCUMENTS, PARTS, folder_of, options_of
from drills.stage import ROOT
from infra.local.programs import missing
from infra.monitoring.rules import scaled_expression, write
from tests.prometheus import promtool

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
    if advice := missing():
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


@pytest.mark.parametrize(
    "arguments, folder",
    [
        ("", DOCUMENTS),
        ("--factor 2/120 --only database hashing feed replay guess", DOCUMENTS),
        ("--short", PARTS),
        ("--only replay", PARTS),
        ("--factor 1/30", PARTS),
        ("--without HashingShed", PARTS),
    ],
)
def test_the_document_is_that_of_a_whole_drill(arguments: str, folder: Path) -> None:
    assert folder_of(options_of(["--write", *arguments.split()])) == folder


def test_the_windows_of_the_picture_are_as_much_shorter_as_those_of_the_rules(tmp_path: Path) -> None:
    queries = [scaled_expression(line.query, 1 / 10) for panel in picture.PANELS for line in panel.lines]
    assert {window for query in queries for window in re.findall(r"\[(.+?)\]", query)} == {"30s"}
    rules = [{"record": f"line:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "lines.yml").write_text(write({"groups": [{"name": "lines", "rules": rules}]}))
    done = promtool("check", "rules", "--lint=none", str(tmp_path / "lines.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
