"""Which values of a stack file go together: each rule with the sentence that names the key and says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from infra.settings import Settings

SHARED_TIERS = {"db-f1-micro": 0.6, "db-g1-small": 1.7}
"""GiB of each machine whose CPU is shared."""
SAID_ELSEWHERE = {
    "AUTHSVC_PUBLIC_URL": "domain and edge.enabled",
    "AUTHSVC_DATABASE_POOLER": "database.poolingAbove",
    "AUTHSVC_DATABASE_CAPACITY_BYTES": "database.diskLimitGb",
    "AUTHSVC_LOG_GOOGLE_PROJECT": "gcp:project",
}
"""Variables of the service that would say something else than the rest of the stack is built for."""
PLUS_VCPUS = (2, 4, 8, 16, 32, 48, 64, 80, 96, 128)
"""Of db-perf-optimized-N-…: docs.cloud.google.com/sql/docs/postgres/machine-series-overview, from memory; check."""
ALLOYDB_VCPUS = (2, 4, 8, 16, 32, 64, 96, 128)
"""Of its default machines, N2: docs.cloud.google.com/alloydb/docs/instance-read-pool-create, read in November 2026."""


def broken(settings: Settings) -> list[str]:
    """Return the sentence of each rule that the settings break."""
    rules = [*_of_service(settings), *_of_database(settings), *_of_backup(settings)]
    rules += _of_production(settings) if settings.production else []
    return [rule.sentence for rule in rules if rule.broken]


class _Rule(NamedTuple):
    broken: bool
    sentence: str


def _of_service(settings: Settings) -> list[_Rule]:
    service = settings.service
    least, most = {1: (512, 4096), 2: (512, 8192), 4: (2048, 16_384), 8: (4096, 32_768)}[service.cpu]
    unknown = [name for name in service.settings if not name.startswith("AUTHSVC_")]
    return [
        _Rule(
            service.min_instances > service.max_instances,
            f"service.minInstances ({service.min_instances}) is more than service.maxInstances"
            f" ({service.max_instances}): lower the one or raise the other.",
        ),
        _Rule(
            service.memory < least,
            f"service.memory is {service.memory}Mi, and Cloud Run wants {least}Mi for {service.cpu} vCPU: raise it.",
        ),
        _Rule(
            service.memory > most,
            f"service.memory is {service.memory}Mi, and Cloud Run gives {service.cpu} vCPU at most {most}Mi: lower it,"
            " or raise service.cpu.",
        ),
        _Rule(
            settings.region in service.extra_regions,
            f"service.extraRegions names gcp:region ({settings.region}) again: leave it out.",
        ),
        _Rule(
            len(set(service.extra_regions)) < len(service.extra_regions),
            "service.extraRegions names a region twice: leave it out.",
        ),
        _Rule(
            bool(service.extra_regions) and not settings.edge.enabled,
            "service.extraRegions needs edge.enabled: without a load balancer nobody gets there.",
        ),
        _Rule(bool(unknown), f"service.settings has {', '.join(unknown)}: its names begin with AUTHSVC_."),
        *(
            _Rule(name in service.settings, f"service.settings has {name}, which follows from {key}: set that instead.")
            for name, key in SAID_ELSEWHERE.items()
        ),
        _Rule(
            settings.edge.enabled and settings.domain is None,
            "domain is missing: give the host name that people see, such as auth.example.com; edge.enabled needs it.",
        ),
        _Rule(
            settings.rollout.percent < 100 and settings.rollout.stable is None,  # noqa: PLR2004 - all of it
            "rollout.stable is missing: name the revision that serves the rest, or set rollout.percent to 100.",
        ),
        _Rule(
            settings.rollout.image not in (None, settings.image),
            "rollout.image is not authsvc:image: the share and the way back were decided for another version. Roll this"
            " one out by python -m infra.rollout begin; or, for all of the traffic at once and no way back by one"
            " command, run pulumi config rm authsvc:rollout first.",
        ),
    ]


def _of_database(settings: Settings) -> list[_Rule]:
    database = settings.database
    plus = database.edition == "ENTERPRISE_PLUS"
    cloud_sql = database.engine == "cloud-sql"
    return [
        _Rule(
            cloud_sql and plus != ("perf-optimized" in database.tier),
            f"database.tier {database.tier} is not one of edition {database.edition}: take db-custom-… for ENTERPRISE,"
            " db-perf-optimized-N-… for ENTERPRISE_PLUS.",
        ),
        _Rule(
            cloud_sql and not plus and database.pitr_days > 7,  # noqa: PLR2004 - the cloud's own bound
            f"database.pitrDays is {database.pitr_days}, and the edition ENTERPRISE keeps 7: lower it, or take"
            " ENTERPRISE_PLUS.",
        ),
        _Rule(
            cloud_sql and database.highly_available and not database.pitr_days,
            "database.highlyAvailable needs point-in-time recovery: set database.pitrDays to 1 or more.",
        ),
        _Rule(
            cloud_sql and database.backups <= database.pitr_days,
            f"database.backups is {database.backups}, and must be more than database.pitrDays ({database.pitr_days}):"
            " a log without the backup before it restores nothing.",
        ),
        _Rule(
            database.disk_limit_gb < database.disk_gb,
            f"database.diskLimitGb ({database.disk_limit_gb}) is less than database.diskGb ({database.disk_gb}): raise"
            " it.",
        ),
        _Rule(
            database.engine == "external" and database.url_secret is None,
            "database.urlSecret is missing: name the secret in Secret Manager that holds the URL of the database.",
        ),
        _Rule(
            database.engine == "external" and database.owner_url_secret is None,
            "database.ownerUrlSecret is missing: name the secret in Secret Manager that holds the URL of the owner of"
            " the tables, for migrations.",
        ),
        _Rule(
            database.engine != "external" and bool(database.url_secret or database.owner_url_secret),
            f"database.urlSecret and database.ownerUrlSecret are for engine external, and database.engine is"
            f" {database.engine}: leave them out, or set that.",
        ),
        _Rule(
            database.engine == "external" and bool(database.replica_region or database.read_replicas),
            "database.replicaRegion and database.readReplicas are not for engine external: leave them out; whoever runs"
            " it copies it.",
        ),
        _Rule(
            cloud_sql and database.ca_certificate is not None,
            "database.caCertificate is not for engine cloud-sql, whose authority is known: leave it out, or set"
            " database.engine.",
        ),
        _Rule(
            # Of AlloyDB nobody knows it before the cluster is there.
            database.ca_certificate is None
            and (database.engine == "external" or (database.engine == "alloydb" and settings.image is not None)),
            "database.caCertificate is missing: give the PEM of who signs the database's certificate; docs/scaling.md"
            " says where to get it.",
        ),
        _Rule(
            database.engine == "alloydb" and database.vcpus not in ALLOYDB_VCPUS,
            f"database.vcpus is {database.vcpus}, and AlloyDB has {', '.join(map(str, ALLOYDB_VCPUS))}: take one.",
        ),
        _Rule(
            database.replica_region == settings.region,
            f"database.replicaRegion is gcp:region ({settings.region}): take another one, or leave it out.",
        ),
    ]


def _of_backup(settings: Settings) -> list[_Rule]:
    backup, key = settings.backup, settings.backup.kms_key
    place = backup.region or settings.region
    # projects/…/locations/REGION/keyRings/…
    location = key.split("/")[3] if key else place
    return [
        _Rule(
            location != place,
            f"backup.kmsKey {key} is not in {place}, where the exports are: take a key of that region.",
        ),
    ]


def _of_production(settings: Settings) -> list[_Rule]:
    """What a stack for real people must have; `authsvc:production: false` does without."""
    database, otherwise = settings.database, "or set authsvc:production to false"
    own = database.engine != "external"
    return [
        _Rule(
            not settings.edge.enabled, f"edge.enabled is false: production is reached through its edge, {otherwise}."
        ),
        _Rule(
            settings.service.min_instances < 1,
            f"service.minInstances is 0: keep 1 or more, or the first login after a pause waits, {otherwise}.",
        ),
        _Rule(
            own and not database.highly_available,
            f"database.highlyAvailable is false: production survives the loss of a zone; set it, {otherwise}.",
        ),
        _Rule(
            database.engine == "cloud-sql" and database.tier in SHARED_TIERS,
            f"database.tier {database.tier} shares its CPU, and Google promises nothing for it: take db-custom-…,"
            f" {otherwise}.",
        ),
        _Rule(
            database.engine == "alloydb" and database.replica_region is None,
            "database.replicaRegion is missing: AlloyDB keeps its backups where the cluster is, and a second cluster"
            f" elsewhere has its own; name its region, {otherwise}.",
        ),
        _Rule(own and not database.pitr_days, f"database.pitrDays is 0: set it to 1 or more, {otherwise}."),
        _Rule(
            settings.backup.region is None,
            f"backup.region is missing: name another region than gcp:region ({settings.region}), {otherwise}.",
        ),
        _Rule(
            settings.backup.region == settings.region,
            f"backup.region is gcp:region ({settings.region}): whoever loses the region loses both; take another one,"
            f" {otherwise}.",
        ),
        _Rule(
            not (settings.monitoring.emails or settings.monitoring.pager_emails),
            f"monitoring.emails is empty: name who hears of alerts, {otherwise}.",
        ),
    ]
