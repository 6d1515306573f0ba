"""Prometheus, Alertmanager and Grafana on one's own machine: beside `make observe`, in a drill, or by compose.yaml."""

from pathlib import Path

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
