"""What must add up: connections on both sides, memory, and the time to stop. What is over is refused, with the sum."""

from dataclasses import dataclass
from itertools import count

from authsvc.config import Config, ConfigError
from authsvc.config import settings as settings_of_the_service
from authsvc.passwords import memory_left
from authsvc.server import CONNECTION_BYTES, LEAST_CONNECTIONS, connections_by_memory
from infra.settings import PROJECT, Database, Settings, SettingsError, memory_gib, vcpus

POOL_SIZE = "AUTHSVC_DATABASE_POOL_SIZE"
FOLLOWER = 1
"""Connections of an instance beyond its pool: it follows the ends of sessions on one of its own."""
REVISIONS = 2
"""Two of them overlap while a new version rolls out, each with all its instances at worst."""
JOBS = 4
"""Connections of jobs at one time: a migration, a sweep, an export, and one more of any of them that is late."""
CLIENTS_OF_A_POOLER = 5000
"""max_client_connections of one pooler of Managed Connection Pooling: its default."""
VCPUS_OF_A_POOLER = 4
CONNECTIONS_OF_A_MACHINE = ((120, 1000), (60, 800), (30, 600), (15, 500), (7.5, 400), (6, 200), (3.75, 100), (1.7, 50))
"""max_connections that Cloud SQL gives a machine of so many GiB or more by itself, and 25 to the least one:
cloud.google.com/sql/docs/postgres/flags, from memory; check."""
CONNECTIONS_OF_THE_LEAST_MACHINE = 25
CONNECTIONS_OF_A_REQUEST = 2
"""Of an instance: the one that a request is on, and one that Cloud Run's front end keeps open for later. How many it
keeps is documented nowhere. The service gives idle ones up for newcomers, but a request may be on its way on one."""
MIB = 2**20
STOP_SECONDS = 10
"""Between SIGTERM and SIGKILL on Cloud Run."""
CLOSING_SECONDS = 2
"""After the last request: the pool closes, and Python ends."""


@dataclass(frozen=True)
class ConnectionBudget:
    """Connections to the database at the worst moment: all instances of two revisions, the jobs, and the reserve."""

    instances: int
    pool_size: int
    reserved: int
    max_connections: int
    pooling_above: int
    poolers: int

    @property
    def clients(self) -> int:
        """Connections that instances open."""
        return REVISIONS * self.instances * (self.pool_size + FOLLOWER)

    @property
    def needed(self) -> int:
        """Connections that are open at the server without a pooler."""
        return self.clients + JOBS + self.reserved

    @property
    def pooled(self) -> bool:
        """Tell whether Managed Connection Pooling stands between."""
        return self.needed > self.pooling_above

    @property
    def pool_of_a_pooler(self) -> int:
        """Server connections that each pooler may open for the service: max_pool_size."""
        return (self.max_connections - JOBS - self.reserved) // self.poolers

    @property
    def sum(self) -> str:
        """The addition, for people."""
        return (
            f"{REVISIONS} revisions x {self.instances} instances x ({self.pool_size} of the pool + {FOLLOWER})"
            f" + {JOBS} of jobs + {self.reserved} reserved = {self.needed}"
        )


def connection_budget(settings: Settings) -> ConnectionBudget:
    """Return the sum of this stack.

    Raises:
        SettingsError: the service's pool size cannot be read.
    """
    database = settings.database
    return ConnectionBudget(
        instances=settings.service.max_instances * (1 + len(settings.service.extra_regions)),
        pool_size=_pool_size(settings),
        reserved=database.reserved_connections,
        max_connections=database.max_connections,
        pooling_above=database.pooling_above,
        poolers=max(1, vcpus(database) // VCPUS_OF_A_POOLER),
    )


def pooled(settings: Settings) -> bool:
    """Tell whether Managed Connection Pooling stands before the database."""
    return connection_budget(settings).pooled


def connections_of_the_machine(database: Database) -> int:
    """Return the max_connections that Cloud SQL trusts a machine with; beyond its table, as much memory for each."""
    gib, (largest, most) = memory_gib(database), CONNECTIONS_OF_A_MACHINE[0]
    if gib > largest:
        return int(most * gib / largest)
    fitting = (connections for least, connections in CONNECTIONS_OF_A_MACHINE if gib >= least)
    return next(fitting, CONNECTIONS_OF_THE_LEAST_MACHINE)


def check(settings: Settings, config: Config) -> None:
    """Refuse a stack whose connections, memory or times do not add up; `config` is what its service reads.

    Raises:
        SettingsError: with one sentence for each sum that is over.
    """
    faults = [*_faults_of_connections(settings), *_faults_of_memory(settings, config), *_faults_of_stopping(config)]
    if settings.database.engine == "cloud-sql":
        faults += _faults_of_the_machine(settings.database)
    if faults:
        raise SettingsError(faults)


def _faults_of_connections(settings: Settings) -> list[str]:
    budget, database = connection_budget(settings), settings.database
    key = f"{PROJECT}:database.maxConnections"
    if not budget.pooled:
        if budget.needed <= budget.max_connections:
            return []
        larger = database.engine == "cloud-sql" and budget.needed > connections_of_the_machine(database)
        sentence = (
            f"{key} is {budget.max_connections}, and the stack may need more: {budget.sum}. Raise it"
            f"{', on a larger database.tier' if larger else ''}, or lower service.maxInstances or {POOL_SIZE}."
        )
        return [sentence]
    if database.engine == "external":
        return []  # its pooler, if it needs one, is its own
    faults = []
    if database.engine == "cloud-sql" and database.edition != "ENTERPRISE_PLUS":
        faults.append(
            f"{PROJECT}:database.edition is {database.edition}, and {budget.sum} connections are more than"
            f" database.poolingAbove ({budget.pooling_above}), which asks for Managed Connection Pooling: take"
            " ENTERPRISE_PLUS with a db-perf-optimized-N tier, lower service.maxInstances, or raise"
            " database.poolingAbove and database.maxConnections."
        )
    if budget.pool_of_a_pooler < 1:
        faults.append(
            f"{key} is {budget.max_connections}, and leaves nothing for {budget.poolers} poolers beside {JOBS} of jobs"
            f" and {budget.reserved} reserved: raise it."
        )
    if budget.clients > CLIENTS_OF_A_POOLER * budget.poolers:
        faults.append(
            f"{PROJECT}:service.maxInstances: {budget.sum} connections are more than {budget.poolers} poolers take"
            f" ({CLIENTS_OF_A_POOLER} each): lower it, lower {POOL_SIZE}, or take a larger database."
        )
    return faults


def _faults_of_the_machine(database: Database) -> list[str]:
    most = connections_of_the_machine(database)
    if database.max_connections <= most:
        return []
    sentence = (
        f"{PROJECT}:database.maxConnections is {database.max_connections}, and Cloud SQL trusts the"
        f" {memory_gib(database):g} GiB of {database.tier} with {most}: take a larger database.tier, or lower it."
    )
    return [sentence]


def _faults_of_memory(settings: Settings, config: Config) -> list[str]:
    service = settings.service
    try:
        left, room = memory_left(config, service.memory * MIB), connections_by_memory(config, service.memory * MIB)
    except ConfigError as error:
        return [
            f"{PROJECT}:service.memory is {service.memory}Mi, and too little for the hashes: {fault}"
            for fault in error.faults
        ]
    needed = CONNECTIONS_OF_A_REQUEST * service.concurrency
    if needed <= room:
        return []
    enough = next(each for each in count(service.memory, 64) if connections_by_memory(config, each * MIB) >= needed)
    sentence = (
        f"{PROJECT}:service.concurrency is {service.concurrency}, and {CONNECTIONS_OF_A_REQUEST} connections for each"
        f" are {needed}; service.memory ({service.memory}Mi) has room for {LEAST_CONNECTIONS} + {left / MIB:.0f} MiB /"
        f" {CONNECTION_BYTES // 1024} KiB = {room} beside hashes, token cache and service. Lower it to"
        f" {room // CONNECTIONS_OF_A_REQUEST}, or raise service.memory to {enough}Mi."
    )
    return [sentence]


def _faults_of_stopping(config: Config) -> list[str]:
    drain, shutdown = config.http.drain_seconds, config.http.shutdown_seconds
    needed = drain + shutdown + CLOSING_SECONDS
    if needed <= STOP_SECONDS:
        return []
    sentence = (
        f"{PROJECT}:service.settings: AUTHSVC_DRAIN_SECONDS ({drain:g}) + AUTHSVC_SHUTDOWN_SECONDS ({shutdown:g}) +"
        f" {CLOSING_SECONDS} to close = {needed:g}, and Cloud Run kills after {STOP_SECONDS} seconds: lower one of"
        " them."
    )
    return [sentence]


def _pool_size(settings: Settings) -> int:
    setting = next(each for each in settings_of_the_service() if each.name == POOL_SIZE)
    try:
        size = setting.parse(settings.service.settings.get(POOL_SIZE) or setting.default or "")
    except ValueError as error:
        raise SettingsError([f"{PROJECT}:service.settings: {POOL_SIZE} {error}."]) from None
    assert isinstance(size, int)  # noqa: S101 - the type of that setting
    return size
