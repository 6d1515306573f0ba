"""`make dashboards`, and the dashboards for one's own Grafana: `python -m infra.monitoring.dashboards --help`."""

from collections import defaultdict
from pathlib import Path

import click
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from infra.monitoring import OBJECTIVES, RULES, objectives
from infra.monitoring.dashboards import database_and_pool, logins_and_abuse, service_overview
from infra.monitoring.dashboards import objectives as objectives_dashboard
from infra.monitoring.dashboards.parts import RUNBOOKS, Dashboard
from infra.monitoring.rules import each_rule, read

FOLDER = Path(__file__).parent


def dashboards() -> list[Dashboard]:
    """Return all of them."""
    promises = {each.name: each for each in objectives.read(OBJECTIVES)}
    return [
        service_overview.make(promises),
        logins_and_abuse.make(),
        database_and_pool.make(promises),
        objectives_dashboard.make(promises),
    ]


def written(runbooks: str = RUNBOOKS) -> dict[str, str]:
    """Return the text of each file by its name; `runbooks` is the address of the folder docs/runbooks."""
    names = _runbooks()
    encoder = JSONEncoder(indent=2, sort_keys=True, ensure_ascii=False)
    return {f"{each.uid}.json": encoder.encode(each.build(names, runbooks)) + "\n" for each in dashboards()}


def _runbooks() -> dict[str, list[str]]:
    """Return by `UID/PANEL` the runbooks of the alerts that link there, each once."""
    found: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for rule in each_rule(read(path) for path in sorted(RULES.glob("*.yml"))):
        annotations = rule.get("annotations", {})
        if "dashboard" in annotations and "runbook_url" in annotations:
            found[annotations["dashboard"]][Path(annotations["runbook_url"]).stem] = None
    return {panel: list(names) for panel, names in found.items()}


@click.command()
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    help="The folder to write to. Without it: here, as they are committed.",
)
@click.option("--runbooks", metavar="URL", default=RUNBOOKS, show_default=True, help="Where docs/runbooks can be read.")
def main(into: Path, runbooks: str) -> None:
    """Write the dashboards as JSON that Grafana imports."""
    into.mkdir(parents=True, exist_ok=True)
    for name, text in written(runbooks).items():
        (into / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main(prog_name="python -m infra.monitoring.dashboards")
