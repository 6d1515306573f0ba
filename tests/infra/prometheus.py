"""A real Prometheus on loopback: the rules of infra/monitoring, sixty times as fast, over one service."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml

from infra.monitoring import RULES
from infra.monitoring.rules import read, scaled, write
from tests.cli.conftest import PATIENCE, eventually

ROOT = Path(__file__).parents[2]
PLACES = ("prometheus", str(ROOT / "build" / "prometheus" / "usr" / "bin" / "prometheus"))
FACTOR = 1 / 60


@dataclass(frozen=True)
class Prometheus:
    """One that runs on loopback."""

    port: int
    process: "subprocess.Popen[bytes]"
    log: Path

    def is_ready(self) -> bool:
        """Return whether it answers; fail when it has ended."""
        assert self.process.poll() is None, self.log.read_text()
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
def running(folder: Path, target: str, port: int) -> Iterator[Prometheus]:
    """Run one that scrapes `target`, an admin port as host:port, every second."""
    program = next(filter(None, map(shutil.which, PLACES)), None)
    assert program, "prometheus is missing: run tests/install-prometheus."
    for path in RULES.glob("*.yml"):
        (folder / path.name).write_text(write(scaled(read(path), FACTOR)), "utf-8")
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{folder}/{path.name}" for path in RULES.glob("*.yml")],
        "scrape_configs": [{"job_name": "authsvc", "static_configs": [{"targets": [target]}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), "utf-8")
    log = folder / "prometheus.log"
    command = [
        program,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        prometheus = Prometheus(port, process, log)
        eventually(prometheus.is_ready, "Prometheus is ready")
        yield prometheus
    finally:
        process.terminate()
        process.wait()
