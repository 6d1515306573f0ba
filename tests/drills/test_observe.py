"""`make observe`: what happens to the service is told in the terminal, and Ctrl-C leaves nothing behind."""

import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drills.ports import free_ports
from drills.stage import ROOT
from infra.local.programs import missing
from tests.cli.conftest import CREDENTIALS, Running, eventually

PORTS = ("prometheus", "alertmanager", "receiver")


@pytest.fixture
def ports() -> list[int]:
    return free_ports(5)


@pytest.fixture
def observed(ports: list[int], tmp_path: Path) -> Iterator[Running]:
    """`make observe`, sixty times as fast."""
    assert missing() is None, missing()
    public, admin, *others = map(str, ports)
    options = [f"--{name}-port={port}" for name, port in zip(PORTS, others, strict=True)]
    command = [sys.executable, "-m", "drills.observe", "--factor=1/60", *options]
    settings = {"AUTHSVC_PORT": public, "AUTHSVC_ADMIN_PORT": admin, "AUTHSVC_LIMITS": "off"}
    running = Running(command, settings, tmp_path / "said.txt", ROOT)
    yield running
    # What it began has sessions of its own: killed it would leave all of it running.
    running.process.terminate()
    running.ends()


def test_an_alert_is_told_when_it_fires_and_when_it_resolves_and_nothing_is_left(
    observed: Running, ports: list[int]
) -> None:
    observed.until_it_says("Ctrl-C stops all of it")
    assert observed.ask("/api/auth/register", CREDENTIALS).status == 201

    def is_told() -> bool:
        _replay(observed)
        return " firing    page    RefreshReuseSurge. " in observed.said

    eventually(is_told, "that spent refresh tokens come back")
    said = observed.until_it_says(" resolved  page    RefreshReuseSurge. ")
    assert re.search(
        r"^  \d\d:\d\d:\d\d  firing    page    RefreshReuseSurge\. Refresh tokens .+\.$", said, re.MULTILINE
    )
    observed.send(signal.SIGINT)
    assert observed.ends() == 0
    assert observed.said.endswith("\nStopped.\n")
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def _replay(service: Running) -> None:
    """Present a refresh token that was spent already: its successor was used, too."""
    answer = service.ask("/api/auth/login", CREDENTIALS)
    first = answer.json().get("refresh_token", "none: too busy to hash")
    for _ in range(2):
        answer = service.ask("/api/auth/refresh", {"refresh_token": answer.json().get("refresh_token", "none")})
    assert service.ask("/api/auth/refresh", {"refresh_token": first}).status == 400
