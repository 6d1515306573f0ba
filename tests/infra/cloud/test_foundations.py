"""Network, registry, database, secrets and backup: what must be so in each stack, and in production."""

from ipaddress import ip_network
from typing import Any

import pytest

from infra.components import database as database_component
from infra.environment import DATABASE_CA
from tests.infra.cloud import cloud, stacks
from tests.infra.cloud.recording import Recording, Registered

INSTANCE, BUCKET, VERSION = "sql/databaseInstance:DatabaseInstance", "storage/bucket:Bucket", "SecretVersion"
WITH_REPLICAS = {"authsvc:database": {"replicaRegion": "europe-west4", "readReplicas": 2}}
POOLED = {
    "authsvc:service": {"maxInstances": 40},
    "authsvc:database": {
        "tier": "db-perf-optimized-N-8",
        "edition": "ENTERPRISE_PLUS",
        "maxConnections": 624,
        "readReplicas": 3,
    },
}
DAY = 24 * 3600


@pytest.fixture(scope="module", params=["dev", "prod", "replicas", "pooled", "without an image"])
def anyone(request: pytest.FixtureRequest) -> Recording:
    """A stack of any kind."""
    match request.param:
        case "replicas":
            return stacks.recorded("prod", WITH_REPLICAS)
        case "pooled":
            return stacks.recorded("prod", POOLED)
        case "without an image":
            return stacks.recorded("prod", {"authsvc:image": ""})
        case name:
            return stacks.recorded(name)


@pytest.fixture(scope="module", params=[{}, WITH_REPLICAS, POOLED], ids=["alone", "replicas", "pooled"])
def production(request: pytest.FixtureRequest) -> Recording:
    """A stack of production."""
    return stacks.recorded("prod", request.param) if request.param else stacks.recorded("prod")


def settings_of(instance: Registered) -> dict[str, Any]:
    found: dict[str, Any] = instance.inputs["settings"]
    return found


def flags_of(instance: Registered) -> dict[str, str]:
    return {flag["name"]: flag["value"] for flag in settings_of(instance)["databaseFlags"]}


def after(resource: Registered, other: Registered, stack: Recording) -> bool:
    """Tell whether a resource waits for another: itself, by what it is in, or by what it waits for."""
    by_urn = {each.urn: each for each in stack}
    todo, seen = [resource.urn], set()
    while todo:
        urn = todo.pop()
        if urn not in seen and urn in by_urn:
            seen.add(urn)
            todo += [*by_urn[urn].dependencies, by_urn[urn].parent]
    return other.urn in seen


def primary(stack: Recording) -> Registered:
    return stack.one(INSTANCE, "authsvc")


def test_a_database_has_no_public_address_and_takes_no_connection_without_tls(anyone: Recording) -> None:
    network, peering = anyone.one("compute/network:Network"), anyone.one("Connection")
    for instance in anyone.of(INSTANCE):
        addresses = settings_of(instance)["ipConfiguration"]
        assert addresses["ipv4Enabled"] is False
        assert "authorizedNetworks" not in addresses
        assert addresses["privateNetwork"].endswith(f"/networks/{network.inputs['name']}")
        assert addresses["sslMode"] == "ENCRYPTED_ONLY"
        assert settings_of(instance)["dataApiAccess"] == "DISALLOW_DATA_API"
        assert after(instance, peering, anyone)


def test_urls_verify_the_authority_that_signed_for_this_instance_alone(anyone: Recording) -> None:
    urls = [version for version in anyone.of(VERSION) if version.name.endswith("-url")]
    assert len(urls) == 2
    for each in urls:
        assert "/authsvc?" in each.inputs["secretData"]
        assert each.inputs["secretData"].endswith(f"sslmode=verify-ca&sslrootcert={DATABASE_CA}")
    # Of the primary, and of the replica that may be promoted.
    authorities = anyone.one(VERSION, "authsvc-database-ca").inputs["secretData"]
    recovery = [each for each in anyone.of(INSTANCE) if each.name.endswith("-recovery")]
    assert authorities == "\n".join([cloud.CERTIFICATE] * (1 + len(recovery)))
    for instance in anyone.of(INSTANCE):
        assert settings_of(instance)["ipConfiguration"]["serverCaMode"] == "GOOGLE_MANAGED_INTERNAL_CA"


def test_nothing_that_a_log_of_the_database_holds_is_somebodys(anyone: Recording) -> None:
    for instance in anyone.of(INSTANCE):
        flags = flags_of(instance)
        assert flags["log_error_verbosity"] == "terse"
        assert flags["log_min_duration_statement"] == "-1"
        assert flags["log_statement"] == "none"
        assert settings_of(instance)["insightsConfig"]["recordClientAddress"] is False


def test_every_database_says_its_edition_and_grows_within_its_limit(anyone: Recording) -> None:
    for instance in anyone.of(INSTANCE):
        chosen = settings_of(instance)
        assert chosen["edition"] in ("ENTERPRISE", "ENTERPRISE_PLUS")
        assert chosen["diskAutoresize"] is True
        assert chosen["diskAutoresizeLimit"] >= chosen["diskSize"]
        assert "settings.diskSize" in instance.ignore_changes
        assert flags_of(instance)["max_connections"] == flags_of(primary(anyone))["max_connections"]


def test_backups_are_made_and_the_last_outlives_the_instance(anyone: Recording) -> None:
    chosen = settings_of(primary(anyone))
    assert chosen["backupConfiguration"]["enabled"] is True
    assert chosen["backupConfiguration"]["backupRetentionSettings"]["retentionUnit"] == "COUNT"
    assert chosen["finalBackupConfig"]["enabled"] is True


def test_production_can_go_back_to_any_second_and_loses_no_zone(production: Recording) -> None:
    chosen = settings_of(primary(production))
    backups = chosen["backupConfiguration"]
    assert chosen["availabilityType"] == "REGIONAL"
    assert backups["pointInTimeRecoveryEnabled"] is True
    assert backups["transactionLogRetentionDays"] >= 7
    assert backups["backupRetentionSettings"]["retainedBackups"] > backups["transactionLogRetentionDays"]


def test_production_keeps_its_backups_elsewhere(production: Recording) -> None:
    region = primary(production).inputs["region"]
    assert settings_of(primary(production))["backupConfiguration"]["location"] != region
    assert production.one(BUCKET).inputs["location"] not in (region, region.upper())


def test_production_is_protected_against_its_deletion_and_a_trial_is_not(production: Recording, dev: Recording) -> None:
    for instance in production.of(INSTANCE):
        assert instance.inputs["deletionProtection"] is True
        assert settings_of(instance)["deletionProtectionEnabled"] is True
        assert settings_of(instance)["retainBackupsOnDelete"] is True
        assert instance.protect
    assert production.one(BUCKET).protect
    assert not production.one(BUCKET).inputs.get("forceDestroy")
    for purpose in ("signing-keys", "refresh-secret"):
        secret = production.one("secretmanager/secret:Secret", f"authsvc-{purpose}")
        assert secret.protect
        assert secret.inputs["deletionProtection"] is True
    assert not [each.name for each in dev if each.protect or each.inputs.get("deletionProtection")]


def test_a_replica_for_disasters_is_in_another_region_and_those_for_reading_are_near() -> None:
    stack = stacks.recorded("prod", WITH_REPLICAS)
    replicas = [each for each in stack.of(INSTANCE) if each is not primary(stack)]
    assert [each.inputs["region"] for each in replicas] == ["europe-west4", cloud.REGION, cloud.REGION]
    for each in replicas:
        assert each.inputs["instanceType"] == "READ_REPLICA_INSTANCE"
        assert each.inputs["masterInstanceName"] == primary(stack).outputs["name"]
        assert "backupConfiguration" not in settings_of(each)
        # Cloud SQL keeps none of a replica, so that each update would set it anew.
        assert "maintenanceWindow" not in settings_of(each)
    assert settings_of(primary(stack))["maintenanceWindow"] == {"day": 7, "hour": 4, "updateTrack": "stable"}
    (pool,) = [each for each in stacks.recorded("prod", POOLED).of(INSTANCE) if "masterInstanceName" in each.inputs]
    assert (pool.inputs["instanceType"], pool.inputs["nodeCount"]) == ("READ_POOL_INSTANCE", 3)
    assert "maintenanceWindow" not in settings_of(pool)


def test_a_pooler_stands_between_where_the_budget_asks_for_it_and_never_before_a_migration() -> None:
    """Its server connections, the jobs' and the reserve are what the server has."""
    pooled, direct = stacks.recorded("prod", POOLED), stacks.recorded("prod")
    (pooling,) = settings_of(primary(pooled))["connectionPoolConfigs"]
    flags = {flag["name"]: flag["value"] for flag in pooling["flags"]}
    assert pooling["connectionPoolingEnabled"] is True
    assert flags == {"pool_mode": "transaction", "max_pool_size": "300", "max_client_connections": "5000"}
    assert int(flags_of(primary(pooled))["max_connections"]) == 2 * 300 + 4 + 20
    assert "connectionPoolConfigs" not in settings_of(primary(direct))
    for stack, port in ((pooled, 6432), (direct, 5432)):
        assert f"@10.1.0.2:{port}/" in stack.one(VERSION, "authsvc-database-url").inputs["secretData"]
        assert "@10.1.0.2:5432/" in stack.one(VERSION, "authsvc-owner-url").inputs["secretData"]


def test_the_api_makes_no_role_but_the_owner(anyone: Recording) -> None:
    """Each that it makes is a member of cloudsqlsuperuser, which the service's must not be."""
    user = anyone.one("sql/user:User")
    assert user.inputs["name"] == database_component.OWNER
    assert user.is_secret("password")


def test_passwords_are_long_differ_and_need_no_escape_in_a_url(anyone: Recording) -> None:
    passwords = anyone.of("RandomPassword")
    assert {each.inputs["length"] for each in passwords} == {32}
    assert {each.inputs["special"] for each in passwords} == {False}
    owner, service = (anyone.one(VERSION, f"authsvc-{name}-url").inputs["secretData"] for name in ("owner", "database"))
    password = anyone.one(VERSION, "authsvc-service-password").inputs["secretData"]
    assert owner.startswith("postgresql://authsvc_owner:")
    assert service.startswith(f"postgresql://authsvc:{password}@")
    assert password not in owner


def test_no_secret_is_in_plain(anyone: Recording) -> None:
    """Neither as an input of any resource, nor in what the stack prints."""
    passwords = [each.outputs["result"] for each in anyone.of("RandomPassword")]
    assert passwords
    for resource in anyone:
        for path, value in resource.plain:
            assert not [each for each in passwords if each in str(value)], (resource.name, path)
    shown = [value for name, value in anyone.outputs.items() if name not in anyone.secret_outputs]
    assert not [value for value in shown if any(each in str(value) for each in passwords)]
    for version in anyone.of(VERSION):
        assert version.is_secret("secretData"), version.name


def test_what_people_give_is_made_empty_and_what_the_stack_makes_is_read_by_its_number(anyone: Recording) -> None:
    with_versions = {version.inputs["secret"].rpartition("/")[2] for version in anyone.of(VERSION)}
    secrets = {secret.inputs["secretId"] for secret in anyone.of("secretmanager/secret:Secret")}
    assert secrets - with_versions == {"authsvc-signing-keys", "authsvc-refresh-secret"}
    for secret in anyone.of("secretmanager/secret:Secret"):
        assert "auto" in secret.inputs["replication"]
        assert int(secret.inputs["versionDestroyTtl"].rstrip("s")) >= DAY


def test_exports_cannot_be_seen_changed_or_deleted_before_their_time(anyone: Recording) -> None:
    bucket = anyone.one(BUCKET)
    given = bucket.inputs
    assert given["uniformBucketLevelAccess"] is True
    assert given["publicAccessPrevention"] == "enforced"
    # Of a bucket with a retention policy the cloud refuses it.
    assert "versioning" not in given
    kept = int(given["retentionPolicy"]["retentionPeriod"])
    assert kept >= 7 * DAY
    assert given["softDeletePolicy"]["retentionDurationSeconds"] >= 7 * DAY
    ages = [rule["condition"]["age"] for rule in given["lifecycleRules"] if rule["action"]["type"] == "Delete"]
    assert ages == [kept / DAY]


def test_who_writes_exports_is_the_database_and_it_can_neither_read_nor_delete_them(anyone: Recording) -> None:
    (member,) = [
        each for each in anyone.of("BucketIAMMember") if each.inputs["bucket"] == anyone.one(BUCKET).outputs["name"]
    ]
    assert member.inputs["role"] == "roles/storage.objectCreator"
    assert member.inputs["member"] == f"serviceAccount:{primary(anyone).outputs['serviceAccountEmailAddress']}"


def test_lock_and_key_of_exports_are_choices() -> None:
    key = "projects/p/locations/europe-west3/keyRings/r/cryptoKeys/k"
    plain = stacks.recorded("prod").one(BUCKET)
    stack = stacks.recorded("prod", {"authsvc:backup": {"lockRetention": True, "kmsKey": key}})
    chosen = stack.one(BUCKET)
    assert plain.inputs["retentionPolicy"]["isLocked"] is False
    assert "encryption" not in plain.inputs
    assert chosen.inputs["retentionPolicy"]["isLocked"] is True
    assert chosen.inputs["encryption"] == {"defaultKmsKeyName": key}
    # Without this no bucket is made with a key.
    grant = stack.one("kms/cryptoKeyIAMMember:CryptoKeyIAMMember")
    assert grant.urn in chosen.dependencies
    assert (grant.inputs["cryptoKeyId"], grant.inputs["role"]) == (key, "roles/cloudkms.cryptoKeyEncrypterDecrypter")
    assert grant.inputs["member"].endswith("@gs-project-accounts.iam.gserviceaccount.com")
    assert not stacks.recorded("prod").of("CryptoKeyIAMMember")


def test_images_are_scanned_their_tags_stay_and_old_ones_go(anyone: Recording) -> None:
    repository = anyone.one("artifactregistry/repository:Repository").inputs
    assert repository["vulnerabilityScanningConfig"] == {"enablementConfig": "INHERITED"}
    assert "containerscanning.googleapis.com" in {
        each.inputs["service"] for each in anyone.of("projects/service:Service")
    }
    assert repository["dockerConfig"] == {"immutableTags": True}
    policies = {policy["action"]: policy for policy in repository["cleanupPolicies"]}
    assert policies.keys() == {"KEEP", "DELETE"}
    # Of a build there are three: an index, the image, its provenance.
    assert policies["KEEP"]["mostRecentVersions"]["keepCount"] >= 3 * 20
    assert int(policies["DELETE"]["condition"]["olderThan"].rstrip("s")) >= 30 * DAY
    assert not repository.get("cleanupPolicyDryRun")


def test_the_network_has_no_way_out_and_addresses_that_do_not_overlap() -> None:
    stack = stacks.recorded(
        "prod", {"authsvc:service": {"extraRegions": ["europe-west4", "us-east1"], "maxInstances": 3}}
    )
    network = stack.one("compute/network:Network").inputs
    assert network["autoCreateSubnetworks"] is False
    assert network["deleteDefaultRoutesOnCreate"] is True
    subnetworks = stack.of("Subnetwork")
    assert [each.inputs["region"] for each in subnetworks] == [cloud.REGION, "europe-west4", "us-east1"]
    ranges = [ip_network(each.inputs["ipCidrRange"]) for each in subnetworks]
    for number, each in enumerate(ranges):
        # Two addresses an instance, and two revisions: for the most instances that can be asked for.
        assert each.num_addresses >= 2 * 2 * 1000
        assert not each.overlaps(ip_network("10.128.0.0/9"))
        assert not any(each.overlaps(other) for other in ranges[number + 1 :])
    assert stack.one("GlobalAddress", "authsvc-services").inputs["addressType"] == "INTERNAL"


def test_everything_waits_for_the_apis_of_the_project(anyone: Recording) -> None:
    services = anyone.of("projects/service:Service")
    assert services
    assert not [each.name for each in services if each.inputs["disableOnDestroy"]]
    for resource in anyone:
        if resource.custom and resource.type.startswith("gcp:") and resource not in services:
            missing = [each.name for each in services if not after(resource, each, anyone)]
            assert not missing, resource.name
