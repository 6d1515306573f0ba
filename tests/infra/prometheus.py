"""A real Prometheus on loopback: the rules of infra/monitoring, sixty times as fast, over one service."""

import json
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from infra.local import programs
from infra.local.configuration import Targets, configure
from infra.local.programs import Program
from tests.cli.conftest import PATIENCE, eventually

FACTOR = 1 / 60


@dataclass(frozen=True)
class Prometheus:
    """One that runs on loopback."""

    port: int
    program: Program

    def is_ready(self) -> bool:
        """Return whether it answers; fail when it has ended."""
        assert self.program.process.poll() is None, self.program.last_line()
        with suppress(OSError, HTTPException):
            return self._get("/-/ready")[0] == HTTPStatus.OK
        return False

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression is now."""
        return self._ask("query", query=expression)

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Return what an expression was, from one time to another."""
        return self._ask("query_range", query=expression, start=start, end=end, step=step)

    def _ask(self, what: str, **params: object) -> list[dict[str, Any]]:
        status, body = self._get(f"/api/v1/{what}?{urlencode(params)}")
        assert status == HTTPStatus.OK, body
        result: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return result

    def _get(self, path: str) -> tuple[int, bytes]:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()


@contextmanager
def running(folder: Path, target: str, port: int, jobs: Sequence[dict[str, Any]] = ()) -> Iterator[Prometheus]:
    """Run one that watches `target`, an admin port as host:port, sixty times as fast as in production; and `jobs`."""
    assert programs.missing() is None, programs.missing()
    # Nobody listens there: who would be told is of no matter here.
    configure(folder, Targets(target, "127.0.0.1:9"), factor=FACTOR)
    file = folder / "prometheus.yml"
    config = yaml.safe_load(file.read_text("utf-8"))
    config["scrape_configs"] += jobs
    file.write_text(yaml.safe_dump(config), "utf-8")
    program = programs.start("Prometheus", folder, f"127.0.0.1:{port}")
    try:
        prometheus = Prometheus(port, program)
        eventually(prometheus.is_ready, "Prometheus is ready")
        yield prometheus
    finally:
        program.end()
