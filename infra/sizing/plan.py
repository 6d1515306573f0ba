"""From a demand to a stack that the cloud would be asked for: its settings pass every check that `pulumi up` makes."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from infra.budgets import ConnectionBudget, check, connection_budget
from infra.environment import service_config
from infra.regions import REGIONS
from infra.settings import Settings, SettingsError, vcpus
from infra.settings_rules import ALLOYDB_VCPUS, PLUS_VCPUS
from infra.sizing.costs import SERIES_AT_WORK, Usage, costs, idle
from infra.sizing.demand import DAY, Demand
from infra.sizing.stack_file import CERTIFICATE

MEASURED = Path(__file__).parents[2] / "docs" / "bench" / "service-times.json"
REGION, ELSEWHERE = "us-central1", "us-east1"
MINIMUM_INSTANCES = 2
"""One may die, and the other still answers."""
INSTANCES_OF_A_REGION = 1000
"""The bound of a setting, and the quota of Cloud Run beyond which one asks."""
TARGET = 0.6
"""Share of the CPU that is used at the peak, of the service and of the database. The rest is for what is not counted:
registrations, logouts, changed passwords, /me, sweeps, vacuum, backups, and the loss of a zone."""
SPARE_STORAGE = 1.3
"""Dead rows until vacuum has been, and free space in pages."""
PAGE_READS = 2
"""A page that is written is read before, as though none were in memory: with the write two operations."""
IOPS_OF_A_GB = 30
"""Of Cloud SQL's SSD: cloud.google.com/compute/docs/disks/performance, from memory; check."""
IOPS_OF_CLOUD_SQL = ((2, 15_000), (16, 25_000), (32, 60_000), (64, 100_000))
"""Most by vCPU: the same page, from memory; check."""
MOST_CLOUD_SQL_GB, MOST_ALLOYDB_GB = 65_536, 131_072
"""docs.cloud.google.com/sql/docs/quotas and /alloydb/quotas; the second from memory; check."""
WAL_OF_A_WRITER = 500 * 10**6
"""Bytes of WAL a second that one writer is trusted with: an assumption, to be measured before it is needed."""
DISTRIBUTED_CPU = 6
"""CPU of a distributed database for one of PostgreSQL: three replicas of each write, and twice for the layers between.
An assumption, to be measured before it is needed."""
NODE_VCPUS, FEWEST_NODES = 16, 3
MEMORIES = (512, 1024, 2048, 4096, 8192, 16_384)
"""MiB of an instance, tried in turn."""

ENTERPRISE, ENTERPRISE_PLUS, ALLOYDB, DISTRIBUTED = (
    "Cloud SQL Enterprise",
    "Cloud SQL Enterprise Plus",
    "AlloyDB",
    "distributed",
)
STAGES = (ENTERPRISE, ENTERPRISE_PLUS, ALLOYDB, DISTRIBUTED)
SIZES = MappingProxyType(
    {
        ENTERPRISE: range(2, 97, 2),
        ENTERPRISE_PLUS: PLUS_VCPUS,
        ALLOYDB: ALLOYDB_VCPUS,
    }
)
"""vCPU that a machine can have."""


class CapacityError(Exception):
    """No stack that is known here carries so much; the argument is a sentence."""


@dataclass(frozen=True)
class ServiceTimes:
    """What was measured: docs/bench/service-times.json."""

    made: dict[str, Any]
    hash_cpu_seconds: float
    acts: dict[str, dict[str, float]]
    row_bytes: dict[str, int]

    @classmethod
    def read(cls, path: Path = MEASURED) -> "ServiceTimes":
        """Read the file that `make bench` writes."""
        return cls(**json.loads(path.read_text("utf-8")))

    def total(self, rates: dict[str, float], of: str) -> float:
        """Return how much of it so many acts a second take a second."""
        return sum(rate * self.acts[act][of] for act, rate in rates.items())


@dataclass(frozen=True)
class Needs:
    """What the peak takes, whatever it runs on."""

    service_cpu: float
    """CPU seconds a second."""
    loop_cpu: float
    """Of these, what is not hashing: an instance has one event loop for it, however many vCPU it has."""
    database_cpu: float
    iops: float
    wal_bytes: float
    storage_gb: float

    def instances(self, cpu: int) -> int:
        """Return how many instances of so many vCPU carry it."""
        return max(1, math.ceil(self.service_cpu / (cpu * TARGET)), math.ceil(self.loop_cpu / TARGET))


@dataclass(frozen=True)
class Plan:
    """A stack, and what it takes and costs."""

    demand: Demand
    needs: Needs
    stage: str
    settings: Settings
    costs: dict[str, float]
    """US dollars a month, by part."""

    @property
    def instances(self) -> int:
        """All of them at the peak, in all regions."""
        return self.settings.service.max_instances * self.regions

    @property
    def regions(self) -> int:
        """In how many regions they are."""
        return 1 + len(self.settings.service.extra_regions)

    @property
    def budget(self) -> ConnectionBudget:
        """The connections, as the stack's own check counts them."""
        return connection_budget(self.settings)

    @property
    def database_vcpus(self) -> int:
        """Of the primary; of all nodes where the database is distributed."""
        return _nodes(self.needs) * NODE_VCPUS if self.stage == DISTRIBUTED else vcpus(self.settings.database)

    @property
    def total(self) -> float:
        """US dollars a month."""
        return sum(self.costs.values())


def needs(demand: Demand, times: ServiceTimes) -> Needs:
    """Return what the peak takes by what was measured."""
    service = times.total(demand.rates, "service_cpu_seconds")
    pages = times.total(demand.rates, "pages_written")
    return Needs(
        service_cpu=service,
        loop_cpu=max(0.0, service - demand.logins * times.hash_cpu_seconds),
        database_cpu=times.total(demand.rates, "database_cpu_seconds"),
        iops=times.total(demand.rates, "fsyncs") + PAGE_READS * pages,
        wal_bytes=times.total(demand.rates, "wal_bytes"),
        storage_gb=SPARE_STORAGE * sum(times.row_bytes[row] * number for row, number in demand.rows.items()) / 10**9,
    )


def plan(demand: Demand, times: ServiceTimes, *, cpu: int = 2) -> Plan:
    """Return the first stage, and of it the smallest stack, that carries the demand.

    Raises:
        CapacityError: there is none.
    """
    return attempts(demand, times, cpu=cpu)[0]


def attempts(demand: Demand, times: ServiceTimes, *, cpu: int = 2) -> tuple[Plan, dict[str, str]]:
    """Return the plan, and of each stage before it why it is too small.

    Raises:
        CapacityError: none is large enough.
    """
    needed, refused = needs(demand, times), {}
    for stage in STAGES:
        try:
            settings = _smallest(stage, needed, cpu)
        except CapacityError as error:
            refused[stage] = str(error)
            continue
        return Plan(demand, needed, stage, settings, costs(settings, _usage(demand, needed, settings))), refused
    raise CapacityError(f"No stage carries {demand.users:,.0f} accounts: {refused[STAGES[-1]]}")


def _smallest(stage: str, needed: Needs, cpu: int) -> Settings:
    reason = ""
    for database in _databases(stage, needed):
        try:
            settings = Settings.read("capacity", _config(needed, cpu, database))
            check(settings, service_config(settings))
        except SettingsError as error:
            reason = error.faults[0]
        else:
            return settings
    raise CapacityError(reason or _too_small(stage, needed))


def _databases(stage: str, needed: Needs) -> Iterator[dict[str, Any]]:
    """Yield the sections of databases that carry the load, the smallest first; connections are looked at later."""
    if stage == DISTRIBUTED:
        secrets = {"urlSecret": "database-url", "ownerUrlSecret": "owner-url", "caCertificate": CERTIFICATE}
        yield {"engine": "external", "maxConnections": 400, **secrets}
        return
    if _too_small(stage, needed):
        return
    for size in SIZES[stage]:
        disk = _disk_gb(stage, needed)
        if size * TARGET < needed.database_cpu or (stage != ALLOYDB and needed.iops > _most_iops(size)):
            continue
        tier = f"db-custom-{size}-{size * 3840}" if stage == ENTERPRISE else f"db-perf-optimized-N-{size}"
        of_cloud_sql = {"tier": tier, "edition": stage.removeprefix("Cloud SQL ").upper().replace(" ", "_")}
        of_alloydb = {"engine": "alloydb", "vcpus": size, "replicaRegion": ELSEWHERE}
        yield {
            **(of_alloydb if stage == ALLOYDB else of_cloud_sql),
            "highlyAvailable": True,
            "pitrDays": 7,
            "backups": 8,
            "diskGb": disk,
            "diskLimitGb": disk,
            # A connection works for as long as a CPU works for it: several for each, and the direct ones where few are.
            "maxConnections": max(400, 20 * size),
        }


def _too_small(stage: str, needed: Needs) -> str:
    """Return why no machine of this stage is large enough, or an empty text."""
    if stage == DISTRIBUTED:
        return ""
    largest = max(SIZES[stage])
    if needed.database_cpu > largest * TARGET:
        return f"its largest machine has {largest} vCPU"
    if needed.wal_bytes > WAL_OF_A_WRITER:
        return f"one writer is trusted with {WAL_OF_A_WRITER / 10**6:.0f} MB of WAL a second"
    if stage == ALLOYDB:
        return f"it stores {MOST_ALLOYDB_GB:,} GB at most" if needed.storage_gb > MOST_ALLOYDB_GB else ""
    if needed.iops > _most_iops(largest):
        return f"its disk does {_most_iops(largest):,} operations a second at most"
    return f"its disk has {MOST_CLOUD_SQL_GB:,} GB at most" if needed.storage_gb > MOST_CLOUD_SQL_GB else ""


def _config(needed: Needs, cpu: int, database: dict[str, Any]) -> dict[str, Any]:
    """Return the stack file of such a stack."""
    instances = max(MINIMUM_INSTANCES, needed.instances(cpu))
    regions = math.ceil(instances / INSTANCES_OF_A_REGION)
    others = [REGION, *sorted(REGIONS - {REGION})][1:regions]
    if len(others) + 1 < regions:
        raise CapacityError(f"{instances:,} instances are more than {len(REGIONS)} regions have.")
    return {
        "gcp:project": "capacity-plan",
        "gcp:region": REGION,
        "authsvc:domain": "auth.example.com",
        "authsvc:service": {
            "minInstances": MINIMUM_INSTANCES,
            "maxInstances": math.ceil(instances / regions),
            "cpu": cpu,
            "memory": f"{_memory(cpu)}Mi",
            "extraRegions": others,
        },
        "authsvc:database": database,
        "authsvc:backup": {"region": ELSEWHERE},
        "authsvc:edge": {"enabled": True},
        "authsvc:monitoring": {"emails": ["operations@example.com"]},
    }


def _memory(cpu: int) -> int:
    """Return the least memory in which so many hashes fit at one time, by the service's own sum."""
    least = {1: 512, 2: 512, 4: 2048, 8: 4096}[cpu]
    for memory in (each for each in MEMORIES if each >= least):
        bare = {"gcp:project": "capacity-plan", "gcp:region": REGION, "authsvc:production": False}
        service = {"cpu": cpu, "memory": f"{memory}Mi"}
        settings = Settings.read("capacity", {**bare, "authsvc:service": service})
        try:
            check(settings, service_config(settings))
        except SettingsError:
            continue
        return memory
    raise CapacityError(f"No memory that Cloud Run has is enough for {cpu} hashes at one time.")


def _most_iops(size: int) -> int:
    return max((iops for least, iops in IOPS_OF_CLOUD_SQL if size >= least), default=0)


def _disk_gb(stage: str, needed: Needs) -> int:
    """Return the size of the disk: what is stored, and for Cloud SQL so much that it is fast enough."""
    fast = needed.iops / IOPS_OF_A_GB if stage in (ENTERPRISE, ENTERPRISE_PLUS) else 0
    # AlloyDB has no size to set; the bound of the setting is Cloud SQL's.
    return min(MOST_CLOUD_SQL_GB, max(10, math.ceil(needed.storage_gb), math.ceil(fast)))


def _nodes(needed: Needs) -> int:
    return max(FEWEST_NODES, math.ceil(needed.database_cpu * DISTRIBUTED_CPU / (NODE_VCPUS * TARGET)))


def _usage(demand: Demand, needed: Needs, settings: Settings) -> Usage:
    """Return the mean of a month: of instances and requests; all else is there as it is built."""
    mean, least = 1 / demand.peak, idle(settings)
    return Usage(
        instances=max(least.instances, needed.instances(settings.service.cpu) * mean),
        series=SERIES_AT_WORK,
        requests=(demand.logins + demand.refreshes) * mean * DAY * 365 / 12,
        stored_gb=needed.storage_gb,
        external_vcpus=_nodes(needed) * NODE_VCPUS if settings.database.engine == "external" else 0,
    )
