"""A stack file that cannot be built: one sentence a fault, with its key and the fix, and nothing is registered."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from infra import __main__ as program
from infra.settings import Section, Settings
from tests.infra.cloud import cloud, recording, stacks

INFRA = Path(program.__file__).parent
REGION, OTHER = cloud.REGION, "europe-west3"
KEY = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k"
POOLED = {"tier": "db-perf-optimized-N-8", "edition": "ENTERPRISE_PLUS", "poolingAbove": 100}


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
    "the region again": (service(extraRegions=[REGION]), "authsvc:service.extraRegions", "again: leave it out"),
    "regions without an edge": (
        {**service(extraRegions=[OTHER]), "authsvc:edge": {"enabled": False}, "authsvc:production": False},
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
    "a text for a section": ({"authsvc:service": "large"}, "authsvc:service", "valid dictionary"),
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
        "must have the five fields of cron",
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
        database(tier="db-g1-small"),
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
}


def on_the_wire(config: Mapping[str, Any]) -> dict[str, str]:
    """Return a stack's config as Pulumi hands it to a program."""

    def text(value: Any) -> str:
        return value if isinstance(value, str) else json.dumps(value)

    return {key: text(value) for key, value in config.items()}


def config(changes: Mapping[str, Any], stack: str = "prod") -> dict[str, str]:
    """Return the config of the repository's stack file, filled in and changed."""
    return on_the_wire(stacks.config(stack, changes))


def refused(given: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, stack: str = "prod") -> list[str]:
    """Run the program; return its sentences, having seen that nothing was registered or asked of the cloud."""
    registered = recording.Recording()
    monkeypatch.setattr(recording, "Recording", lambda: registered)
    with pytest.raises(pulumi.RunError) as error:
        recording.record(program.main, stack=stack, config=given)
    assert registered == []
    assert registered.invokes == []
    heading, *sentences = str(error.value).split("\n")
    assert heading == f"Pulumi.{stack}.yaml cannot be built:"
    return [sentence.strip() for sentence in sentences]


@pytest.mark.parametrize("changes, key, fix", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_one_sentence_with_its_key_and_what_to_do_before_anything_is_registered(
    changes: Mapping[str, Any], key: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sentence,) = refused(config(changes), monkeypatch)
    pattern = f"{re.escape(key)}:? .*{re.escape(fix).replace('…', '.*')}.*"
    assert re.fullmatch(pattern, sentence), sentence


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = {
        **service(minInstances=0),
        **database(pitrDays=0, highlyAvailable=False, tier="db-f1-micro"),
        "authsvc:edge": {"enabled": False},
        "authsvc:backup": {"region": REGION},
        "authsvc:monitoring": {"emails": [], "pagerEmails": []},
    }
    keys = {sentence.split()[0] for sentence in refused(config(asleep), monkeypatch)}
    sections = (
        "edge.enabled",
        "service.minInstances",
        "database.highlyAvailable",
        "database.pitrDays",
        "database.tier",
    )
    assert keys == {f"authsvc:{key}" for key in (*sections, "backup.region", "monitoring.emails")}


def test_a_stack_file_as_it_comes_says_what_is_to_be_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {stack: yaml.safe_load((INFRA / f"Pulumi.{stack}.yaml").read_text())["config"] for stack in stacks.STACKS}
    for stack, file in files.items():
        told = refused(on_the_wire(file), monkeypatch, stack)
        assert [sentence.split()[0] for sentence in told] == ["gcp:project", "gcp:region"]
    located = {**files["prod"], "gcp:project": cloud.PROJECT, "gcp:region": REGION}
    told = refused(on_the_wire(located), monkeypatch)
    assert [sentence.split()[0] for sentence in told] == [
        "authsvc:domain",
        "authsvc:backup.region",
        "authsvc:monitoring.emails",
    ]


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_what_the_program_exports_says_what_to_do_next_and_holds_no_secret(stack: str) -> None:
    """Filled in, and without an image yet: `pulumi up` the first time."""
    made = recording.record(lambda: exported(program.main), stack=stack, config=config({"authsvc:image": ""}, stack))
    assert made.outputs["repository"] == f"{REGION}-docker.pkg.dev/{cloud.PROJECT}/authsvc"
    assert made.outputs["next_step"].startswith(f"Push the image to {made.outputs['repository']}/authsvc")
    assert not made.secret_outputs
    assert not made.of("cloudrunv2/service:Service")


def exported(run: Callable[[], None]) -> dict[str, Any]:
    """Run a program; return what it exports."""
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pulumi, "export", found.__setitem__)
        run()
    return found


def test_the_program_finds_its_modules_as_the_language_host_starts_it(tmp_path: Path) -> None:
    """With this folder on the path, and not the one above; without a traceback where settings are missing."""
    host = f"""
import pulumi, runpy, sys
sys.path.insert(0, {str(INFRA)!r})
pulumi.runtime.configure(pulumi.runtime.Settings(project="authsvc", stack="prod"))
try:
    runpy.run_path({str(INFRA)!r}, run_name="__main__")
except pulumi.RunError as error:
    print(error)
"""
    told = subprocess.run(
        [sys.executable, "-c", host],
        env={"PULUMI_CONFIG": json.dumps({"gcp:region": REGION})},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.splitlines() == [
        "Pulumi.prod.yaml cannot be built:",
        "  gcp:project is missing: set it with `pulumi config set gcp:project …`.",
    ]


def keys_of(section: type[Section], prefix: str = "") -> Iterator[str]:
    for field in section.model_fields.values():
        key = f"{prefix}{field.alias}"
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Section):
            yield from keys_of(inner, f"{key}.")
        else:
            yield key


def test_every_setting_stands_in_the_file_of_production_with_its_reason_above() -> None:
    text = (INFRA / "Pulumi.prod.yaml").read_text()
    found = yaml.safe_load(text)["config"]
    given = {
        f"{name.split(':')[1]}.{key}" if isinstance(value, dict) else name.split(":")[1]
        for name, value in found.items()
        for key in (value if isinstance(value, dict) else [""])
    }
    assert given == set(keys_of(Settings)) - {"stack"}
    lines = text.splitlines()
    unexplained = [
        line
        for above, line in pairwise(lines)
        if re.match(r" +\S+: \S", line) and not line.lstrip().startswith("#") and not above.lstrip().startswith("#")
    ]
    assert unexplained == []
