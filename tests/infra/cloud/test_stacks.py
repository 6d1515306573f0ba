"""What must hold of both stacks, whatever they are made of: of every resource, and of all together."""

import re
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_gcp as gcp
import pulumi_random
import pytest

from tests.infra.cloud import cloud, judged, names, schema, stacks
from tests.infra.cloud.recording import Recording, Registered, leaves, record

VARIANTS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "dev": ("dev", {}),
    "prod": ("prod", {}),
    "dev before there is an image": ("dev", {"authsvc:image": None}),
    "prod before there is an image": ("prod", {"authsvc:image": None}),
    "prod in two regions": ("prod", {"authsvc:service": {"extraRegions": ["us-east1"], "maxInstances": 4}}),
    "prod with replicas": ("prod", {"authsvc:database": {"replicaRegion": "europe-west4", "readReplicas": 2}}),
    "prod with a pooler and a read pool": (
        "prod",
        {
            "authsvc:service": {"maxInstances": 50},
            "authsvc:database": {
                "edition": "ENTERPRISE_PLUS",
                "tier": "db-perf-optimized-N-8",
                "maxConnections": 800,
                "pitrDays": 14,
                "readReplicas": 2,
            },
        },
    ),
    "prod with a key of its own, and a lock on the exports": (
        "prod",
        {
            "authsvc:backup": {
                "lockRetention": True,
                "kmsKey": f"projects/{cloud.PROJECT}/locations/europe-west3/keyRings/ring/cryptoKeys/key",
            }
        },
    ),
    "prod while a version rolls out": ("prod", {"authsvc:rollout": {"stable": "authsvc-00001-abc", "percent": 10}}),
}
"""Ways in which a stack can be filled in, each of which is held against all that the cloud is known to refuse."""

APIS = {
    "artifactregistry": "artifactregistry",
    "certificatemanager": "certificatemanager",
    "cloudrunv2": "run",
    "cloudscheduler": "cloudscheduler",
    "compute": "compute",
    "monitoring": "monitoring",
    "projects": "cloudresourcemanager",
    "secretmanager": "secretmanager",
    "serviceaccount": "iam",
    "servicenetworking": "servicenetworking",
    "sql": "sqladmin",
    "storage": "storage",
    "workflows": "workflows",
}
"""By the module of the SDK, the API that it calls."""


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_resource_is_one_that_the_cloud_takes_and_no_policy_refuses(variant: str) -> None:
    stack, overrides = VARIANTS[variant]
    recording = stacks.recorded(stack, overrides)
    faults = [f"{each.name}: {fault}" for each in recording for fault in schema.faults(each)]
    faults += [fault for each in recording for fault in names.faults(each)]
    config = {"authsvc:production": "true" if stack == "prod" else "false"}
    broken = [each for each in judged.violations(recording, config) if each.mandatory or stack == "prod"]
    assert not [*faults, *broken]


def test_a_program_that_prints_a_password_is_seen() -> None:
    def leaky() -> None:
        password = pulumi_random.RandomPassword("password", length=32)
        shown = pulumi.Output.unsecret(password.result)
        gcp.storage.Bucket("bucket", location="EU", labels={"x": pulumi.Output.concat("p-", shown)})

    (found,) = shown_secrets(record(leaky))
    assert found == "bucket: labels.x"


def shown_secrets(recording: Recording) -> list[str]:
    """Return each input that has a generated password in it and is not marked as a secret."""
    passwords = [str(each.outputs["result"]) for each in recording.of("RandomPassword")]
    return [
        f"{each.name}: {'.'.join(map(str, path))}"
        for each in recording
        for path, value in each.plain
        if any(password in str(value) for password in passwords)
    ]


def test_no_secret_is_in_plain(stack: Recording) -> None:
    assert stack.of("RandomPassword")
    assert not shown_secrets(stack)
    for version in stack.of("SecretVersion"):
        assert version.is_secret("secretData"), version.name
    for user in stack.of("sql/user:User"):
        assert "password" not in user.inputs or user.is_secret("password"), user.name
    passwords = [str(each.outputs["result"]) for each in stack.of("RandomPassword")]
    shown = {name for name, value in stack.outputs.items() if any(each in str(value) for each in passwords)}
    assert shown <= stack.secret_outputs


def test_the_secrets_of_people_are_no_business_of_the_state(stack: Recording) -> None:
    """Signing keys and the refresh secret: the stack makes the place, and never sees what is put there."""
    versions = {each.inputs["secret"].rpartition("/")[2] for each in stack.of("SecretVersion")}
    places = {each.inputs["secretId"] for each in stack.of("secretmanager/secret:Secret")}
    assert {"authsvc-signing-keys", "authsvc-refresh-secret"} <= places - versions


def test_nothing_of_prod_is_public_but_the_edge(prod: Recording) -> None:
    edge = prod.one("authsvc:components:Edge").urn
    balanced = [each for each in prod if each.inputs.get("loadBalancingScheme", "").startswith("EXTERNAL")]
    addresses = [each for each in prod.of("GlobalAddress") if each.inputs.get("addressType") != "INTERNAL"]
    assert {each.parent for each in balanced} == {each.parent for each in addresses} == {edge}
    assert not prod.of("compute/address:Address")
    assert not prod.of("compute/firewall:Firewall")
    for service in prod.of("cloudrunv2/service:Service"):
        assert service.inputs["ingress"] == "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
        assert service.inputs["defaultUriDisabled"] is True
    assert not everybodys(prod)


def test_nothing_of_dev_is_public_but_the_service(dev: Recording) -> None:
    assert not dev.of("GlobalForwardingRule")
    assert {each.inputs.get("addressType") for each in dev.of("GlobalAddress")} == {"INTERNAL"}
    (service,) = dev.of("cloudrunv2/service:Service")
    assert service.inputs["ingress"] == "INGRESS_TRAFFIC_ALL"
    assert not everybodys(dev)


def everybodys(recording: Recording) -> list[str]:
    """Return what names allUsers or allAuthenticatedUsers anywhere."""
    return [
        each.name
        for each in recording
        for _, value in leaves(each.inputs)
        if str(value).startswith("all") and str(value).endswith("Users")
    ]


READ = "roles/secretmanager.secretAccessor"
GRANTS = {
    ("authsvc-service", READ, "authsvc-signing-keys"),
    ("authsvc-service", READ, "authsvc-refresh-secret"),
    ("authsvc-service", READ, "authsvc-database-url"),
    ("authsvc-service", READ, "authsvc-database-ca"),
    ("authsvc-service", READ, "authsvc-run-monitoring"),
    ("authsvc-service", "roles/logging.logWriter", cloud.PROJECT),
    ("authsvc-service", "roles/monitoring.metricWriter", cloud.PROJECT),
    ("authsvc-migrate", READ, "authsvc-owner-url"),
    ("authsvc-migrate", READ, "authsvc-database-ca"),
    ("authsvc-migrate", READ, "authsvc-service-password"),
    ("authsvc-sweep", READ, "authsvc-owner-url"),
    ("authsvc-sweep", READ, "authsvc-database-ca"),
    ("authsvc-sweeper", "roles/run.invoker", "authsvc-sweep"),
    ("authsvc-exporter", f"projects/{cloud.PROJECT}/roles/authsvcExporter", cloud.PROJECT),
    # The database's own account, which Google makes.
    ("p123456789012-abcdef", "roles/storage.objectCreator", "authsvc-backup-a1b2c3d"),
}
"""All that anybody may: who, in what role, on what."""


def test_roles_are_an_exact_list(stack: Recording) -> None:
    granted = set()
    for each in stack:
        assert not re.search(r"(IAM|Iam)(Binding|Policy)$", each.type), "it takes the grants of others away"
        if "role" in each.inputs:
            who = re.fullmatch(r"serviceAccount:([^@]+)@[a-z0-9-]+\.iam\.gserviceaccount\.com", each.inputs["member"])
            assert who, each.inputs["member"]
            on = next(each.inputs[key] for key in ("secretId", "bucket", "name", "project") if key in each.inputs)
            granted.add((who[1], each.inputs["role"], on))
    assert granted == GRANTS
    assert set(stack.one("IAMCustomRole").inputs["permissions"]) == {
        "cloudsql.instances.export",
        "cloudsql.instances.get",
        "workflows.executions.create",
    }


def test_each_account_is_one_of_those_that_have_a_role(stack: Recording) -> None:
    accounts = {each.inputs["accountId"] for each in stack.of("serviceaccount/account:Account")}
    assert accounts == {who for who, *_ in GRANTS} - {"p123456789012-abcdef"}


def test_plain_http_does_nothing_but_redirect(prod: Recording) -> None:
    maps = {each.outputs["selfLink"]: each for each in prod.of("compute/uRLMap:URLMap")}
    proxies = {each.outputs["selfLink"]: each for each in prod.of("compute/targetHttpProxy:TargetHttpProxy")}
    ports = {each.inputs["portRange"]: each for each in prod.of("GlobalForwardingRule")}
    assert set(ports) == {"80", "443"}
    plain = maps[proxies[ports["80"].inputs["target"]].inputs["urlMap"]].inputs
    assert plain["defaultUrlRedirect"]["httpsRedirect"] is True
    assert not {"defaultService", "pathMatchers", "hostRules"} & plain.keys()
    assert ports["443"].inputs["target"] not in proxies


def test_prod_survives_its_deletion_and_can_be_gone_back(prod: Recording) -> None:
    (database,) = prod.of("DatabaseInstance")
    chosen = database.inputs["settings"]
    backups = chosen["backupConfiguration"]
    assert database.protect
    assert database.inputs["deletionProtection"] is chosen["deletionProtectionEnabled"] is True
    assert backups["pointInTimeRecoveryEnabled"] is backups["enabled"] is True
    assert chosen["finalBackupConfig"]["enabled"] is chosen["retainBackupsOnDelete"] is True
    # A log restores nothing without the backup before it.
    assert backups["backupRetentionSettings"]["retainedBackups"] > backups["transactionLogRetentionDays"] >= 7
    bucket = prod.one("storage/bucket:Bucket")
    assert bucket.protect
    assert int(bucket.inputs["retentionPolicy"]["retentionPeriod"]) >= 30 * 24 * 3600
    for purpose in ("signing-keys", "refresh-secret"):
        secret = prod.one("secretmanager/secret:Secret", f"authsvc-{purpose}")
        assert secret.protect
        assert secret.inputs["deletionProtection"] is True


def test_dev_can_be_thrown_away(dev: Recording) -> None:
    assert not [each.name for each in dev if each.protect or each.inputs.get("deletionProtection")]
    assert dev.one("storage/bucket:Bucket").inputs["forceDestroy"] is True


def test_backups_of_prod_are_in_another_region_than_its_data(prod: Recording) -> None:
    (database,) = prod.of("DatabaseInstance")
    data = database.inputs["region"]
    assert database.inputs["settings"]["backupConfiguration"]["location"] != data
    assert prod.one("storage/bucket:Bucket").inputs["location"].lower() != data


def test_each_api_is_on_before_what_needs_it(stack: Recording) -> None:
    enabled = {each.inputs["service"]: each.urn for each in stack.of("projects/service:Service")}
    by_urn = {each.urn: each for each in stack}

    def before(resource: Registered) -> set[str]:
        """Return all that is there before this resource."""
        seen: set[str] = set()
        ahead = list(resource.dependencies)
        while ahead:
            urn = ahead.pop()
            if urn not in seen:
                seen.add(urn)
                ahead += by_urn[urn].dependencies if urn in by_urn else ()
        return seen

    late = [
        f"{each.name} ({each.type}) needs {api}"
        for each in stack
        if (match := re.fullmatch(r"gcp:(\w+)/\w+:\w+", each.type)) and each.type != "gcp:projects/service:Service"
        if (api := f"{APIS[match[1].lower()]}.googleapis.com") not in enabled or enabled[api] not in before(each)
    ]
    assert not late


def test_each_resource_lies_in_a_component(stack: Recording) -> None:
    components = {each.urn for each in stack if not each.custom}
    parents = {each.urn: each.parent for each in stack}
    assert not [each.name for each in stack if each.custom and not {each.parent, parents.get(each.parent)} & components]


def test_no_two_resources_have_one_name(stack: Recording) -> None:
    urns = [each.urn for each in stack]
    assert len(urns) == len(set(urns))
