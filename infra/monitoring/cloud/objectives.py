"""What of objectives.yml Google's own objectives can say: https://cloud.google.com/stackdriver/docs/solutions/slo-monitoring.

They count requests: how many were bad of all (availability), how many were within a bucket of the histogram (latency).
An objective of the time that instances spend in a state, such as the age of the feed, is none of theirs: their windows
are of the whole service, and one instance of ten that hears nothing would make every window bad, or none. Its burn-rate
policies stand alone. The alerts of all are the burn-rate policies: Google's would look at the same requests again.
"""

from dataclasses import dataclass

from infra.monitoring import OBJECTIVES, objectives
from infra.settings import PROJECT

DAYS = 30
_DOMAIN = "prometheus.googleapis.com"


@dataclass(frozen=True)
class ServiceLevelObjective:
    """One objective: either `bad` of `all`, or those of `distribution` up to `seconds`. All are monitoring filters."""

    slo_id: str
    display_name: str
    goal: float
    bad: str | None = None
    all: str | None = None
    distribution: str | None = None
    seconds: float | None = None


def service_level_objectives() -> list[ServiceLevelObjective]:
    """Return those that Google's model can express."""
    return [_objective(each) for each in objectives.read(OBJECTIVES) if each.is_counted]


def _objective(each: objectives.Objective) -> ServiceLevelObjective:
    slo_id, display_name = each.name.replace("_", "-"), f"{each.name.replace('_', ' ').capitalize()}: {each.promise}"
    labels = [f'metric.labels.method="{each.what["method"]}"', f"metric.labels.route={_one_of(each.what['routes'])}"]
    if each.kind == "latency":
        return ServiceLevelObjective(
            slo_id,
            display_name,
            float(each.target),
            distribution=_filter(
                "authsvc_http_request_duration_seconds/histogram",
                [*labels, f"metric.labels.status={_one_of(['2xx', '3xx'])}"],
            ),
            seconds=float(each.what["seconds"]),
        )
    total = "authsvc_http_requests_total/counter"
    return ServiceLevelObjective(
        slo_id,
        display_name,
        float(each.target),
        bad=_filter(total, [*labels, 'metric.labels.status="5xx"']),
        all=_filter(total, labels),
    )


def _one_of(values: list[str]) -> str:
    return "one_of(" + ",".join(f'"{value}"' for value in values) + ")"


def _filter(metric: str, labels: list[str]) -> str:
    return " AND ".join(
        [
            f'metric.type="{_DOMAIN}/{metric}"',
            'resource.type="prometheus_target"',
            f'resource.labels.job="{PROJECT}"',
            *labels,
        ]
    )
