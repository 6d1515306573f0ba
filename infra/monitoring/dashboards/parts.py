"""What the dashboards are put together from: panels as all of them want them, and their arrangement.

The SDK checks neither values nor positions: tests/infra/test_dashboards.py does.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from string import ascii_uppercase
from typing import Literal, TypeVar

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from infra.monitoring.dashboards.links import slug

TAG = "authsvc"
SOURCE = models.DataSourceRef("prometheus", "${datasource}")
RUNBOOKS = "/public/runbooks"
"""Where Grafana of infra/local/compose.yaml itself has docs/runbooks."""

Panel = timeseries.Panel | stat.Panel | bargauge.Panel | statetimeline.Panel
Limits = Sequence[tuple[float, str]]
"""From which value on which colour; below the first of them all is well, and green."""
_Variable = builders.DatasourceVariable | builders.QueryVariable | builders.ConstantVariable
_Panel = TypeVar("_Panel", timeseries.Panel, stat.Panel, bargauge.Panel, statetimeline.Panel)


@dataclass(frozen=True)
class Query:
    """What Prometheus is asked, and what the answer is called: with `{{label}}` as Grafana has it."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Row:
    """Panels under one heading, from left to right."""

    title: str
    panels: Sequence[Panel]


def graph(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    limits: Limits = (),
    colours: Mapping[str, str] | None = None,
    bounds: Iterable[str] = (),
    stacked: bool = False,
    most: float | None = None,
    width: int = 8,
) -> timeseries.Panel:
    """Return lines over time.

    `limits` are drawn as dashed lines; `colours` and `bounds` name series: the latter are what others may grow to.
    """
    panel = _panel(timeseries.Panel(), title, description, queries, unit=unit, limits=limits).span(width).height(8)
    panel.min(0).line_width(1).fill_opacity(10).show_points(options.VisibilityMode.NEVER).span_nulls(False)
    panel.color_scheme(builders.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    panel.tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI).sort(options.SortOrder.DESCENDING))
    legend = common.VizLegendOptions().show_legend(True).placement(options.LegendPlacement.BOTTOM)
    panel.legend(legend.display_mode(options.LegendDisplayMode.TABLE).calcs(["mean", "max", "lastNotNull"]))
    if limits:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(options.GraphThresholdsStyleMode.DASHED))
    if stacked:
        panel.stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A")).fill_opacity(40)
    if most is not None:
        panel.max(most)
    for name, colour in (colours or {}).items():
        panel.override_by_name(name, [models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})])
    for name in bounds:
        dashes = models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]})
        panel.override_by_name(name, [dashes, models.DynamicConfigValue("custom.fillOpacity", 0)])
    return panel


def figure(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    limits: Limits = (),
    base: str = "green",
    decimals: int | None = None,
    text: Literal["value", "name", "value_and_name"] = "value",
    width: int = 4,
    height: int = 4,
) -> stat.Panel:
    """Return one number for each series, as it is now; `base` is its colour below the first limit."""
    panel = _panel(stat.Panel(), title, description, queries, unit=unit, limits=limits, base=base, is_instant=True)
    panel.graph_mode(options.BigValueGraphMode.NONE).text_mode(options.BigValueTextMode(text))
    panel.color_mode(options.BigValueColorMode.VALUE).reduce_options(_last())
    if decimals is not None:
        panel.decimals(decimals)
    return panel.span(width).height(height)


def ranking(title: str, description: str, query: Query, *, unit: str, width: int = 8) -> bargauge.Panel:
    """Return a bar for each series, as it is now."""
    panel = _panel(bargauge.Panel(), title, description, [query], unit=unit, base="blue", is_instant=True)
    panel.orientation(options.VizOrientation.HORIZONTAL).display_mode(options.BarGaugeDisplayMode.BASIC)
    return panel.min(0).reduce_options(_last()).span(width).height(8)


def states(
    title: str, description: str, query: Query, names: Mapping[str, tuple[str, str]], *, width: int = 8
) -> statetimeline.Panel:
    """Return bars over time that change their colour; `names` gives each value its name and colour."""
    panel = _panel(statetimeline.Panel(), title, description, [query], unit="short")
    results = {value: models.ValueMappingResult(name, colour) for value, (name, colour) in names.items()}
    panel.mappings([models.ValueMap(results)]).show_value(options.VisibilityMode.AUTO).merge_values(True)
    panel.tooltip(common.VizTooltipOptions().mode(options.TooltipDisplayMode.MULTI))
    legend = common.VizLegendOptions().show_legend(True).placement(options.LegendPlacement.BOTTOM)
    panel.legend(legend.display_mode(options.LegendDisplayMode.LIST)).fill_opacity(80).line_width(0)
    return panel.span(width).height(8)


@dataclass(frozen=True)
class Dashboard:
    """One dashboard; `by_instance` is whether its queries are of the instances chosen on top of it."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    by_instance: bool = True
    hours: int = 6

    def build(self, runbooks: Mapping[str, Sequence[str]], folder: str) -> models.Dashboard:
        """Return it as Grafana has it, given the runbooks by `UID/PANEL`, and the address of their folder."""
        made = builders.Dashboard(self.title).uid(self.uid).description(self.description).tags([TAG])
        made.timezone("browser").readonly().time(f"now-{self.hours}h", "now").refresh("30s")
        made.tooltip(models.DashboardCursorSync.CROSSHAIR).annotation(_alerts())
        made.variables(list(_variables(by_instance=self.by_instance, runbooks=folder)))
        others = builders.DashboardLink("authsvc").type(models.DashboardLinkType.DASHBOARDS).tags([TAG])
        made.link(others.keep_time(True).include_vars(True))
        numbers = count(1)
        for row in self.rows:
            made.with_row(builders.Row(row.title).id(next(numbers)))
            for panel in row.panels:
                names = runbooks.get(f"{self.uid}/{slug(panel.build().title or '')}", ())
                made.with_panel(panel.id(next(numbers)).links([_runbook(name) for name in names]))
        return made.build()


def _panel(
    panel: _Panel,
    title: str,
    description: str,
    queries: Sequence[Query],
    *,
    unit: str,
    limits: Limits = (),
    base: str = "green",
    is_instant: bool = False,
) -> _Panel:
    steps = [models.Threshold(None, base), *(models.Threshold(value, colour) for value, colour in limits)]
    panel.title(title).description(description).datasource(SOURCE).unit(unit)
    panel.thresholds(builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    for name, query in zip(ascii_uppercase, queries, strict=False):
        target = prometheus.Dataquery().expr(query.expression).legend_format(query.legend or "__auto").ref_id(name)
        target.datasource(SOURCE).editor_mode(QueryEditorMode.CODE).format(PromQueryFormat.TIME_SERIES)
        panel.with_target(target.instant() if is_instant else target.range())
    return panel


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _variables(
    *, by_instance: bool, runbooks: str
) -> Iterator[builders.DatasourceVariable | builders.QueryVariable | builders.ConstantVariable]:
    yield builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    if by_instance:
        job = _choice("job", "Job", "label_values(authsvc_build_info, job)")
        yield job.multi(False).include_all(False).current(models.VariableOption(selected=True, text=TAG, value=TAG))
        everyone = models.VariableOption(selected=True, text=["All"], value=["$__all"])
        instance = _choice("instance", "Instance", 'label_values(authsvc_build_info{job=~"$job"}, instance)')
        yield instance.multi(True).include_all(True).all_value(".*").current(everyone)
    yield builders.ConstantVariable("runbooks").label("Runbooks").value(runbooks)


def _choice(name: str, label: str, query: str) -> builders.QueryVariable:
    variable = builders.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    return variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)


def _alerts() -> builders.AnnotationQuery:
    firing = 'ALERTS{alertstate="firing",severity=~"page|ticket"}'
    return builders.AnnotationQuery().name("Alerts").datasource(SOURCE).enable(True).icon_color("red").expr(firing)


def _runbook(name: str) -> builders.DashboardLink:
    link = builders.DashboardLink(f"Runbook: {name}").type(models.DashboardLinkType.LINK)
    return link.url(f"${{runbooks}}/{name}.md").target_blank(True)
