"""compose.yaml asks for files that are there, and for nothing that is seen from elsewhere."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

from authsvc.config import Config
from tests.infra.conftest import ROOT, Promtool

FOLDER = ROOT / "infra" / "local"
SERVICES = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["services"]
VOLUMES = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["volumes"]
AMTOOL = ROOT / "build" / "prometheus" / "usr" / "bin" / "amtool"


def _mounts() -> dict[str, str]:
    return dict(volume.split(":")[1::-1] for service in SERVICES.values() for volume in service.get("volumes", ()))


def _read(path: str) -> Any:
    return yaml.safe_load((FOLDER / path).read_text("utf-8"))


def test_what_is_mounted_is_there() -> None:
    for source in _mounts().values():
        assert source in VOLUMES or (FOLDER / source).exists(), source


def test_ports_are_published_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_the_service_accepts_its_settings() -> None:
    environ = {**SERVICES["authsvc"]["environment"], "AUTHSVC_JWT_SECRET": "a" * 48}
    assert SERVICES["migrate"]["environment"] == SERVICES["authsvc"]["environment"]
    assert Config.read(environ).http.public_url == "http://localhost:8080"
    assert (FOLDER / SERVICES["authsvc"]["build"] / "Dockerfile").exists()


def test_prometheus_and_alertmanager_accept_their_files(promtool: Promtool) -> None:
    done = promtool("check", "config", FOLDER / "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    checked = subprocess.run(
        [AMTOOL, "check-config", FOLDER / "alertmanager.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_whoever_is_spoken_to_is_a_service_of_the_file() -> None:
    prometheus = _read("prometheus.yml")
    jobs = prometheus["scrape_configs"] + prometheus["alerting"]["alertmanagers"]
    targets = [target for job in jobs for each in job["static_configs"] for target in each["targets"]]
    (source,) = _read("grafana/datasources.yaml")["datasources"]
    hosts = {target.split(":")[0] for target in targets} | {source["url"].split("/")[2].split(":")[0]}
    assert hosts <= set(SERVICES)
    assert source["jsonData"]["timeInterval"] == prometheus["global"]["scrape_interval"]


def test_grafana_finds_the_dashboards_and_the_runbooks() -> None:
    (provider,) = _read("grafana/dashboards.yaml")["providers"]
    mounts = _mounts()
    dashboards = FOLDER / mounts[provider["options"]["path"]]
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (dashboards / home.relative_to(provider["options"]["path"])).exists()
    assert (FOLDER / mounts["/usr/share/grafana/public/runbooks"]).samefile(ROOT / "docs" / "runbooks")
