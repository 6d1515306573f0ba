"""promtool, and what the files under infra/monitoring say."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("promtool", str(ROOT / "build" / "prometheus" / "usr" / "bin" / "promtool"))

Promtool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Run promtool, and return what came of it."""
    program = next(filter(None, map(shutil.which, PLACES)), None)
    assert program, "promtool is missing: run tests/install-prometheus."

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=300, check=False)

    return run
