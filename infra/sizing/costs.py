"""What a stack costs a month, by part: of its settings, and of how much it is used. No free allowance is taken off."""

from dataclasses import dataclass, field, replace
from functools import cache

from infra.components.backup import DAY_SECONDS, SOFT_DELETE_SECONDS
from infra.components.registry import KEPT_BUILDS
from infra.components.sidecar import MEMORY_MIB, SCRAPE_INTERVAL, VCPU
from infra.monitoring.cloud.alert_policies import alert_policies
from infra.monitoring.cloud.expressions import groups, is_watched_from_outside
from infra.monitoring.rules import metrics, milliseconds
from infra.settings import Database, Settings, memory_gib, vcpus
from infra.settings_rules import SHARED_TIERS
from infra.sizing.prices import HOURS, SECONDS, usd

SERIES_AT_REST, SERIES_AT_WORK = 1600, 4700
"""Lines of /metrics of an instance: after its start, and once every route and every reason has been seen. Each is a
sample at each scrape; a bucket that is empty costs nothing there, so that it is less."""
SECRETS = 7
"""With a version each: the keys, the refresh secret, four of the database, and the sidecar's file."""
EDGE_RULES = 3
CHECKS, PLACES = 2, 6
"""Of the uptime checks, each from so many places a minute. Their 525,600 requests are within the million that a project
has without charge; past the edge each is a request like any other."""
IMAGE_GB = 0.1
JOB_CPU, JOB_GIB = 1, 0.5
JOB_SECONDS = 60
"""Least that is paid of a run: cloud.google.com/run/pricing, from memory; check. A sweep is shorter."""
KIB_OF_A_REQUEST = 4
"""In and out, headers and TLS included."""
KIB_OF_LINES, KIB_OF_A_LINE_OF_THE_EDGE = 0.7 + 1.5, 2
"""In the log, of a request: the service's own and Cloud Run's; and the load balancer's. The last two are assumed."""
BACKUPS_OF_A_GB = 2
"""One that is full, and as much again in changes and write-ahead log: an assumption."""
EXPORT_OF_A_GB = 0.3
"""Compressed, without indexes and free space: an assumption."""
REPLICAS = 3
"""Of each row, in a distributed database."""
MILLION = 10**6


@dataclass(frozen=True)
class Usage:
    """What is paid for by use, as the mean of a month."""

    instances: float
    """That are there, in all regions."""
    series: int
    """Of each."""
    requests: float = 0
    """Of people, in a month; what services ask from within is paid for by instances alone."""
    stored_gb: float = 0
    external_vcpus: int = 0
    """Of a database that the stack does not make."""


def idle(settings: Settings) -> Usage:
    """Return the usage of a stack that nobody uses: its least instances, in each region."""
    regions = 1 + len(settings.service.extra_regions)
    return Usage(settings.service.min_instances * regions, SERIES_AT_REST)


def costs(settings: Settings, usage: Usage) -> dict[str, float]:
    """Return US dollars a month by part, the same parts for each stack; what one does not have is 0."""
    service, instances = settings.service, usage.instances
    samples = instances * usage.series * SECONDS * 1000 / milliseconds(SCRAPE_INTERVAL)
    requests = usage.requests + _requests_of_checks(settings)
    gib = requests * KIB_OF_A_REQUEST / 2**20
    return {
        "instances, vCPU": usd("run.vcpu", instances * (service.cpu + VCPU) * SECONDS),
        "instances, memory": usd("run.memory", instances * (service.memory + MEMORY_MIB) / 1024 * SECONDS),
        "sweeps": _of_sweeps(settings.jobs.sweep_schedule),
        **_of_database(settings.database, usage),
        **_of_copies(settings, usage.stored_gb),
        **_of_edge(settings, requests, gib),
        "internet": usd("internet.data", gib / 2),
        "log": usd("logging.data", requests * _kib_of_log(settings) / 2**20),
        "metrics": usd("metrics.samples", samples / MILLION),
        "alerts": _of_alerts(settings) if settings.monitoring.is_heard else 0,
        "schedules": usd("scheduler.job", 1 if settings.database.engine == "external" else 2),
        "secrets": usd("secret.version", SECRETS),
        "images": usd("registry.storage", KEPT_BUILDS * IMAGE_GB),
    }


def uses(settings: Settings) -> dict[str, float]:
    """Return US dollars for one more of what is paid for by use."""
    base = replace(idle(settings), series=SERIES_AT_WORK)
    more = {
        "an instance at work, an hour": replace(base, instances=base.instances + 1 / HOURS),
        "a million requests of people, beside the instances": replace(base, requests=MILLION),
        "a stored GB a month, while the disk has room": replace(base, stored_gb=1),
    }
    before = sum(costs(settings, base).values())
    differences = {name: sum(costs(settings, usage).values()) - before for name, usage in more.items()}
    return {**differences, "an image that is pushed, for its scan": usd("registry.scan", 1)}


def _requests_of_checks(settings: Settings) -> float:
    return CHECKS * PLACES * HOURS * 60 if is_watched_from_outside(settings) else 0


def _kib_of_log(settings: Settings) -> float:
    return KIB_OF_LINES + (KIB_OF_A_LINE_OF_THE_EDGE if settings.edge.enabled else 0)


def _of_sweeps(schedule: str) -> float:
    minutes, hours, *_days = schedule.split(" ")
    # Every day, whatever its last fields say: at most.
    runs = _times(minutes, 60) * _times(hours, 24) * HOURS / 24
    return usd("run.vcpu", runs * JOB_SECONDS * JOB_CPU) + usd("run.memory", runs * JOB_SECONDS * JOB_GIB)


def _times(field_: str, most: int) -> int:
    """Return how often a field of cron is met: `*`, `*/15`, `5`, `1-5`, `0,30`, `0-30/10`; of others the most."""
    met: set[int] = set()
    try:
        for part in field_.split(","):
            span, _, step = part.partition("/")
            first, _, last = ("0", "-", str(most - 1)) if span == "*" else span.partition("-")
            end = int(last) if last else (most - 1 if step else int(first))
            met.update(range(int(first), end + 1, int(step or 1)))
    except ValueError:
        return most
    return len(met)


def _of_database(database: Database, usage: Usage) -> dict[str, float]:
    """Return the database's costs; a standby and a replica cost what the primary does."""
    vcpu, memory, storage = "database, vCPU", "database, memory", "database, storage"
    if database.engine == "external":
        return {
            vcpu: usd("distributed.vcpu", usage.external_vcpus * HOURS),
            memory: 0,
            storage: usd("distributed.storage", REPLICAS * usage.stored_gb),
        }
    size, elsewhere = vcpus(database), 1 if database.replica_region else 0
    machines = (2 if database.highly_available else 1) + database.read_replicas + elsewhere
    if database.engine == "alloydb":
        # Its machines have no disks of their own: each of its clusters has one storage.
        return {
            vcpu: usd("alloydb.vcpu", machines * size * HOURS),
            memory: usd("alloydb.memory", machines * memory_gib(database) * HOURS),
            storage: usd("alloydb.storage", (1 + elsewhere) * usage.stored_gb),
        }
    disks = usd("cloud-sql.storage", machines * max(database.disk_gb, usage.stored_gb))
    if database.tier in SHARED_TIERS:
        return {vcpu: usd(f"shared.{database.tier}", machines * HOURS), memory: 0, storage: disks}
    product = "enterprise-plus" if database.edition == "ENTERPRISE_PLUS" else "enterprise"
    return {
        vcpu: usd(f"{product}.vcpu", machines * size * HOURS),
        memory: usd(f"{product}.memory", machines * memory_gib(database) * HOURS),
        storage: disks,
    }


def _of_copies(settings: Settings, stored_gb: float) -> dict[str, float]:
    external = settings.database.engine == "external"
    # What the rule of the bucket deletes is kept for a week more.
    exports = settings.backup.retention_days + SOFT_DELETE_SECONDS / DAY_SECONDS
    return {
        "backups": 0 if external else usd("backup.storage", BACKUPS_OF_A_GB * stored_gb),
        "exports": 0 if external else usd("export.storage", exports * EXPORT_OF_A_GB * stored_gb),
    }


def _of_edge(settings: Settings, requests: float, gib: float) -> dict[str, float]:
    parts = {
        "load balancer": usd("balancer.rule", HOURS) + usd("balancer.data", gib),
        "Cloud Armor, rules": usd("armor.policy", 1) + usd("armor.rule", EDGE_RULES),
        "Cloud Armor, requests": usd("armor.requests", requests / MILLION),
    }
    return parts if settings.edge.enabled else dict.fromkeys(parts, 0)


@dataclass(frozen=True)
class _Watched:
    """A stack, and which groups of rules it has: two with the same have as many policies."""

    groups: tuple[tuple[str, bool], ...]
    settings: Settings = field(compare=False)


def _of_alerts(settings: Settings) -> float:
    references, points = _evaluated(_Watched(tuple(groups(settings).items()), settings))
    return usd("alert.reference", references) + usd("alert.points", points / MILLION)


@cache
def _evaluated(watched: _Watched) -> tuple[int, float]:
    """Return how many metrics all policies read, each counted in each policy, and the points that a month returns.

    Of each metric one point is taken to return from each evaluation: a rule adds up what it reads.
    """
    references, points = 0, 0.0
    for policy in alert_policies(watched.settings).policies:
        read = max(1, len(metrics(policy.query)))
        references += read
        points += read * SECONDS * 1000 / milliseconds(policy.evaluation_interval)
    return references, points
