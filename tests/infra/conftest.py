"""promtool, and a Prometheus over a service."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cli.conftest import Running, free_ports
from tests.infra import beside
from tests.infra.prometheus import Prometheus, running
from tests.prometheus import tool

ROOT = Path(__file__).parents[2]

Promtool = Callable[..., "subprocess.CompletedProcess[str]"]
Watch = Callable[[Running], Prometheus]


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Run promtool, and return what came of it."""
    program = tool("promtool")

    def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        # Its collector takes a fifth of the time, by default.
        environ = {**os.environ, "GOGC": "400"}  # noqa: TID251 - a child inherits it
        return subprocess.run(
            [program, *arguments], env=environ, capture_output=True, text=True, timeout=300, check=False
        )

    return run


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """Start a Prometheus over a service and what is scraped beside it, with all rules; the test's end stops it."""
    with ExitStack() as stack:

        def begin(service: Running) -> Prometheus:
            folder = tmp_path / "prometheus"
            folder.mkdir()
            jobs = stack.enter_context(beside.jobs(folder))
            target = f"127.0.0.1:{service.settings['AUTHSVC_ADMIN_PORT']}"
            return stack.enter_context(running(folder, target, int(free_ports()["AUTHSVC_PORT"]), jobs))

        yield begin
