"""What the drill says of the tests of attacks is what came of them."""

import subprocess
import sys
from pathlib import Path

from drills.attacks import Attacks, count

SUITE = """
import pytest

def test_held(): pass
def test_missed(): assert False
@pytest.mark.skip
def test_skipped(): pass
@pytest.fixture
def broken(): raise RuntimeError
def test_not_begun(broken): pass
"""


def test_only_what_passed_was_held_and_what_was_skipped_was_not_tried(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), "--junitxml=report.xml"]
    subprocess.run(command, check=False, capture_output=True, cwd=tmp_path)
    missed = ("test_suite.test_missed", "test_suite.test_not_begun")  # whatever order they ran in
    assert count(tmp_path / "report.xml") == Attacks(tried=3, held=1, missed=missed)
