"""What things cost, with the day and the place that each price was read: the only place for money."""

from dataclasses import dataclass
from types import MappingProxyType

HOURS = 730
"""Of a month, as the cloud's calculator counts."""
SECONDS = HOURS * 3600


@dataclass(frozen=True)
class Price:
    """US dollars for one unit, without any discount."""

    usd: float
    unit: str
    region: str
    on: str
    """Month of the page that it was read from."""
    where: str
    check: bool = False
    """From memory, or from a page that is not the cloud's: look it up before you rely on it."""


_IOWA, _RUN = "us-central1", "cloud.google.com/run/pricing, instance-based billing, tier 1"
_SQL = "cloud.google.com/sql/pricing, through usage.ai/blogs/gcp/cloud-sql/pricing"
_LB = "cloud.google.com/load-balancing/pricing"
_MEMORY = "from memory"
_ALERTS = "docs.cloud.google.com/monitoring/alerts/cost-control says what is counted, the price is from memory"

PRICES = MappingProxyType(
    {
        "run.vcpu": Price(0.000018, "vCPU-second", "tier 1", "2026-11", _RUN),
        "run.memory": Price(0.000002, "GiB-second", "tier 1", "2026-11", _RUN, check=True),
        "enterprise.vcpu": Price(0.0413, "vCPU-hour", _IOWA, "2026-05", _SQL, check=True),
        "enterprise.memory": Price(0.0070, "GiB-hour", _IOWA, "2026-05", _SQL, check=True),
        "enterprise-plus.vcpu": Price(0.0537, "vCPU-hour", _IOWA, "2026-11", _MEMORY, check=True),
        "enterprise-plus.memory": Price(0.0091, "GiB-hour", _IOWA, "2026-11", _MEMORY, check=True),
        "shared.db-f1-micro": Price(0.0105, "hour", _IOWA, "2026-11", _MEMORY, check=True),
        "shared.db-g1-small": Price(0.035, "hour", _IOWA, "2026-11", _MEMORY, check=True),
        "cloud-sql.storage": Price(0.17, "GB-month of SSD", _IOWA, "2026-11", _MEMORY, check=True),
        "alloydb.vcpu": Price(0.0661, "vCPU-hour", _IOWA, "2026-11", _MEMORY, check=True),
        "alloydb.memory": Price(0.0112, "GiB-hour", _IOWA, "2026-11", _MEMORY, check=True),
        "alloydb.storage": Price(0.30, "GB-month", _IOWA, "2026-11", _MEMORY, check=True),
        "distributed.vcpu": Price(0.0486, "vCPU-hour of n2-standard, without a licence", _IOWA, "2026-11", _MEMORY,
                                  check=True),
        "distributed.storage": Price(0.17, "GB-month of SSD", _IOWA, "2026-11", _MEMORY, check=True),
        "backup.storage": Price(0.08, "GB-month", _IOWA, "2026-11", _MEMORY, check=True),
        "export.storage": Price(0.01, "GB-month of Nearline", _IOWA, "2026-11", _MEMORY, check=True),
        "balancer.rule": Price(0.025, "hour, up to five forwarding rules", "global", "2026-11", _LB),
        "balancer.data": Price(0.008, "GiB, in and out", _IOWA, "2026-11", _LB),
        "internet.data": Price(0.085, "GiB out, premium tier", _IOWA, "2026-11", _MEMORY, check=True),
        "armor.policy": Price(5, "policy and month", "global", "2026-11", _MEMORY, check=True),
        "armor.rule": Price(1, "rule and month", "global", "2026-11", _MEMORY, check=True),
        "armor.requests": Price(0.75, "million requests", "global", "2026-11", _MEMORY, check=True),
        "logging.data": Price(0.50, "GiB", "global", "2026-11", "cloud.google.com/stackdriver/pricing"),
        "metrics.samples": Price(0.06, "million samples of Managed Prometheus", "global", "2026-11",
                                 "cloud.google.com/stackdriver/pricing, through faun.dev", check=True),
        "alert.reference": Price(0.10, "metric of a policy, and month", "global", "2026-11", _ALERTS, check=True),
        "alert.points": Price(0.35, "million points of evaluations", "global", "2026-11", _ALERTS, check=True),
        "scheduler.job": Price(0.10, "job and month", "global", "2026-11", _MEMORY, check=True),
        "secret.version": Price(0.06, "version and month, replicated automatically", "global", "2026-11",
                                "cloud.google.com/secret-manager/pricing"),
        "registry.storage": Price(0.10, "GB-month", "global", "2026-11", _MEMORY, check=True),
        "registry.scan": Price(0.26, "image", "global", "2026-11", _MEMORY, check=True),
    }
)  # fmt: skip


def usd(name: str, units: float) -> float:
    """Return what so many units cost."""
    return PRICES[name].usd * units


def markdown() -> str:
    """Return the table of all prices."""
    lines = ["| what | USD | for a | region | as of | where from |", "|---|---|---|---|---|---|"]
    for name, price in PRICES.items():
        where = f"{price.where}; check" if price.check else price.where
        lines.append(f"| `{name}` | {price.usd:.8g} | {price.unit} | {price.region} | {price.on} | {where} |")
    return "\n".join(lines)
