"""The configuration of `make observe` and of the drill of alerts, as the programs themselves read it."""

import subprocess
from pathlib import Path

import yaml

from infra.local import FOLDER
from infra.local.configuration import Targets, configure
from tests.prometheus import promtool, tool


def test_prometheus_takes_its_configuration_with_all_rules() -> None:
    done = promtool("check", "config", str(FOLDER / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


def test_alertmanager_takes_its_configuration() -> None:
    command = [tool("amtool"), "check-config", str(FOLDER / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_listen_and_call_on_loopback_only() -> None:
    prometheus, alertmanager = (
        yaml.safe_load((FOLDER / f"{name}.yml").read_text()) for name in ("prometheus", "alertmanager")
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


def test_a_drill_has_the_same_with_its_own_addresses_and_every_time_shorter(tmp_path: Path) -> None:
    configure(tmp_path, Targets("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"), factor=1 / 60)
    prometheus, alertmanager = (
        yaml.safe_load((tmp_path / f"{name}.yml").read_text()) for name in ("prometheus", "alertmanager")
    )
    assert prometheus["global"] == {"scrape_interval": "250ms", "evaluation_interval": "500ms"}
    assert prometheus["scrape_configs"][0]["static_configs"] == [{"targets": ["127.0.0.1:1"]}]
    assert prometheus["alerting"]["alertmanagers"][0]["static_configs"] == [{"targets": ["127.0.0.1:2"]}]
    assert alertmanager["route"]["routes"][0]["group_wait"] == "167ms"
    assert [each["webhook_configs"] for each in alertmanager["receivers"]] == [
        [{"url": "http://127.0.0.1:3/pages"}],
        [{"url": "http://127.0.0.1:3/tickets"}],
    ]
    done = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert "2 rule files found" in done.stdout, done.stdout + done.stderr
