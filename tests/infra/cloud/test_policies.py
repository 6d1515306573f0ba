"""Each policy of infra/policy says what it is there to say, of what breaks it and of nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
import yaml
from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped]
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from infra.policy.policies import POLICIES
from tests.infra.cloud import cloud, judged
from tests.infra.cloud.recording import Registered
from tests.infra.cloud.test_names import registered

ROOT = Path(__file__).parents[3]
DATABASE, BUCKET = "sql/databaseInstance:DatabaseInstance", "storage/bucket:Bucket"
ALLOYDB, CLUSTER = "alloydb/instance:Instance", "alloydb/cluster:Cluster"
SERVICE, JOB = "cloudrunv2/service:Service", "cloudrunv2/job:Job"
WORKFLOW, SCHEDULE = "workflows/workflow:Workflow", "cloudscheduler/job:Job"
FIREWALL, MEMBER = "compute/firewall:Firewall", "projects/iAMMember:IAMMember"
IMAGE = "europe-docker.pkg.dev/p/r/authsvc@sha256:" + "0" * 64
CONTAINER = {"image": IMAGE, "envs": [{"name": "AUTHSVC_JWT_KEYS_FILE", "value": "/secrets/keys.json"}]}
GOOD: dict[str, dict[str, Any]] = {
    DATABASE: {
        "name": "authsvc",
        "region": cloud.REGION,
        "settings": {
            "ipConfiguration": {"ipv4Enabled": False, "sslMode": "ENCRYPTED_ONLY"},
            "backupConfiguration": {"enabled": True, "pointInTimeRecoveryEnabled": True, "location": "europe-west3"},
            "deletionProtectionEnabled": True,
            "availabilityType": "REGIONAL",
        },
    },
    CLUSTER: {
        "clusterId": "authsvc",
        "location": cloud.REGION,
        "clusterType": "SECONDARY",
        "automatedBackupPolicy": {"enabled": True},
    },
    ALLOYDB: {"instanceId": "authsvc", "cluster": "authsvc", "networkConfig": {"enablePublicIp": False}},
    SERVICE: {
        "name": "authsvc",
        "location": cloud.REGION,
        "ingress": "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER",
        "invokerIamDisabled": True,
        "template": {"serviceAccount": "x@y", "containers": [CONTAINER], "scaling": {"maxInstanceCount": 10}},
    },
    JOB: {"name": "sweep", "template": {"template": {"serviceAccount": "x@y", "containers": [CONTAINER]}}},
    BUCKET: {
        "name": "backup",
        "location": "EUROPE-WEST3",
        "publicAccessPrevention": "enforced",
        "uniformBucketLevelAccess": True,
        "retentionPolicy": {"retentionPeriod": "604800"},
    },
    WORKFLOW: {
        "name": "nightly",
        "sourceContents": '{"call": "googleapis.sqladmin.v1.instances.export", "x": "authsvc"}',
    },
    SCHEDULE: {"httpTarget": {"uri": "https://x/workflows/nightly/executions"}},
    MEMBER: {"role": "roles/logging.logWriter", "member": "serviceAccount:x@y"},
    "cloudrunv2/serviceIamMember:ServiceIamMember": {
        "name": "authsvc",
        "role": "roles/run.invoker",
        "member": "allUsers",
    },
    FIREWALL: {"allows": [{"protocol": "tcp"}], "sourceRanges": ["10.0.0.0/8"]},
    "compute/backendService:BackendService": {"securityPolicy": "armor"},
    "compute/sSLPolicy:SSLPolicy": {"minTlsVersion": "TLS_1_2"},
    "compute/targetHttpsProxy:TargetHttpsProxy": {"sslPolicy": "modern"},
    "iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider": {
        "attributeCondition": "assertion.repository == x"
    },
    "secretmanager/secretVersion:SecretVersion": {"secret": "x", "secretData": "postgresql://ada:secret@10.1.0.2/x"},
}
KEY = '{"kty": "OKP", "crv": "Ed25519", "d": "x"}'
PLANTED: list[tuple[str, str, str, Any]] = [
    ("database-without-a-public-address", DATABASE, "settings.ipConfiguration.ipv4Enabled", True),
    ("database-without-a-public-address", DATABASE, "settings.ipConfiguration.ipv4Enabled", None),
    (
        "database-without-a-public-address",
        DATABASE,
        "settings.ipConfiguration.authorizedNetworks",
        [{"value": "1.2.3.4"}],
    ),
    ("database-without-a-public-address", ALLOYDB, "networkConfig.enablePublicIp", True),
    ("database-by-tls-alone", DATABASE, "settings.ipConfiguration.sslMode", None),
    (
        "database-by-tls-alone",
        ALLOYDB,
        "clientConnectionConfig",
        {"sslConfig": {"sslMode": "ALLOW_UNENCRYPTED_AND_ENCRYPTED"}},
    ),
    ("database-with-backups", DATABASE, "settings.backupConfiguration.enabled", False),
    ("database-with-backups", CLUSTER, "automatedBackupPolicy.enabled", None),
    ("database-with-point-in-time-recovery", DATABASE, "settings.backupConfiguration.pointInTimeRecoveryEnabled", None),
    ("database-with-point-in-time-recovery", CLUSTER, "continuousBackupConfig", {"enabled": False}),
    ("database-backed-up-in-another-region", DATABASE, "settings.backupConfiguration.location", cloud.REGION),
    ("database-backed-up-in-another-region", DATABASE, "settings.backupConfiguration.location", None),
    ("alloydb-with-a-cluster-in-another-region", CLUSTER, "clusterType", "PRIMARY"),
    ("alloydb-with-a-cluster-in-another-region", CLUSTER, "clusterType", None),
    ("protected-from-deletion", DATABASE, "settings.deletionProtectionEnabled", False),
    ("protected-from-deletion", DATABASE, "deletionProtection", False),
    ("protected-from-deletion", SERVICE, "deletionProtection", False),
    ("protected-from-deletion", BUCKET, "forceDestroy", True),
    ("database-in-two-zones", DATABASE, "settings.availabilityType", "ZONAL"),
    (
        "no-secret-in-a-variable",
        SERVICE,
        "template.containers",
        [CONTAINER | {"envs": [{"name": "AUTHSVC_JWT_KEYS", "value": "x"}]}],
    ),
    (
        "no-secret-in-a-variable",
        SERVICE,
        "template.containers",
        [CONTAINER | {"envs": [{"name": "SMTP_PASSWORD", "value": "x"}]}],
    ),
    (
        "no-secret-in-a-variable",
        JOB,
        "template.template.containers",
        [CONTAINER | {"args": ["--database", "postgresql://a:b@c/d"]}],
    ),
    ("no-credential-in-a-plain-input", MEMBER, "condition", {"title": "postgresql://ada:secret@10.1.0.2/authsvc"}),
    ("no-credential-in-a-plain-input", BUCKET, "labels", {"key": KEY}),
    (
        "no-credential-in-a-plain-input",
        "compute/sSLCertificate:SSLCertificate",
        "privateKey",
        "-----BEGIN PRIVATE KEY-----\n",
    ),
    ("image-by-digest", SERVICE, "template.containers", [{"image": "authsvc:latest"}]),
    ("image-by-digest", JOB, "template.template.containers", [CONTAINER, {"image": IMAGE[:-1]}]),
    ("account-of-its-own", SERVICE, "template.serviceAccount", None),
    ("account-of-its-own", JOB, "template.template.serviceAccount", "1-compute@developer.gserviceaccount.com"),
    ("no-basic-role", MEMBER, "role", "roles/owner"),
    ("no-basic-role", MEMBER, "role", "roles/editor"),
    ("no-basic-role", MEMBER, "role", "roles/iam.serviceAccountTokenCreator"),
    ("no-basic-role", "folder/iAMMember:IAMMember", "role", "roles/iam.serviceAccountTokenCreator"),
    ("no-basic-role", "organizations/iAMBinding:IAMBinding", "role", "roles/iam.serviceAccountUser"),
    ("no-basic-role", MEMBER, "role", "roles/resourcemanager.projectIamAdmin"),
    ("no-basic-role", MEMBER, "role", "roles/iam.securityAdmin"),
    ("no-basic-role", "projects/iAMPolicy:IAMPolicy", "policyData", "{}"),
    ("no-basic-role", "folder/iAMPolicy:IAMPolicy", "policyData", "{}"),
    ("no-basic-role", "organizations/iAMPolicy:IAMPolicy", "policyData", "{}"),
    ("nothing-for-everybody", BUCKET.replace("bucket:Bucket", "bucketIAMMember:BucketIAMMember"), "member", "allUsers"),
    ("nothing-for-everybody", MEMBER, "member", "allAuthenticatedUsers"),
    ("nothing-for-everybody", "secretmanager/secretIamBinding:SecretIamBinding", "members", ["user:ada", "allUsers"]),
    ("nothing-for-everybody", "cloudrunv2/serviceIamMember:ServiceIamMember", "name", "admin"),
    ("nothing-for-everybody", "cloudrunv2/serviceIamMember:ServiceIamMember", "role", "roles/run.admin"),
    ("nothing-for-everybody", SERVICE, "name", "admin"),
    ("no-key-of-a-service-account", "serviceaccount/key:Key", "serviceAccountId", "x"),
    (
        "federation-with-a-condition",
        "iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider",
        "attributeCondition",
        None,
    ),
    ("bucket-not-public", BUCKET, "publicAccessPrevention", "inherited"),
    ("bucket-not-public", BUCKET, "uniformBucketLevelAccess", None),
    ("bucket-with-retention", BUCKET, "retentionPolicy", None),
    ("bucket-with-retention", BUCKET, "retentionPolicy.retentionPeriod", "3600"),
    ("bucket-with-retention", BUCKET, "versioning", {"enabled": True}),
    ("bucket-in-another-region", BUCKET, "location", cloud.REGION.upper()),
    ("database-exported-on-a-schedule", WORKFLOW, "sourceContents", "{}"),
    ("database-exported-on-a-schedule", WORKFLOW, "name", "hourly"),
    ("database-exported-on-a-schedule", SCHEDULE, "httpTarget.uri", "https://x/jobs/sweep:run"),
    ("service-behind-the-edge", SERVICE, "ingress", "INGRESS_TRAFFIC_ALL"),
    ("service-behind-the-edge", SERVICE, "ingress", None),
    ("edge-with-cloud-armor", "compute/backendService:BackendService", "securityPolicy", None),
    ("edge-by-tls-1-2-or-newer", "compute/sSLPolicy:SSLPolicy", "minTlsVersion", "TLS_1_0"),
    ("edge-by-tls-1-2-or-newer", "compute/targetHttpsProxy:TargetHttpsProxy", "sslPolicy", None),
    ("bounded-instances", SERVICE, "template.scaling.maxInstanceCount", None),
    ("bounded-instances", SERVICE, "template.scaling.maxInstanceCount", 1001),
    ("firewall-closed-to-the-internet", FIREWALL, "sourceRanges", ["10.0.0.0/8", "0.0.0.0/0"]),
    ("firewall-closed-to-the-internet", FIREWALL, "sourceRanges", None),
]
"""A policy, and what breaks it: a type, a path in a good resource of it, and the value that stands there then."""
IN_PRODUCTION = {
    "database-with-backups",
    "database-with-point-in-time-recovery",
    "database-backed-up-in-another-region",
    "alloydb-with-a-cluster-in-another-region",
    "protected-from-deletion",
    "database-in-two-zones",
    "bucket-with-retention",
    "bucket-in-another-region",
    "database-exported-on-a-schedule",
    "service-behind-the-edge",
    "edge-with-cloud-armor",
}
ADVISORY = {"database-in-two-zones"}


def planted(kind: str, path: str, value: Any) -> list[Registered]:
    """Return a good stack, but for one value."""
    inputs = json.loads(json.dumps(GOOD | {kind: GOOD.get(kind, {})}))
    *folders, last = path.split(".")
    inside = inputs[kind]
    for folder in folders:
        inside = inside[folder]
    inside[last] = value
    if value is None:
        del inside[last]
    return [registered(each, values) for each, values in inputs.items()]


def test_a_good_stack_breaks_nothing() -> None:
    assert not judged.violations(registered(kind, inputs) for kind, inputs in GOOD.items())


@pytest.mark.parametrize("policy, kind, path, value", PLANTED)
def test_a_policy_says_what_breaks_it(policy: str, kind: str, path: str, value: Any) -> None:
    resources = planted(kind, path, value)
    found = [each for each in judged.violations(resources) if each.policy == policy]
    assert found, judged.violations(resources)
    assert all(each.message and each.resource for each in found)
    assert {each.mandatory for each in found} == {policy not in ADVISORY}
    trial = {each.policy for each in judged.violations(resources, {"authsvc:production": "false"})}
    assert (policy in trial) == (policy not in IN_PRODUCTION)


def test_the_same_is_asked_of_alloydb() -> None:
    cluster = GOOD[CLUSTER] | {"clusterId": "users", "clusterType": "PRIMARY", "location": "europe-west3"}
    inputs = {kind: values for kind, values in GOOD.items() if kind != DATABASE} | {CLUSTER: cluster}
    found = {each.policy for each in judged.violations(registered(kind, values) for kind, values in inputs.items())}
    assert found >= {"bucket-in-another-region", "database-exported-on-a-schedule"}
    # Before there is a service, there is nothing in it.
    del inputs[SERVICE]
    found = {each.policy for each in judged.violations(registered(kind, values) for kind, values in inputs.items())}
    assert "database-exported-on-a-schedule" not in found


def test_each_policy_has_a_name_a_sentence_and_something_that_breaks_it() -> None:
    assert {each.name for each in POLICIES} == {policy for policy, *_ in PLANTED}
    for policy in POLICIES:
        assert policy.description.endswith(".")
        assert policy.description.count("\n") == 0


def test_the_pack_itself_refuses_over_its_own_protocol() -> None:
    """As `pulumi up --policy-pack infra/policy` starts it, with what the engine tells it of the stack."""
    environment = {
        "PATH": os.environ["PATH"],  # noqa: TID251 - the pack is another process
        "PYTHONUNBUFFERED": "1",
        "PULUMI_PROJECT": "authsvc",
        "PULUMI_STACK": "dev",
        "PULUMI_DRY_RUN": "false",
        "PULUMI_CONFIG": json.dumps({"authsvc:production": "false"}),
    }
    pack = subprocess.Popen(
        [sys.executable, "-m", "pulumi.policy", "127.0.0.1:0", str(ROOT / "infra" / "policy")],
        stdout=subprocess.PIPE,
        env=environment,
        cwd=ROOT / "infra" / "policy",
        text=True,
    )
    try:
        assert pack.stdout
        port = int(pack.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            analyzer = analyzer_pb2_grpc.AnalyzerStub(channel)
            info = analyzer.GetAnalyzerInfo(Empty())
            properties = Struct()
            properties.update({"role": "roles/owner", "member": "user:ada@example.com"})
            request = analyzer_pb2.AnalyzeRequest(
                type=f"gcp:{MEMBER}", name="owner", urn="urn:pulumi:dev::authsvc::x::owner", properties=properties
            )
            diagnostics = analyzer.Analyze(request).diagnostics
            properties.update({"location": "EU"})
            bucket = analyzer_pb2.AnalyzeRequest(
                type=f"gcp:{BUCKET}", name="bucket", urn="urn:pulumi:dev::authsvc::x::bucket", properties=properties
            )
            trial = {each.policyName for each in analyzer.Analyze(bucket).diagnostics}
    finally:
        pack.kill()
        pack.communicate()
    assert {each.name for each in info.policies} == {each.name for each in POLICIES}
    assert [(each.policyName, each.enforcementLevel) for each in diagnostics] == [
        ("no-basic-role", analyzer_pb2.MANDATORY)
    ]
    assert "role is roles/owner" in diagnostics[0].message
    # It knows from the stack's config that nobody's data is in it.
    assert "bucket-not-public" in trial
    assert "bucket-with-retention" not in trial


def test_the_pack_names_the_environment_that_it_runs_in() -> None:
    folder = ROOT / "infra" / "policy"
    runtime = yaml.safe_load((folder / "PulumiPolicy.yaml").read_text())["runtime"]
    assert runtime["name"] == "python"
    assert (folder / runtime["options"]["virtualenv"]).resolve() == ROOT / ".venv"
