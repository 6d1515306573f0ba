"""All that a stack is watched by, before any of it is registered: what is wrong with it is said then, and at once."""

from dataclasses import dataclass, replace

from infra.monitoring.cloud.alert_policies import AlertPolicies, alert_policies
from infra.monitoring.cloud.dashboards import Json, dashboards
from infra.monitoring.cloud.expressions import RuleFiles, is_watched_from_outside
from infra.monitoring.cloud.objectives import ServiceLevelObjective, service_level_objectives
from infra.monitoring.objectives import ObjectivesError
from infra.settings import Settings, SettingsError


@dataclass(frozen=True)
class Plan:
    """Policies, dashboards by their UID, objectives, and whether the public URL is asked from outside.

    No policies where nobody is told: Google bills each.

    No objectives before the stack asks for them: Google refuses one of a metric that nobody has written yet, and the
    first update of a stack would end with that. A policy has a way to say that it comes later, an objective has none.
    """

    alerts: AlertPolicies
    dashboards: dict[str, Json]
    objectives: list[ServiceLevelObjective]
    is_watched_from_outside: bool


def plan(settings: Settings, files: RuleFiles | None = None) -> Plan:
    """Return what a stack is watched by, of the rules in the repository or of `files`.

    Raises:
        SettingsError: with a sentence for each fault of rules, dashboards and objectives.
    """
    try:
        objectives = service_level_objectives()
    except ObjectivesError as error:
        raise SettingsError([f"infra/monitoring/objectives.yml: {error}"]) from None
    # Made in any case: a rule that the cloud would not take is wrong in every stack.
    alerts = alert_policies(settings, files)
    return Plan(
        alerts if settings.monitoring.is_heard else replace(alerts, policies=[]),
        dashboards(settings, files),
        objectives if settings.monitoring.objectives else [],
        is_watched_from_outside(settings),
    )
