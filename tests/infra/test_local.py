"""The configuration of `make observe` and of the drill of alerts, as the programs themselves read it."""

import shutil
import subprocess

import pytest
import yaml

from drills.alerts.monitoring import LOCAL, UNPACKED
from tests.prometheus import promtool


def test_prometheus_takes_its_configuration_with_all_rules() -> None:
    done = promtool("check", "config", str(LOCAL / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


def test_alertmanager_takes_its_configuration() -> None:
    amtool = shutil.which("amtool") or shutil.which(UNPACKED / "usr" / "bin" / "amtool")
    if amtool is None:
        pytest.fail("amtool is missing: run ./tests/install-prometheus")
    command = [amtool, "check-config", str(LOCAL / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_listen_and_call_on_loopback_only() -> None:
    prometheus, alertmanager = (
        yaml.safe_load((LOCAL / f"{name}.yml").read_text()) for name in ("prometheus", "alertmanager")
    )
    addresses = [
        target
        for each in [*prometheus["scrape_configs"], *prometheus["alerting"]["alertmanagers"]]
        for targets in each["static_configs"]
        for target in targets["targets"]
    ]
    addresses += [
        hook["url"].removeprefix("http://") for each in alertmanager["receivers"] for hook in each["webhook_configs"]
    ]
    assert len(addresses) == 4
    assert all(address.startswith("127.0.0.1:") for address in addresses)
