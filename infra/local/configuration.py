"""prometheus.yml, alertmanager.yml and the rules, for other addresses, shorter times, and links that can be clicked."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.local import FOLDER
from infra.monitoring import RULES, rules
from infra.monitoring.dashboards.links import panel_ids

TIMES = ("scrape_interval", "evaluation_interval", "group_wait", "group_interval", "repeat_interval")


@dataclass(frozen=True)
class Targets:
    """Who is asked and told, each as host:port."""

    service: str
    """The admin port."""
    alertmanager: str
    receiver: str | None = None
    """Of the webhooks; None: nobody is told."""


def configure(
    folder: Path,
    targets: Targets,
    *,
    factor: float = 1.0,
    without: Sequence[str] = (),
    runbooks: str | None = None,
    dashboards: str | None = None,
) -> None:
    """Write prometheus.yml, alertmanager.yml and rules/ into a folder.

    All times are `factor` times what the files say, and alerts `without` are left out. `runbooks` is the address of
    docs/runbooks and `dashboards` that of Grafana, for the links of alerts.
    """
    (folder / "rules").mkdir(parents=True, exist_ok=True)
    panels = panel_ids()
    for path in sorted(RULES.glob("*.yml")):
        read = rules.scaled(rules.read(path), factor)
        for group in read["groups"]:
            group["rules"] = [rule for rule in group["rules"] if rule.get("alert") not in without]
        read = rules.linked(read, runbooks=runbooks, dashboards=dashboards, panels=panels)
        (folder / "rules" / path.name).write_text(rules.write(read), "utf-8")
    _write(folder / "prometheus.yml", _prometheus(targets, factor))
    _write(folder / "alertmanager.yml", _alertmanager(targets, factor))


def _prometheus(targets: Targets, factor: float) -> dict[str, Any]:
    config = _read("prometheus.yml", factor)
    config["rule_files"] = ["rules/*.yml"]
    (alertmanager,) = config["alerting"]["alertmanagers"]
    alertmanager["static_configs"][0]["targets"] = [targets.alertmanager]
    (service,) = (job for job in config["scrape_configs"] if job["job_name"] == "authsvc")
    service["static_configs"][0]["targets"] = [targets.service]
    return config


def _alertmanager(targets: Targets, factor: float) -> dict[str, Any]:
    config = _read("alertmanager.yml", factor)
    for receiver in config["receivers"]:
        if targets.receiver is None:
            del receiver["webhook_configs"]
        else:
            receiver["webhook_configs"][0]["url"] = f"http://{targets.receiver}/{receiver['name']}"
    return config


def _read(name: str, factor: float) -> dict[str, Any]:
    config: dict[str, Any] = _scaled(yaml.safe_load((FOLDER / name).read_text("utf-8")), factor)
    return config


def _scaled(value: Any, factor: float) -> Any:  # noqa: ANN401 - whatever YAML holds
    match value:
        case dict():
            return {
                key: rules.scaled_duration(each, factor) if key in TIMES else _scaled(each, factor)
                for key, each in value.items()
            }
        case list():
            return [_scaled(each, factor) for each in value]
        case _:
            return value


def _write(path: Path, config: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
