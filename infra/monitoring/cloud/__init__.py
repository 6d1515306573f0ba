"""Google Cloud Monitoring, made of the rules, dashboards and objectives that everybody else uses too.

Pure functions from a stack's settings to what Google is told; infra/components/monitoring.py registers it.

    expressions      PromQL as Google evaluates it: no recording rules, no variables of Grafana
    alert_policies   a policy of each alert
    documentation    what stands in a notification: the alert's sentences, and its runbook
    dashboards       Google's dashboards, of Grafana's
    objectives       what of objectives.yml Google's own objectives can say
    rules/           what only Google's metrics know
"""

from pathlib import Path

CLOUD_RULES = Path(__file__).parent / "rules"
ROOT = Path(__file__).parents[3]
