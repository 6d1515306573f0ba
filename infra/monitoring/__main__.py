"""`make rules`, and the rules for one's own Prometheus: `python -m infra.monitoring --help`."""

from fractions import Fraction
from pathlib import Path

import click

from infra.monitoring import OBJECTIVES, RULES, objectives
from infra.monitoring.dashboards.links import panel_ids
from infra.monitoring.rules import linked, read, scaled, write


def _factor(_context: click.Context, _option: click.Parameter, value: str) -> float:
    try:
        factor = Fraction(value)
    except (ValueError, ZeroDivisionError):
        factor = Fraction(0)
    if factor <= 0:
        raise click.BadParameter("Give a number above 0: 1/60, or 0.1.")
    return float(factor)


@click.command()
@click.option(
    "--into", type=click.Path(file_okay=False, path_type=Path), help="Write all rules here, for a Prometheus to load."
)
@click.option("--runbooks", metavar="URL", help="Where docs/runbooks can be read: for the links of alerts.")
@click.option("--dashboards", metavar="URL", help="Where Grafana is: for the links of alerts.")
@click.option(
    "--scale", default="1", callback=_factor, metavar="FACTOR", help="All windows times this: 1/60, for a drill."
)
def main(into: Path | None, runbooks: str | None, dashboards: str | None, scale: float) -> None:
    """Write rules/objectives.yml from objectives.yml; with --into, all rules into a folder instead."""
    try:
        made = objectives.HEADER + write(objectives.rules(objectives.read(OBJECTIVES)))
    except objectives.ObjectivesError as error:
        raise click.ClickException(f"{OBJECTIVES.name}: {error}") from None
    if into is None:
        (RULES / "objectives.yml").write_text(made, "utf-8")
        return
    into.mkdir(parents=True, exist_ok=True)
    panels = panel_ids()
    for path in sorted(RULES.glob("*.yml")):
        rules = read(path)
        if scale != 1:
            rules = scaled(rules, scale)
        rules = linked(rules, runbooks=runbooks, dashboards=dashboards, panels=panels)
        (into / path.name).write_text(write(rules), "utf-8")


if __name__ == "__main__":
    main(prog_name="python -m infra.monitoring")
