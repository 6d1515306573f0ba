"""Stack files that cannot be built, each with what is said of it."""

from collections.abc import Mapping
from typing import Any

from tests.infra.cloud import cloud

REGION, OTHER = cloud.REGION, "europe-west3"
KEY = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k"
POOLED = {"tier": "db-perf-optimized-N-8", "edition": "ENTERPRISE_PLUS", "poolingAbove": 100}
EXTERNAL = {
    "engine": "external",
    "urlSecret": "database-url",
    "ownerUrlSecret": "owner-url",
    "caCertificate": cloud.CERTIFICATE,
}


def database(**values: Any) -> dict[str, Any]:
    return {"authsvc:database": values}


def service(**values: Any) -> dict[str, Any]:
    return {"authsvc:service": values}


# What is changed in a good file, the key that is named, and what is said of it; … stands for any text.
FAULTS: dict[str, tuple[Mapping[str, Any], str, str]] = {
    "no project": ({"gcp:project": ""}, "gcp:project", "is missing: set it with `pulumi config set gcp:project"),
    "no region": ({"gcp:region": ""}, "gcp:region", "is missing: set it with `pulumi config set gcp:region"),
    "no domain": ({"authsvc:domain": ""}, "authsvc:domain", "is missing: give the host name"),
    "a bad project": ({"gcp:project": "My Company"}, "gcp:project", "must be the id of a project"),
    "a URL as domain": ({"authsvc:domain": "https://a.example.com/"}, "authsvc:domain", "must be a host name like"),
    "a tag as image": ({"authsvc:image": "gcr.io/p/authsvc:1"}, "authsvc:image", "must name an image by its digest"),
    "min over max": (
        service(minInstances=11),
        "authsvc:service.minInstances",
        "(11) is more than … (10): lower the one",
    ),
    "no such region": ({"gcp:region": "europe-west99"}, "gcp:region", "is no region of Google Cloud: take one that"),
    "no such region to back up to": (
        {"authsvc:backup": {"region": "mars"}},
        "authsvc:backup.region",
        "is no region of Google Cloud: take one that",
    ),
    "no such region beside": (
        service(extraRegions=[OTHER, "mars"]),
        "authsvc:service.extraRegions.1",
        "is no region of Google Cloud: take one that",
    ),
    "the region again": (
        service(extraRegions=[REGION], maxInstances=3),
        "authsvc:service.extraRegions",
        "again: leave it out",
    ),
    "regions without an edge": (
        {
            **service(extraRegions=[OTHER], maxInstances=3),
            "authsvc:edge": {"enabled": False},
            "authsvc:production": False,
        },
        "authsvc:service.extraRegions",
        "needs edge.enabled",
    ),
    "pool over budget": (
        {**service(maxInstances=11), **database(poolingAbove=1000)},
        "authsvc:database.maxConnections",
        "is 250, …: 2 revisions x 11 instances x (10 of the pool + 1) + 4 of jobs + 20 reserved = 266. Raise it",
    ),
    "a larger pool over budget": (
        {**service(settings={"AUTHSVC_DATABASE_POOL_SIZE": "11"}), **database(poolingAbove=1000)},
        "authsvc:database.maxConnections",
        "10 instances x (11 of the pool + 1) … = 264. Raise it, or lowe",
    ),
    "regions over budget": (
        {**service(extraRegions=[OTHER]), **database(poolingAbove=1000)},
        "authsvc:database.maxConnections",
        "x 20 instances x … = 464. Raise it, on a larger database.tier, or lower",
    ),
    "pooling without its edition": (
        service(maxInstances=20),
        "authsvc:database.edition",
        "is ENTERPRISE, and … = 464 connections are more than database.poolingAbove (400)…: take ENTERPRISE_PLUS",
    ),
    "nothing left for the poole": (
        database(**POOLED, maxConnections=25),
        "authsvc:database.maxConnections",
        "is 25, and leaves nothing for 2 poolers beside 4 of jobs and 20 reserved: raise it",
    ),
    "more than the pooler takes": (
        {**service(maxInstances=455), **database(**POOLED)},
        "authsvc:service.maxInstances",
        "are more than 2 poolers take (5000 each): lower it",
    ),
    "more connections than the machine has memory for": (
        database(maxConnections=401),
        "authsvc:database.maxConnections",
        "is 401, and Cloud SQL trusts the 7.5 GiB of db-custom-2-7680 with 400: take a larger database.tier, or lowe",
    ),
    "more requests at one time than connections fit": (
        service(concurrency=254),
        "authsvc:service.concurrency",
        "is 254, … are 508; … for 64 + 221 MiB / 512 KiB = 506 …. Lower it to 253, or raise service.memory to 576Mi",
    ),
    "memory too small for the hashes": (
        service(settings={"AUTHSVC_PASSWORD_THREADS": "20"}),
        "authsvc:service.memory",
        "is 512Mi, and too little for the hashes: … 20 x 19 MiB for hashes … give it more",
    ),
    "memory too small for the machine": (
        service(cpu=4),
        "authsvc:service.memory",
        "is 512Mi, and Cloud Run wants 2048Mi for 4 vCPU: raise it",
    ),
    "memory too large for the machine": (
        service(memory="8Gi"),
        "authsvc:service.memory",
        "is 8192Mi, and Cloud Run gives 1 vCPU at most 4096Mi: lower it, or raise service.cpu",
    ),
    "memory without a unit": (service(memory="512"), "authsvc:service.memory", "must be an amount like 512Mi or 2Gi"),
    "a CPU that is not sold": (service(cpu=3), "authsvc:service.cpu", "is '3': input should be 1, 2, 4 or 8"),
    "a text for a numbe": (service(maxInstances="many"), "authsvc:service.maxInstances", "valid intege"),
    "a text for a section": ({"authsvc:service": "large"}, "authsvc:service", "is 'large', and must be a section"),
    "a key that is none": ({"authsvc:databse": {}}, "authsvc:databse", "is no setting: see Pulumi.prod.yaml"),
    "a key that is none, inside": (service(minInstanses=1), "authsvc:service.minInstanses", "is no setting: see"),
    "a secret": (
        service(settings={"AUTHSVC_REFRESH_SECRET": "x" * 40}),
        "authsvc:service.settings",
        "has AUTHSVC_REFRESH_SECRET: a secret never stands in a stack file, …; take it out",
    ),
    "a variable of something else": (
        service(settings={"DEBUG": "1"}),
        "authsvc:service.settings",
        "has DEBUG: its names",
    ),
    "a variable that is none": (
        service(settings={"AUTHSVC_DATABASE_POLL_SIZE": "1"}),
        "authsvc:service.settings",
        "AUTHSVC_DATABASE_POLL_SIZE",
    ),
    "a value that the service refuses": (
        service(settings={"AUTHSVC_SESSION_SECONDS": "soon"}),
        "authsvc:service.settings",
        "AUTHSVC_SESSION_SECONDS",
    ),
    "a pool of none": (
        service(settings={"AUTHSVC_DATABASE_POOL_SIZE": "none"}),
        "authsvc:service.settings",
        "AUTHSVC_DATABASE_POOL_SIZE",
    ),
    "backup beside the data": (
        {"authsvc:backup": {"region": REGION}},
        "authsvc:backup.region",
        f"is gcp:region ({REGION}): …; take another one",
    ),
    "no backup region": (
        {"authsvc:backup": {"region": ""}},
        "authsvc:backup.region",
        "is missing: name another region",
    ),
    "a key elsewhere": (
        {"authsvc:backup": {"kmsKey": KEY}},
        "authsvc:backup.kmsKey",
        f"is not in {OTHER}, …: take a key",
    ),
    "a key that is none of the cloud": (
        {"authsvc:backup": {"kmsKey": "k"}},
        "authsvc:backup.kmsKey",
        "must be like projects/",
    ),
    "no days of retention": (
        {"authsvc:backup": {"retentionDays": 0}},
        "authsvc:backup.retentionDays",
        "greater than or equal",
    ),
    "no cron": (
        {"authsvc:backup": {"schedule": "daily"}},
        "authsvc:backup.schedule",
        "must be the five fields of cron",
    ),
    "too many days to go back": (
        database(pitrDays=8),
        "authsvc:database.pitrDays",
        "is 8, … keeps 7: lower it, or take",
    ),
    "no days to go back": (
        {**database(pitrDays=0), "authsvc:production": False},
        "authsvc:database.highlyAvailable",
        "needs point-in-time recovery: set database.pitrDays",
    ),
    "fewer backups than days": (database(backups=7), "authsvc:database.backups", "must be more than …pitrDays (7)"),
    "a limit below the disk": (
        database(diskLimitGb=10),
        "authsvc:database.diskLimitGb",
        "is less than … (20): raise it",
    ),
    "a machine of the other edition": (
        database(tier="db-perf-optimized-N-4"),
        "authsvc:database.tier",
        "is not one of edition ENTERPRISE: take db-custom",
    ),
    "no such machine": (database(tier="large"), "authsvc:database.tier", "must be like db-custom-2-7680"),
    "a version that is not tried": (database(version="POSTGRES_12"), "authsvc:database.version", "'POSTGRES_15'"),
    "the replica beside the primary": (
        database(replicaRegion=REGION),
        "authsvc:database.replicaRegion",
        "take another one",
    ),
    "an external one without a URL": (
        database(engine="external", ownerUrlSecret="owner-url", caCertificate=cloud.CERTIFICATE),
        "authsvc:database.urlSecret",
        "is missing: name the secret",
    ),
    "a canary without its elde": (
        {"authsvc:rollout": {"percent": 5}},
        "authsvc:rollout.stable",
        "is missing: name the revision",
    ),
    "production without its edge": ({"authsvc:edge": {"enabled": False}}, "authsvc:edge.enabled", "is false: … or set"),
    "production asleep": (service(minInstances=0), "authsvc:service.minInstances", "is 0: keep 1 or more"),
    "production in one zone": (
        database(highlyAvailable=False),
        "authsvc:database.highlyAvailable",
        "is false: … set it",
    ),
    "production on a shared CPU": (
        {**service(minInstances=1, maxInstances=1), **database(tier="db-g1-small", maxConnections=50)},
        "authsvc:database.tier",
        "shares its CPU, …: take db-custom",
    ),
    "production that tells nobody": (
        {"authsvc:monitoring": {"emails": [], "pagerEmails": []}},
        "authsvc:monitoring.emails",
        "is empty: name who hears of alerts",
    ),
    "an address that is none": (
        {"authsvc:monitoring": {"emails": ["team"]}},
        "authsvc:monitoring.emails.0",
        "must be an e-mail address; it is 'team'",
    ),
    "a region twice": (
        service(extraRegions=[OTHER, OTHER], maxInstances=3),
        "authsvc:service.extraRegions",
        "twice: leave",
    ),
    "a URL said twice": (
        service(settings={"AUTHSVC_PUBLIC_URL": "https://b.example.com"}),
        "authsvc:service.settings",
        "has AUTHSVC_PUBLIC_URL, which follows from domain and edge.enabled: set that instead",
    ),
    "a pooler that is not there": (
        service(settings={"AUTHSVC_DATABASE_POOLER": "transaction"}),
        "authsvc:service.settings",
        "has AUTHSVC_DATABASE_POOLER, which follows from database.poolingAbove",
    ),
    "a number for a text": (
        service(settings={"AUTHSVC_DATABASE_POOL_SIZE": 3}),
        "authsvc:service.settings.AUTHSVC_DATABASE_POOL_SIZE",
        "is 3, and must be a text: put it in quotes",
    ),
    "a text for a list": (
        {"authsvc:monitoring": {"emails": "ada@example.com"}},
        "authsvc:monitoring.emails",
        "is 'ada@example.com', and must be a list: an entry a line",
    ),
    "a key without a path": (
        {"authsvc:service.maxInstances": "5"},
        "authsvc:service.maxInstances",
        "is a key below another: set it with `pulumi config set --path authsvc:service.maxInstances …`",
    ),
    "the sidecar by a tag": (
        {"authsvc:monitoring": {"sidecarImage": "gcr.io/p/sidecar:1"}},
        "authsvc:monitoring.sidecarImage",
        "must name an image by its digest",
    ),
    "no such minute": (
        {"authsvc:backup": {"schedule": "61 3 * * *"}},
        "authsvc:backup.schedule",
        "must be the five fields of cron, such as `17 3 * * *`; it is '61 3 * * *'",
    ),
    "a revision that has no such name": (
        {"authsvc:rollout": {"percent": 5, "stable": "the old one"}},
        "authsvc:rollout.stable",
        "must be the name of a revision",
    ),
    "a machine with three vCPU": (
        database(tier="db-custom-3-11520"),
        "authsvc:database.tier",
        "must be db-custom-VCPU-MIB with 1 vCPU or an even number",
    ),
    "a machine without memory": (
        database(tier="db-custom-2-1024"),
        "authsvc:database.tier",
        "must be db-custom-VCPU-MIB with …, at least 3840 in all",
    ),
    "a fast machine that is not sold": (
        database(tier="db-perf-optimized-N-6", edition="ENTERPRISE_PLUS"),
        "authsvc:database.tier",
        "must be db-perf-optimized-N- and one of 2, 4, 8,",
    ),
    "a secret of another engine": (
        database(urlSecret="database-url"),
        "authsvc:database.urlSecret",
        "are for engine external, and database.engine is cloud-sql: leave them out",
    ),
    "a certificate of another engine": (
        database(caCertificate=cloud.CERTIFICATE),
        "authsvc:database.caCertificate",
        "is not for engine cloud-sql, …: leave it out",
    ),
    "a replica of somebody else's": (
        database(**EXTERNAL, readReplicas=1),
        "authsvc:database.replicaRegion",
        "are not for engine external: leave them out",
    ),
}
