"""promtool, and a Prometheus over a service."""

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from infra.monitoring.rules import write
from tests.cli.conftest import Running, free_ports
from tests.infra import beside
from tests.infra.prometheus import Prometheus, running
from tests.prometheus import tool

ROOT = Path(__file__).parents[2]

Watch = Callable[[Running], Prometheus]


class Promtool:
    """promtool, and what it is asked: each question is an assertion that shows what it says."""

    def __init__(self, program: str) -> None:
        self._program = program

    def __call__(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """Run it, and return what came of it."""
        # Its collector takes a fifth of the time, by default.
        environ = {**os.environ, "GOGC": "400"}  # noqa: TID251 - a child inherits it
        return subprocess.run(
            [self._program, *arguments], env=environ, capture_output=True, text=True, timeout=300, check=False
        )

    def accepts_rules(self, path: Path) -> None:
        """Have it find nothing in a file of rules, a hint included."""
        self._agrees("check", "rules", "--lint=all", "--lint-fatal", path)

    def sees_alerts_come(self, case: Path) -> None:
        """Have it see each alert of a case at its minute, and no other."""
        self._agrees("test", "rules", case)

    def accepts_queries(self, queries: Iterable[str], folder: Path) -> None:
        """Have it parse expressions, and find of what type each is."""
        rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
        file = folder / "queries.yml"
        file.write_text(write({"groups": [{"name": "queries", "rules": rules}]}), "utf-8")
        self._agrees("check", "rules", "--lint=none", file)

    def _agrees(self, *arguments: str | Path) -> None:
        done = self(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Return promtool as tests/install-prometheus unpacks it."""
    return Promtool(tool("promtool"))


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
