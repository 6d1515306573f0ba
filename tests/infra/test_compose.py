"""compose.yaml asks for files that are there, and for nothing that is seen from elsewhere."""

import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from authsvc.config import Config
from infra.local import __main__ as local
from infra.monitoring.dashboards.links import panel_ids
from infra.monitoring.rules import each_rule, read
from tests.infra.conftest import ROOT, Promtool
from tests.prometheus import tool

FOLDER = ROOT / "infra" / "local"
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))
SERVICES = COMPOSE["services"]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """What `python -m infra.local` writes."""
    local.main(tmp_path)
    return tmp_path


def _mounts() -> dict[str, str]:
    """Return what is mounted, by where it is then."""
    volumes = [volume for service in SERVICES.values() for volume in service.get("volumes", ())]
    bound = {each["target"]: each["source"] for each in volumes if isinstance(each, dict)}
    return bound | dict(each.split(":")[1::-1] for each in volumes if isinstance(each, str))


def test_what_is_mounted_is_there_or_made_before() -> None:
    for source in _mounts().values():
        made = (FOLDER / source).resolve() == local.INTO
        assert made or source in COMPOSE["volumes"] or (FOLDER / source).exists(), source


def test_nothing_starts_where_nothing_was_made() -> None:
    bound = [each for name in ("prometheus", "alertmanager") for each in SERVICES[name]["volumes"]]
    assert [each["bind"]["create_host_path"] for each in bound if isinstance(each, dict)] == [False, False]


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_service_accepts_its_settings() -> None:
    environ = {**SERVICES["authsvc"]["environment"], "AUTHSVC_JWT_SECRET": "a" * 48}
    assert SERVICES["migrate"]["environment"] == SERVICES["authsvc"]["environment"]
    assert Config.read(environ).http.public_url == "http://localhost:8080"
    assert (FOLDER / SERVICES["authsvc"]["build"] / "Dockerfile").exists()


def test_prometheus_and_alertmanager_accept_their_files(promtool: Promtool, made: Path) -> None:
    done = promtool("check", "config", made / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout
    command = [tool("amtool"), "check-config", str(made / "alertmanager.yml")]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    for name in ("prometheus", "alertmanager"):
        (mounted,) = (target for target, source in _mounts().items() if (FOLDER / source).resolve() == local.INTO)
        assert f"--config.file={mounted}/{name}.yml" in SERVICES[name]["command"]


def test_whoever_is_spoken_to_is_a_service_of_the_file(made: Path) -> None:
    prometheus = _read(made / "prometheus.yml")
    jobs = prometheus["scrape_configs"] + prometheus["alerting"]["alertmanagers"]
    targets = [target for job in jobs for each in job["static_configs"] for target in each["targets"]]
    (source,) = _read(FOLDER / "grafana/datasources.yaml")["datasources"]
    hosts = {target.split(":")[0] for target in targets} | {source["url"].split("/")[2].split(":")[0]}
    assert hosts <= set(SERVICES)
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]
    assert not [receiver for receiver in _read(made / "alertmanager.yml")["receivers"] if "webhook_configs" in receiver]


def test_grafana_finds_the_dashboards_and_the_runbooks() -> None:
    (provider,) = _read(FOLDER / "grafana/dashboards.yaml")["providers"]
    mounts = _mounts()
    dashboards = FOLDER / mounts[provider["options"]["path"]]
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (dashboards / home.relative_to(provider["options"]["path"])).exists()
    assert (FOLDER / mounts["/usr/share/grafana/public/runbooks"]).samefile(ROOT / "docs" / "runbooks")


def test_alerts_link_to_panels_and_runbooks_of_that_grafana(made: Path) -> None:
    (published,) = SERVICES["grafana"]["ports"]
    panels = {f"/d/{name.partition('/')[0]}?viewPanel={number}" for name, number in panel_ids().items()}
    alerts = [rule for rule in each_rule(map(read, made.glob("rules/*.yml"))) if "alert" in rule]
    assert alerts
    for alert in alerts:
        runbook, dashboard = (urlsplit(alert["annotations"][name]) for name in ("runbook_url", "dashboard"))
        assert {runbook.netloc, dashboard.netloc} == {published.removesuffix(":3000")}
        assert f"{dashboard.path}?{dashboard.query}" in panels
        assert runbook.path == f"/public/runbooks/{alert['alert']}.md"


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))
