"""Who is told, and of what: channels, alert policies, uptime checks, dashboards and objectives.

What they say is made by infra.monitoring.cloud; here it is registered.
"""

import json
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import pulumi
import pulumi_gcp as gcp

from authsvc.web.keys import JWKS_PATH
from infra.monitoring.cloud.alert_policies import AlertPolicy
from infra.monitoring.cloud.objectives import DAYS, ServiceLevelObjective
from infra.monitoring.cloud.plan import Plan
from infra.settings import PROJECT
from infra.settings import Monitoring as Recipients

LABELS = {"service": PROJECT}
CONSOLE = "https://console.cloud.google.com"
LOGIN_PATH = "/login"
# What only the page itself has, in any language of it.
LOGIN_TEXT = 'name="password"'
JWKS_TEXT = '"keys"'
# The least that Google takes; six places in all, since there are three in the USA.
REGIONS = ["EUROPE", "USA", "ASIA_PACIFIC", "SOUTH_AMERICA"]


@dataclass(frozen=True)
class MonitoringArgs:
    """Who is told of what."""

    project: str
    recipients: Recipients
    plan: Plan
    """Made by `infra.monitoring.cloud.plan` before anything is registered, so that a bad rule stops it all."""
    url: pulumi.Input[str]
    """Where people reach the service."""


class Monitoring(pulumi.ComponentResource):
    """Channels, alert policies, uptime checks, dashboards and objectives of one stack."""

    def __init__(self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("authsvc:components:Monitoring", name, None, opts)
        self._name, self._args = name, args
        self._inside = pulumi.ResourceOptions(parent=self)
        channels = self._channels()
        dashboards = self._dashboards()
        for policy in args.plan.alerts.policies:
            self._policy(policy, channels, dashboards[policy.dashboard])
        if args.plan.is_watched_from_outside:
            self._uptime_check("login", LOGIN_PATH, LOGIN_TEXT)
            self._uptime_check("jwks", JWKS_PATH, JWKS_TEXT)
        self._objectives()
        self.register_outputs({})

    def _channels(self) -> dict[str, gcp.monitoring.NotificationChannel]:
        recipients = self._args.recipients
        return {
            email: gcp.monitoring.NotificationChannel(
                f"{self._name}-{email}",
                display_name=f"{PROJECT}: {email}",
                type="email",
                labels={"email_address": email},
                user_labels=LABELS,
                project=self._args.project,
                opts=self._inside,
            )
            for email in dict.fromkeys([*recipients.emails, *recipients.pager_emails])
        }

    def _policy(
        self,
        policy: AlertPolicy,
        channels: dict[str, gcp.monitoring.NotificationChannel],
        dashboard: gcp.monitoring.Dashboard,
    ) -> None:
        condition = gcp.monitoring.AlertPolicyConditionConditionPrometheusQueryLanguageArgs(
            query=policy.query,
            duration=policy.duration,
            evaluation_interval=policy.evaluation_interval,
            rule_group=policy.rule_group,
            alert_rule=policy.alert_rule,
            labels=policy.labels,
            # A service that nobody has used yet has written no metric.
            disable_metric_validation=True,
        )
        gcp.monitoring.AlertPolicy(
            f"{self._name}-{policy.key}",
            display_name=policy.display_name,
            severity=policy.severity,
            combiner="OR",
            conditions=[
                gcp.monitoring.AlertPolicyConditionArgs(
                    display_name=f"{policy.rule_group}/{policy.alert_rule}",
                    condition_prometheus_query_language=condition,
                )
            ],
            documentation=gcp.monitoring.AlertPolicyDocumentationArgs(
                content=policy.content,
                mime_type="text/markdown",
                subject=policy.subject,
                links=self._links(policy, dashboard),
            ),
            alert_strategy=gcp.monitoring.AlertPolicyAlertStrategyArgs(
                # The least that Google takes: what has no data any more is not firing.
                auto_close="1800s",
                notification_prompts=["OPENED", "CLOSED"],
            ),
            notification_channels=[channels[email].name for email in recipients_of(policy, self._args.recipients)],
            user_labels=LABELS,
            project=self._args.project,
            opts=self._inside,
        )

    def _links(
        self, policy: AlertPolicy, dashboard: gcp.monitoring.Dashboard
    ) -> list[gcp.monitoring.AlertPolicyDocumentationLinkArgs]:
        project = urlencode({"project": self._args.project})
        links: list[tuple[str, pulumi.Input[str]]] = [
            (
                "Dashboard",
                dashboard.id.apply(
                    lambda path: f"{CONSOLE}/monitoring/dashboards/builder/{path.rpartition('/')[2]}?{project}"
                ),
            ),
            ("Cloud Run", f"{CONSOLE}/run?{project}"),
        ]
        if policy.runbook:
            links.append(("Runbook", policy.runbook))
        return [gcp.monitoring.AlertPolicyDocumentationLinkArgs(display_name=name, url=url) for name, url in links]

    def _uptime_check(self, what: str, path: str, text: str) -> None:
        host = pulumi.Output.from_input(self._args.url).apply(lambda url: urlsplit(url).hostname or url)
        gcp.monitoring.UptimeCheckConfig(
            f"{self._name}-{what}",
            display_name=f"{PROJECT}-{what}",
            timeout="10s",
            period="60s",
            selected_regions=REGIONS,
            checker_type="STATIC_IP_CHECKERS",
            monitored_resource=gcp.monitoring.UptimeCheckConfigMonitoredResourceArgs(
                type="uptime_url", labels={"project_id": self._args.project, "host": host}
            ),
            http_check=gcp.monitoring.UptimeCheckConfigHttpCheckArgs(
                path=path, port=443, use_ssl=True, validate_ssl=True, request_method="GET"
            ),
            content_matchers=[
                gcp.monitoring.UptimeCheckConfigContentMatcherArgs(content=text, matcher="CONTAINS_STRING")
            ],
            log_check_failures=True,
            user_labels=LABELS,
            project=self._args.project,
            opts=self._inside,
        )

    def _dashboards(self) -> dict[str, gcp.monitoring.Dashboard]:
        return {
            uid: gcp.monitoring.Dashboard(
                f"{self._name}-{uid}",
                dashboard_json=json.dumps(dashboard, ensure_ascii=False, sort_keys=True),
                project=self._args.project,
                opts=self._inside,
            )
            for uid, dashboard in self._args.plan.dashboards.items()
        }

    def _objectives(self) -> None:
        service = gcp.monitoring.CustomService(
            f"{self._name}-service",
            service_id=PROJECT,
            display_name=PROJECT,
            user_labels=LABELS,
            project=self._args.project,
            opts=self._inside,
        )
        for objective in self._args.plan.objectives:
            gcp.monitoring.Slo(
                f"{self._name}-{objective.slo_id}",
                service=service.service_id,
                slo_id=objective.slo_id,
                display_name=objective.display_name,
                goal=objective.goal,
                rolling_period_days=DAYS,
                request_based_sli=_indicator(objective),
                user_labels=LABELS,
                project=self._args.project,
                opts=self._inside,
            )


def recipients_of(policy: AlertPolicy, recipients: Recipients) -> list[str]:
    """Return the addresses that hear of an alert, each once.

    Of pages all do. Of tickets `emails` do, and where there are none whoever is paged: told too loudly is told.
    """
    if policy.is_page:
        return list(dict.fromkeys([*recipients.pager_emails, *recipients.emails]))
    return list(dict.fromkeys(recipients.emails or recipients.pager_emails))


def _indicator(objective: ServiceLevelObjective) -> gcp.monitoring.SloRequestBasedSliArgs:
    if objective.distribution is None:
        return gcp.monitoring.SloRequestBasedSliArgs(
            good_total_ratio=gcp.monitoring.SloRequestBasedSliGoodTotalRatioArgs(
                bad_service_filter=objective.bad, total_service_filter=objective.all
            )
        )
    return gcp.monitoring.SloRequestBasedSliArgs(
        distribution_cut=gcp.monitoring.SloRequestBasedSliDistributionCutArgs(
            distribution_filter=objective.distribution,
            range=gcp.monitoring.SloRequestBasedSliDistributionCutRangeArgs(max=objective.seconds),
        )
    )
