"""The stacks beyond one database or one region: private, by TLS, backed up elsewhere, behind the one edge."""

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pulumi
import pytest

from authsvc.config import Config
from infra import budgets
from infra.environment import DATABASE_CA, service_config
from infra.settings import Settings, SettingsError
from tests.infra.cloud import cloud, judged, names, schema, stacks
from tests.infra.cloud.recording import Recording, Registered

ELSEWHERE = "europe-west3"
FILLED_IN: dict[str, dict[str, Any]] = {
    "alloydb": {"authsvc:database": {"replicaRegion": ELSEWHERE, "caCertificate": cloud.CERTIFICATE}},
    "regions": {},
    "distributed": {"authsvc:database": {"caCertificate": cloud.CERTIFICATE}},
}
NAMES = tuple(FILLED_IN)


def settings_of(name: str, overrides: Mapping[str, Any] | None = None) -> Settings:
    return stacks.settings(name, stacks.merged(FILLED_IN[name], overrides or {}))


@cache
def recorded(name: str) -> Recording:
    return stacks.recorded(settings_of(name))


def url_of(recording: Recording, purpose: str) -> str:
    version = next(
        each for each in recording.of("secretmanager/secretVersion:SecretVersion") if each.name.endswith(purpose)
    )
    assert version.is_secret("secretData")
    return str(version.inputs["secretData"])


def read(url: str) -> Config:
    """As the service reads it, but for the file, which is on no disk here."""
    kept = url.replace(f"&sslrootcert={DATABASE_CA}", "&sslrootcert=/etc/ssl/certs/ca-certificates.crt")
    return Config.read(
        {"AUTHSVC_DATABASE_URL": kept, "AUTHSVC_JWT_SECRET": "0123456789abcdef0123456789abcdef"},
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_stack_adds_up(name: str) -> None:
    chosen = settings_of(name)
    budgets.check(chosen, service_config(chosen))


@pytest.mark.parametrize("name", NAMES)
def test_a_stack_breaks_no_policy(name: str) -> None:
    assert judged.violations(recorded(name), {"authsvc:production": "true"}) == []


@pytest.mark.parametrize("name", NAMES)
def test_all_that_a_stack_asks_for_is_what_the_provider_and_the_cloud_take(name: str) -> None:
    assert [fault for each in recorded(name) for fault in schema.faults(each)] == []
    assert [fault for each in recorded(name) for fault in names.faults(each)] == []


@pytest.mark.parametrize("name", NAMES)
def test_no_password_stands_in_plain(name: str) -> None:
    passwords = {str(each.outputs["result"]) for each in recorded(name).of("RandomPassword")}
    passwords |= {"of%2Fthe-service", "of/the-service", "of-the-owner"}
    shown = [
        (each.name, path)
        for each in recorded(name)
        for path, value in each.plain
        if any(password in str(value) for password in passwords)
    ]
    assert shown == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("purpose", ["database-url", "owner-url"])
def test_the_service_reads_the_url_and_it_says_tls(name: str, purpose: str) -> None:
    url = url_of(recorded(name), purpose)
    query = parse_qs(urlsplit(url).query)
    assert query["sslmode"][0] in ("verify-ca", "verify-full")
    assert query["sslrootcert"] == [DATABASE_CA]
    assert read(url).database.url.reveal().startswith("postgresql://authsvc")


@pytest.mark.parametrize(
    "name, first, second, ports",
    [("regions", "10.1.0.2", "10.2.0.2", ("6432", "5432")), ("alloydb", "10.1.0.3", "10.2.0.3", ("6432", "5432"))],
)
def test_the_url_names_the_writer_and_who_takes_over(
    name: str, first: str, second: str, ports: tuple[str, str]
) -> None:
    for purpose, port in zip(("database-url", "owner-url"), ports, strict=True):
        parts = urlsplit(url_of(recorded(name), purpose))
        query = parse_qs(parts.query)
        assert query["host"] == [f"{first},{second}"]
        assert query["port"] == [f"{port},{port}"]
        assert query["target_session_attrs"] == ["read-write"]
        assert parts.password
        assert not parts.hostname


def test_where_there_is_one_server_the_url_names_it_alone() -> None:
    url = urlsplit(url_of(stacks.recorded("prod"), "database-url"))
    assert (url.hostname, url.port) == ("10.1.0.2", 5432)
    assert "target_session_attrs" not in url.query


def test_the_authorities_of_both_servers_are_in_the_one_file() -> None:
    version = next(
        each
        for each in recorded("regions").of("secretmanager/secretVersion:SecretVersion")
        if "database-ca" in each.name
    )
    assert version.inputs["secretData"].count("BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize("name", ["regions", "distributed"])
def test_every_region_serves_and_all_of_them_are_behind_the_one_edge(name: str) -> None:
    recording, chosen = recorded(name), settings_of(name)
    regions = {chosen.region, *chosen.service.extra_regions}
    services = recording.of("cloudrunv2/service:Service")
    assert {each.inputs["location"] for each in services} == regions
    assert {each.inputs["ingress"] for each in services} == {"INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"}
    assert all(each.inputs["defaultUriDisabled"] for each in services)
    groups = recording.of("compute/regionNetworkEndpointGroup:RegionNetworkEndpointGroup")
    for backend in recording.of("compute/backendService:BackendService"):
        behind = {each["group"] for each in backend.inputs["backends"]}
        assert {each.inputs["region"] for each in groups if each.outputs["selfLink"] in behind} == regions
    assert len(recording.of("compute/globalAddress:GlobalAddress")) == 3  # the edge's two, and the range of the peering
    assert {each.inputs["region"] for each in recording.of("Subnetwork")} == regions


def test_there_is_one_writer_and_its_replica_is_where_the_service_is() -> None:
    recording, chosen = recorded("regions"), settings_of("regions")
    instances = recording.of("sql/databaseInstance:DatabaseInstance")
    writers = [each for each in instances if not each.inputs.get("masterInstanceName")]
    (replica,) = (each for each in instances if each.inputs.get("masterInstanceName"))
    assert [each.inputs["region"] for each in writers] == [chosen.region]
    assert replica.inputs["region"] in chosen.service.extra_regions
    assert replica.inputs["settings"]["connectionPoolConfigs"] == writers[0].inputs["settings"]["connectionPoolConfigs"]
    for each in instances:
        assert each.protect
        assert each.inputs["settings"]["ipConfiguration"]["ipv4Enabled"] is False
        assert each.inputs["settings"]["ipConfiguration"]["sslMode"] == "ENCRYPTED_ONLY"


def clusters() -> dict[str, Registered]:
    return {each.inputs["clusterType"]: each for each in recorded("alloydb").of("alloydb/cluster:Cluster")}


def test_alloydb_has_a_cluster_elsewhere_with_backups_of_its_own() -> None:
    first, second = clusters()["PRIMARY"], clusters()["SECONDARY"]
    assert first.inputs["location"] == cloud.REGION
    assert second.inputs["location"] == ELSEWHERE
    assert second.inputs["secondaryConfig"]["primaryClusterName"] == first.outputs["name"]
    for each in (first, second):
        assert each.protect
        assert each.inputs["deletionProtection"] is True
        assert each.inputs["continuousBackupConfig"] == {"enabled": True, "recoveryWindowDays": 14}
        policy = each.inputs["automatedBackupPolicy"]
        # The provider: “the only supported option is to store the backup in the same region as the cluster”.
        assert (policy["enabled"], policy["location"]) == (True, each.inputs["location"])
        assert len(policy["weeklySchedule"]["daysOfWeeks"]) == 7
        assert policy["quantityBasedRetention"] == {"count": 30}


def test_the_account_that_alloydb_exports_as_is_made_before_it_is_let_into_the_bucket() -> None:
    """Google makes it with the first cluster else, and refuses a grant to nobody."""
    stack = recorded("alloydb")
    account = stack.one("projects/serviceIdentity:ServiceIdentity")
    grant = stack.one("storage/bucketIAMMember:BucketIAMMember")
    assert grant.inputs["member"] == account.outputs["member"]
    assert account.urn in grant.dependencies
    # A question to Google is asked as the update begins, when its API is not on yet.
    empty = stacks.recorded(settings_of("alloydb", {"authsvc:image": None}))
    assert not empty.invokes


def test_alloydb_is_exported_on_a_schedule_into_the_bucket_in_the_other_region() -> None:
    stack, chosen = recorded("alloydb"), settings_of("alloydb")
    schedule = stack.one("cloudscheduler/job:Job", "authsvc-export")
    assert schedule.inputs["schedule"] == chosen.backup.schedule
    assert schedule.inputs["httpTarget"]["uri"].endswith("/authsvc-export/executions")
    steps = {
        name: step
        for each in json.loads(stack.one("workflows/workflow:Workflow").inputs["sourceContents"])["main"]["steps"]
        for name, step in each.items()
    }
    asked = steps["export"]["args"]
    assert asked["url"] == f"https://alloydb.googleapis.com/v1/{clusters()['PRIMARY'].outputs['name']}:export"
    assert (asked["body"]["database"], asked["body"]["sqlExportOptions"]) == ("postgres", {})
    assert asked["body"]["gcsDestination"]["uri"].startswith(f'${{"gs://{stack.outputs["backup_bucket"]}/authsvc-" + ')
    assert (
        stack.one("storage/bucket:Bucket").inputs["location"]
        == str(chosen.backup.region).upper()
        != cloud.REGION.upper()
    )
    # Followed to its end: an error fails the workflow, which an alert is told of.
    ends = {each["condition"]: each.get("next") for each in steps["judge"]["switch"]}
    assert ends['${"error" in operation.body}'] == "failed"
    assert "raise" in steps["failed"]
    jumps = [*ends.values(), *(step.get("next") for step in steps.values())]
    assert {each for each in jumps if each} <= steps.keys()
    role = stack.one("projects/iAMCustomRole:IAMCustomRole", "authsvc-exporter")
    assert set(role.inputs["permissions"]) == {
        "alloydb.clusters.export",
        "alloydb.clusters.get",
        "alloydb.operations.get",
        "workflows.executions.create",
    }


def test_each_instance_of_alloydb_is_private_and_by_tls_alone() -> None:
    instances = recorded("alloydb").of("alloydb/instance:Instance")
    assert sorted(each.inputs["instanceType"] for each in instances) == ["PRIMARY", "READ_POOL", "SECONDARY"]
    for each in instances:
        assert each.inputs["networkConfig"] == {"enablePublicIp": False, "enableOutboundPublicIp": False}
        assert each.inputs["clientConnectionConfig"]["sslConfig"] == {"sslMode": "ENCRYPTED_ONLY"}
        assert each.protect
        assert each.inputs["databaseFlags"]["log_error_verbosity"] == "terse"
        assert not [flag for flag in each.inputs["databaseFlags"] if flag.startswith("cloudsql.")]
    (pool,) = (each for each in instances if each.inputs["instanceType"] == "READ_POOL")
    assert pool.inputs["readPoolConfig"] == {"nodeCount": 2}


def test_both_writers_to_be_are_pooled_as_the_budget_says() -> None:
    budget = budgets.connection_budget(settings_of("alloydb"))
    for each in recorded("alloydb").of("alloydb/instance:Instance"):
        if each.inputs["instanceType"] == "READ_POOL":
            assert "connectionPoolConfig" not in each.inputs
            continue
        pooling = each.inputs["connectionPoolConfig"]
        assert pooling["enabled"] is True
        assert pooling["flags"]["pool_mode"] == "transaction"
        assert int(pooling["flags"]["max_pool_size"]) * budget.poolers <= budget.max_connections


def test_without_a_certificate_alloydb_is_built_as_far_as_its_cluster() -> None:
    """Nobody knows it before; with an image it is asked for."""
    empty = {"authsvc:image": None, "authsvc:database": {"caCertificate": ""}}
    kinds = {each.type for each in stacks.recorded(settings_of("alloydb", empty))}
    assert "gcp:alloydb/cluster:Cluster" in kinds
    assert "gcp:cloudrunv2/service:Service" not in kinds


@pytest.mark.parametrize(
    "name, overrides, sentence",
    [
        ("alloydb", {"caCertificate": ""}, "authsvc:database.caCertificate is missing: "),
        ("alloydb", {"caCertificate": "x"}, "authsvc:database.caCertificate must be one certificate or more in PEM"),
        ("alloydb", {"replicaRegion": ""}, "authsvc:database.replicaRegion is missing: AlloyDB keeps its backups"),
        ("alloydb", {"replicaRegion": cloud.REGION}, "authsvc:database.replicaRegion is gcp:region"),
        ("alloydb", {"vcpus": 48}, "authsvc:database.vcpus is 48, and AlloyDB has 2, 4, 8, 16, 32, 64, 96, 128: "),
        ("distributed", {"urlSecret": ""}, "authsvc:database.urlSecret is missing: "),
        ("distributed", {"ownerUrlSecret": ""}, "authsvc:database.ownerUrlSecret is missing: "),
        ("distributed", {"caCertificate": ""}, "authsvc:database.caCertificate is missing: "),
    ],
)
def test_what_is_missing_is_one_sentence_with_its_key(name: str, overrides: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingsError) as refused:
        settings_of(name, {"authsvc:database": overrides})
    (fault,) = refused.value.faults
    assert fault.startswith(sentence)


def test_of_an_external_database_nothing_is_made_and_its_secrets_are_read() -> None:
    recording = recorded("distributed")
    assert not [each for each in recording if re.search(r":(sql|alloydb)/", each.type)]
    asked = {
        each.arguments["secret"] for each in recording.invokes if each.token.startswith("gcp:secretmanager/getSecret")
    }
    assert asked == {"distributed-url", "distributed-owner-url"}
    assert url_of(recording, "database-url") == cloud.SECRET_DATA["distributed-url"]
    assert url_of(recording, "owner-url") == cloud.SECRET_DATA["distributed-owner-url"]


@pytest.mark.parametrize(
    "key, secret, held, like",
    [
        ("urlSecret", "distributed-url", "of-the-service", "postgresql://authsvc:"),
        ("urlSecret", "distributed-url", "postgresql://authsvc@db.example.com/authsvc", "postgresql://authsvc:"),
        ("urlSecret", "distributed-url", "postgresql://somebody:hush@db.example.com/authsvc", "postgresql://authsvc:"),
        ("ownerUrlSecret", "distributed-owner-url", "mysql://owner:hush@db.example.com/authsvc", "postgresql://OWNER:"),
        ("ownerUrlSecret", "distributed-owner-url", "postgresql://owner:hush@[db/authsvc", "postgresql://OWNER:"),
    ],
)
def test_a_secret_of_people_that_holds_no_url_is_one_sentence_without_what_it_holds(
    monkeypatch: pytest.MonkeyPatch, key: str, secret: str, held: str, like: str
) -> None:
    monkeypatch.setitem(cloud.SECRET_DATA, secret, held)
    with pytest.raises(pulumi.RunError) as refused:
        stacks.recorded(settings_of("distributed"))
    assert str(refused.value) == (
        f"authsvc:database.{key}: the secret {secret} holds no URL like {like}PASSWORD@HOST/DATABASE; add a version to"
        " it that is one."
    )


def test_the_migration_makes_the_role_with_the_password_that_is_in_its_url() -> None:
    password = url_of(recorded("distributed"), "service-password")
    assert password == "of/the-service"


@pytest.mark.parametrize("name", NAMES)
def test_each_key_of_a_stack_file_is_a_setting_and_production(name: str) -> None:
    chosen = settings_of(name)
    assert chosen.production
    assert chosen.edge.enabled
