"""What compose.yaml mounts: `python -m infra.local`."""

from pathlib import Path

import yaml

from infra.local import FOLDER, ROOT
from infra.local.configuration import Targets, configure

INTO = ROOT / "build" / "local"


def main(into: Path = INTO) -> None:
    """Write what Prometheus and Alertmanager read there, with the alerts' links into that Grafana."""
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["services"]
    grafana = f"http://{services['grafana']['ports'][0].rpartition(':')[0]}"
    targets = Targets(service="authsvc:9090", alertmanager="alertmanager:9093")
    configure(into, targets, runbooks=f"{grafana}/public/runbooks", dashboards=grafana)


if __name__ == "__main__":
    main()
