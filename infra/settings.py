"""A stack's settings: the `config` of Pulumi.<stack>.yaml in, frozen sections out, every fault at once.

A pure function of a mapping, which tests call without a cloud and `__main__` before it registers a resource. What
a value must be is said here; which of them go together is in settings_rules.py, and what adds up in budgets.py.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from infra import settings_rules as rules
from infra.regions import REGIONS

PROJECT = "authsvc"
"""Name of the Pulumi project, and so the namespace of its keys."""

GIB_OF_A_VCPU = 8
"""Of Enterprise Plus and AlloyDB."""

_DIGEST = re.compile(r"[a-z0-9.-]+(?::\d+)?/[a-z0-9._/-]+@sha256:[0-9a-f]{64}")
_DOMAIN = re.compile(r"(?=.{4,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
_PROJECT_ID = re.compile(r"[a-z][a-z0-9-]{4,28}[a-z0-9]")
_TIER = re.compile(
    r"db-(?:custom-(?P<custom>\d+)-(?P<mib>\d+)|perf-optimized-N-(?P<plus>\d+)|(?P<shared>f1-micro|g1-small))"
)
_KMS_KEY = re.compile(r"projects/[^/]+/locations/[a-z0-9-]+/keyRings/[\w-]+/cryptoKeys/[\w-]+")
_URL = re.compile(r"https?://[^\s/]+(?:/\S*)?")
_CERTIFICATES = re.compile(r"(?:\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+")
_REVISION = re.compile(r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?")
_CRON_FIELD = re.compile(r"(?:\*|[0-9A-Za-z]+)(?:[-/,](?:\*|[0-9A-Za-z]+))*")
_CRON = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class SettingsError(Exception):
    """The stack cannot be built so; `faults` are sentences that name the key and say what to do."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def _matching(pattern: re.Pattern[str], sentence: str) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(sentence)
        return text

    return AfterValidator(check)


def _known_region(text: str) -> str:
    if text not in REGIONS:
        raise ValueError("is no region of Google Cloud: take one that `gcloud run regions list` prints")
    return text


def _machine(tier: str) -> str:
    match = _TIER.fullmatch(tier)
    if not match:
        raise ValueError("must be like db-custom-2-7680 or db-perf-optimized-N-4")
    if match["plus"] and int(match["plus"]) not in rules.PLUS_VCPUS:
        raise ValueError(f"must be db-perf-optimized-N- and one of {', '.join(map(str, rules.PLUS_VCPUS))}")
    if match["custom"] and not _is_sold(int(match["custom"]), int(match["mib"])):
        raise ValueError(
            "must be db-custom-VCPU-MIB with 1 vCPU or an even number up to 96, and for each 0.9 to 6.5 GiB, at least"
            " 3840 in all, in steps of 256"
        )
    return tier


def _is_sold(cpus: int, mib: int) -> bool:
    """Tell by cloud.google.com/sql/docs/postgres/create-instance, from memory; check."""
    return cpus in (1, *range(2, 97, 2)) and mib % 256 == 0 and max(3840, 921.6 * cpus) <= mib <= 6656 * cpus


def _memory(text: object) -> object:
    if isinstance(text, str) and (match := re.fullmatch(r"(\d+)(Mi|Gi)", text)):
        return int(match[1]) * (1024 if match[2] == "Gi" else 1)
    raise ValueError("must be an amount like 512Mi or 2Gi")


def _cron(text: str) -> str:
    fields = text.split(" ")
    if len(fields) != len(_CRON) or not all(map(_is_within, fields, _CRON)):
        raise ValueError("must be the five fields of cron, such as `17 3 * * *`")
    return text


def _is_within(field: str, bounds: tuple[int, int]) -> bool:
    least, most = bounds
    numbers = map(int, re.findall(r"(?<!/)\b\d+", field))
    return bool(_CRON_FIELD.fullmatch(field)) and all(least <= number <= most for number in numbers)


def _number(given: object) -> object:
    return int(given) if isinstance(given, str) and given.isdecimal() else given


Region = Annotated[str, AfterValidator(_known_region)]
Email = Annotated[str, _matching(_EMAIL, "must be an e-mail address")]
Memory = Annotated[int, BeforeValidator(_memory)]
"""MiB; written as Cloud Run does, `512Mi` or `2Gi`."""
Cron = Annotated[str, AfterValidator(_cron)]
Image = Annotated[str, _matching(_DIGEST, "must name an image by its digest: REGISTRY/NAME@sha256:…, not by a tag")]


class Section(BaseModel):
    """A part of the settings; in the stack file its names are in camel case."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True)


class Service(Section):
    """The instances on Cloud Run."""

    min_instances: int = Field(default=0, ge=0, le=1000, description="instances that are always there")
    max_instances: int = Field(default=3, ge=1, le=1000, description="most instances, in each region")
    cpu: Annotated[Literal[1, 2, 4, 8], BeforeValidator(_number)] = Field(
        default=1, description="vCPU of an instance, and passwords that it hashes at one time"
    )
    memory: Memory = Field(default=512, description="memory of an instance, such as 512Mi")
    concurrency: int = Field(default=80, ge=1, le=1000, description="most requests in one instance at one time")
    cpu_target: float = Field(
        default=0.6, ge=0.1, le=0.9, description="share of the CPU at which another instance starts"
    )
    extra_regions: list[Region] = Field(default=[], description="regions beside gcp:region that serve as well")
    settings: dict[str, str] = Field(default={}, description="further AUTHSVC_ variables of docs/configuration.md")


class Database(Section):
    """PostgreSQL."""

    engine: Literal["cloud-sql", "alloydb", "external"] = Field(
        default="cloud-sql", description="what PostgreSQL is run by"
    )
    tier: Annotated[str, AfterValidator(_machine)] = Field(
        default="db-custom-1-3840", description="machine of Cloud SQL"
    )
    edition: Literal["ENTERPRISE", "ENTERPRISE_PLUS"] = Field(default="ENTERPRISE", description="edition of Cloud SQL")
    version: Literal["POSTGRES_15", "POSTGRES_16", "POSTGRES_17", "POSTGRES_18"] = Field(
        default="POSTGRES_17", description="version of PostgreSQL"
    )
    highly_available: bool = Field(
        default=False, description="a standby in another zone, to which it fails over by itself"
    )
    disk_gb: int = Field(default=10, ge=10, le=65_536, description="disk at the start, in GB; it grows by itself")
    disk_limit_gb: int = Field(default=100, ge=10, le=65_536, description="GB that it grows to, and no further")
    max_connections: int = Field(default=100, ge=25, le=20_000, description="max_connections of the server")
    reserved_connections: int = Field(
        default=20, ge=5, le=1000, description="connections kept for people and for the cloud"
    )
    pooling_above: int = Field(
        default=400, ge=1, description="connections beyond which Managed Connection Pooling is on"
    )
    pitr_days: int = Field(default=0, ge=0, le=35, description="days that can be gone back to, to the second; 0: none")
    backups: int = Field(default=7, ge=1, le=365, description="daily backups that are kept")
    replica_region: Region | None = Field(default=None, description="region of a replica for disaster recovery")
    read_replicas: int = Field(default=0, ge=0, le=20, description="replicas, or nodes of a read pool, for reading")
    vcpus: int = Field(default=2, ge=2, le=128, description="vCPU of AlloyDB's primary; Cloud SQL says it in its tier")
    url_secret: str | None = Field(
        default=None, description="external: the secret in Secret Manager that holds the service's URL"
    )
    owner_url_secret: str | None = Field(
        default=None, description="external: the secret that holds the URL of the owner of the tables"
    )
    ca_certificate: (
        Annotated[str, _matching(_CERTIFICATES, "must be one certificate or more in PEM: -----BEGIN CERTIFICATE-----")]
        | None
    ) = Field(default=None, description="alloydb, external: who signs the certificate that the database shows")


class Backup(Section):
    """Copies out of reach of who can delete the database."""

    region: Region | None = Field(default=None, description="region of backups and exports; another than gcp:region")
    retention_days: int = Field(default=7, ge=1, le=3650, description="days in which nobody can delete an export")
    lock_retention: bool = Field(default=False, description="make that irrevocable, also for owners of the project")
    schedule: Cron = Field(default="17 3 * * *", description="when an export is made, in UTC")
    kms_key: (
        Annotated[
            str, _matching(_KMS_KEY, "must be like projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY")
        ]
        | None
    ) = Field(default=None, description="key of Cloud KMS that exports are encrypted with")


class Edge(Section):
    """The external application load balancer and Cloud Armor."""

    enabled: bool = Field(
        default=False, description="serve the domain through a load balancer, and close the direct way"
    )
    attempts_per_minute: int = Field(default=60, ge=1, le=10_000, description="logins and registrations of one address")
    requests_per_minute: int = Field(
        default=1200, ge=1, le=1_000_000, description="requests of any kind of one address"
    )


class Monitoring(Section):
    """Who is told."""

    emails: list[Email] = Field(default=[], description="addresses that alerts go to; without any there are none")
    pager_emails: list[Email] = Field(default=[], description="addresses that pages go to, of whoever wakes people")
    runbooks: Annotated[str, _matching(_URL, "must be the address of the folder docs/runbooks")] | None = Field(
        default=None, description="where docs/runbooks can be read: for the links in alerts"
    )
    sidecar_image: Image | None = Field(
        default=None, description="the Prometheus sidecar, by digest; default: the one tested"
    )
    objectives: bool = Field(
        default=False, description="service-level objectives of Google; only once the service has written its metrics"
    )

    @property
    def is_heard(self) -> bool:
        """Whether anybody is told: else there are no alert policies, which Google bills by what they read."""
        return bool(self.emails or self.pager_emails)


class Rollout(Section):
    """How much of the traffic the newest revision gets."""

    stable: (
        Annotated[str, _matching(_REVISION, "must be the name of a revision, such as authsvc-01234567-89abcdef")] | None
    ) = Field(default=None, description="revision that serves the rest, as `gcloud run revisions list` has it")
    percent: int = Field(default=100, ge=0, le=100, description="share of the traffic for the newest revision")
    image: str | None = Field(
        default=None, description="image that this was decided for; written by infra.rollout, and held to authsvc:image"
    )


class Jobs(Section):
    """What runs on a schedule."""

    sweep_schedule: Cron = Field(default="*/15 * * * *", description="when expired rows are deleted, in UTC")


class Settings(Section):
    """All of it."""

    stack: str
    project: Annotated[str, _matching(_PROJECT_ID, "must be the id of a project, such as my-company-auth")]
    region: Region
    production: bool = True
    domain: Annotated[str, _matching(_DOMAIN, "must be a host name like auth.example.com")] | None = None
    image: Image | None = None
    service: Service = Service()
    database: Database = Database()
    backup: Backup = Backup()
    edge: Edge = Edge()
    monitoring: Monitoring = Monitoring()
    rollout: Rollout = Rollout()
    jobs: Jobs = Jobs()

    @classmethod
    def read(cls, stack: str, config: Mapping[str, Any]) -> Self:
        """Return the settings in a stack's config, `{"gcp:project": …, "authsvc:service": {…}}`, which go together.

        Raises:
            SettingsError: with one sentence for every fault there is.
        """
        settings = cls.parse(stack, config)
        if faults := settings.faults():
            raise SettingsError(faults)
        return settings

    @classmethod
    def parse(cls, stack: str, config: Mapping[str, Any]) -> Self:
        """Return the settings, each of which can be read; whether they go together is told by `faults`.

        An empty text counts as missing. `authsvc:image` may be missing: then only what an image needs is built.

        Raises:
            SettingsError: with one sentence for every value that cannot be read.
        """
        own = {key.removeprefix(f"{PROJECT}:"): value for key, value in config.items() if key.startswith(f"{PROJECT}:")}
        values = _given(own)
        values |= {name: config[f"gcp:{name}"] for name in ("project", "region") if config.get(f"gcp:{name}")}
        try:
            return cls.model_validate({**values, "stack": stack})
        except ValidationError as error:
            raise SettingsError([_sentence(fault) for fault in error.errors()]) from None

    def faults(self) -> list[str]:
        """Return a sentence for each rule of settings_rules.py that is broken."""
        return [f"{PROJECT}:{sentence}" for sentence in rules.broken(self)]


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is not left empty, at any depth."""
    return {
        key: _given(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
        if value not in ("", None)
    }


def vcpus(database: Database) -> int:
    """Return how many vCPU the database has."""
    if database.engine != "cloud-sql":
        return database.vcpus
    match = _TIER.fullmatch(database.tier)
    assert match  # noqa: S101 - the field's own check
    return int(match["custom"] or match["plus"] or 1)


def memory_gib(database: Database) -> float:
    """Return how much memory a machine of Cloud SQL or AlloyDB has, in GiB."""
    match = _TIER.fullmatch(database.tier)
    assert match  # noqa: S101 - the field's own check
    if database.engine == "cloud-sql" and match["shared"]:
        return rules.SHARED_TIERS[database.tier]
    if database.engine == "cloud-sql" and match["mib"]:
        return int(match["mib"]) / 1024
    return vcpus(database) * GIB_OF_A_VCPU


_WRONG_KINDS = {
    "string_type": "a text: put it in quotes",
    "list_type": "a list: an entry a line, each after a dash",
    "model_type": "a section: keys with their values, a line each",
    "dict_type": "a section: keys with their values, a line each",
}


def _sentence(fault: Any) -> str:  # noqa: ANN401 - pydantic's ErrorDetails; a sentence for each
    """Return what pydantic found, in the terms of the stack file."""
    path, kind, given = [str(part) for part in fault["loc"]], fault["type"], fault["input"]
    key = f"gcp:{path[0]}" if path[0] in ("project", "region") else f"{PROJECT}:{'.'.join(path)}"
    if kind == "missing":
        return f"{key} is missing: set it with `pulumi config set {key} …`."
    if kind == "extra_forbidden" and "." in path[0]:
        return f"{key} is a key below another: set it with `pulumi config set --path {key} …`."
    if kind == "extra_forbidden":
        return f"{key} is no setting: see Pulumi.prod.yaml for those there are, or take it out."
    if kind == "value_error":
        return f"{key} {fault['ctx']['error']}; it is {str(given)!r}."
    if kind in _WRONG_KINDS:
        return f"{key} is {given!r}, and must be {_WRONG_KINDS[kind]}."
    message = fault["msg"][0].lower() + fault["msg"][1:]
    return f"{key} is {str(given)!r}: {message}."
