"""What must never be deployed. Each docstring is what `pulumi up` prints: the rule, and what to do.

They hold for whatever is registered, by these components or by another hand. That these components do more than that,
tests/infra/cloud says. What only production must have, `authsvc:production: false` does without.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pulumi_policy import PolicyResource, ResourceValidationArgs, StackValidationArgs
from pulumi_policy.proxy import UnknownValueError

from authsvc.config import settings as settings_of_the_service
from infra.policy.register import POLICIES, at, kind_of, of_resources, of_stacks

__all__ = ["POLICIES"]

DATABASE = "sql/databaseInstance:DatabaseInstance"
ALLOYDB, ALLOYDB_CLUSTER = "alloydb/instance:Instance", "alloydb/cluster:Cluster"
SERVICE, JOB = "cloudrunv2/service:Service", "cloudrunv2/job:Job"
BUCKET = "storage/bucket:Bucket"
WORKFLOW, SCHEDULE = "workflows/workflow:Workflow", "cloudscheduler/job:Job"

PUBLIC_SERVICES = frozenset({"authsvc"})
"""Services that anybody may call: the one whose callers have no account at Google."""
MOST_INSTANCES = 1000
"""What infra/settings.py allows in a region."""
EVERYBODY = frozenset({"allUsers", "allAuthenticatedUsers"})
BASIC_ROLES = frozenset({"roles/owner", "roles/editor", "roles/viewer"})
GRANTS = frozenset(
    {
        "roles/resourcemanager.projectIamAdmin",
        "roles/resourcemanager.folderIamAdmin",
        "roles/resourcemanager.folderAdmin",
        "roles/resourcemanager.organizationAdmin",
        "roles/iam.securityAdmin",
    }
)
"""Who has one makes himself owner."""
IMPERSONATION = frozenset(
    {
        "roles/iam.serviceAccountTokenCreator",
        "roles/iam.serviceAccountUser",
        "roles/iam.serviceAccountKeyAdmin",
        "roles/iam.workloadIdentityUser",
    }
)
"""Harmless on one service account; on a project, and above, they are every account of it."""
ABOVE_RESOURCES = re.compile(r"gcp:(projects|folder|organizations)/")
"""Types of grants on a project, a folder or an organization."""
SECRET_VARIABLES = frozenset(each.name for each in settings_of_the_service() if each.secret)
SECRET_NAME = re.compile(r"(PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIALS?|PRIVATE_KEY|API_KEY)$", re.IGNORECASE)
CREDENTIAL = re.compile(
    r"[a-z]+://[^\s:/@]+:[^\s:/@]+@"  # a URL with a password
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r'|"kty"\s*:.*"(d|k)"\s*:|"(d|k)"\s*:.*"kty"\s*:',  # a private JWK
    re.DOTALL,
)
HOLD_SECRETS = {
    "secretmanager/secretVersion:SecretVersion": {"secretData", "secretDataWo"},
    "sql/user:User": {"password", "passwordWo"},
}
"""Inputs that are there for a secret: the SDK marks them, and the state has them encrypted."""
DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")


@of_resources(DATABASE, ALLOYDB)
def database_without_a_public_address(args: ResourceValidationArgs) -> Iterator[str]:
    """The database is reached by a private address alone: turn its public one off, and let nobody's network in."""
    if kind_of(args) == DATABASE:
        # On unless it is turned off.
        if at(args.props, "settings.ipConfiguration.ipv4Enabled") is not False:
            yield "settings.ipConfiguration.ipv4Enabled is not false"
        if at(args.props, "settings.ipConfiguration.authorizedNetworks"):
            yield "settings.ipConfiguration.authorizedNetworks lets networks in"
    elif at(args.props, "networkConfig.enablePublicIp"):
        yield "networkConfig.enablePublicIp is true"


@of_resources(DATABASE, ALLOYDB)
def database_by_tls_alone(args: ResourceValidationArgs) -> Iterator[str]:
    """The database refuses connections without TLS: set its sslMode to ENCRYPTED_ONLY."""
    alloydb = kind_of(args) == ALLOYDB
    path = "clientConnectionConfig.sslConfig.sslMode" if alloydb else "settings.ipConfiguration.sslMode"
    mode = at(args.props, path)
    # AlloyDB's own default is the one that is asked for.
    if mode not in ("ENCRYPTED_ONLY", "TRUSTED_CLIENT_CERTIFICATE_REQUIRED") and not (alloydb and mode is None):
        yield f"{path} is {mode}"


@of_resources(DATABASE, ALLOYDB_CLUSTER, production=True)
def database_with_backups(args: ResourceValidationArgs) -> Iterator[str]:
    """The database is backed up each day: turn its backups on."""
    if kind_of(args) == ALLOYDB_CLUSTER:
        if at(args.props, "automatedBackupPolicy.enabled") is not True:
            yield "automatedBackupPolicy.enabled is not true"
    elif _is_primary(args.props) and at(args.props, "settings.backupConfiguration.enabled") is not True:
        yield "settings.backupConfiguration.enabled is not true"


@of_resources(DATABASE, ALLOYDB_CLUSTER, production=True)
def database_with_point_in_time_recovery(args: ResourceValidationArgs) -> Iterator[str]:
    """The database can be gone back to any second: turn point-in-time recovery on."""
    path = "settings.backupConfiguration.pointInTimeRecoveryEnabled"
    if kind_of(args) == ALLOYDB_CLUSTER:
        if at(args.props, "continuousBackupConfig.enabled") is False:
            yield "continuousBackupConfig.enabled is false"
    elif _is_primary(args.props) and at(args.props, path) is not True:
        yield f"{path} is not true"


@of_resources(DATABASE, production=True)
def database_backed_up_in_another_region(args: ResourceValidationArgs) -> Iterator[str]:
    """Backups of the database are in another region than the database: name one in authsvc:backup.region."""
    data, location = at(args.props, "region"), at(args.props, "settings.backupConfiguration.location")
    if _is_primary(args.props) and location in (None, data):
        yield f"settings.backupConfiguration.location is {location}, and the database is in {data}"


@of_stacks
def alloydb_with_a_cluster_in_another_region(args: StackValidationArgs) -> Iterator[tuple[str, str]]:
    """AlloyDB's backups lie where the cluster is, so another follows elsewhere: set authsvc:database.replicaRegion."""
    clusters = [each for each in args.resources if kind_of(each) == ALLOYDB_CLUSTER]
    followed = {at(each.props, "location") for each in clusters if at(each.props, "clusterType") == "SECONDARY"}
    for each in clusters:
        location = at(each.props, "location")
        if at(each.props, "clusterType") != "SECONDARY" and not followed - {location}:
            yield each.urn, f"{each.name} is in {location}, and no other follows it elsewhere"


@of_resources(DATABASE, ALLOYDB_CLUSTER, SERVICE, BUCKET, production=True)
def protected_from_deletion(args: ResourceValidationArgs) -> Iterator[str]:
    """What holds or serves real people's data is protected from its deletion.

    Set deletionProtection, and for a bucket no forceDestroy; to delete on purpose, first take it away by itself.
    """
    properties = args.props
    if kind_of(args) == DATABASE:
        if at(properties, "settings.deletionProtectionEnabled") is not True:
            yield "settings.deletionProtectionEnabled is not true, so that the console and gcloud delete it"
    elif kind_of(args) == BUCKET and at(properties, "forceDestroy"):
        yield "forceDestroy is true"
    # True by itself, where there is such a thing.
    if at(properties, "deletionProtection") is False:
        yield "deletionProtection is false"


@of_resources(DATABASE, production=True, advisory=True)
def database_in_two_zones(args: ResourceValidationArgs) -> Iterator[str]:
    """The database survives the loss of a zone: set authsvc:database.highlyAvailable."""
    if _is_primary(args.props) and at(args.props, "settings.availabilityType") != "REGIONAL":
        yield "settings.availabilityType is not REGIONAL"


@of_resources(SERVICE, JOB)
def no_secret_in_a_variable(args: ResourceValidationArgs) -> Iterator[str]:
    """A secret is a file from Secret Manager, never a variable, whose value all see who see the service.

    Mount it, and name the file in the variable that ends in _FILE.
    """
    for container in _containers(args):
        for variable in container.get("envs") or []:
            name, value = variable["name"], variable.get("value") or ""
            named = name in SECRET_VARIABLES or SECRET_NAME.search(name)
            if value and (named or CREDENTIAL.search(value)):
                yield f"the variable {name} has a secret's value"
        for text in [*(container.get("args") or []), *(container.get("commands") or [])]:
            if CREDENTIAL.search(text):
                yield "an argument of the command has a secret's value"


@of_resources()
def no_credential_in_a_plain_input(args: ResourceValidationArgs) -> Iterator[str]:
    """A password or a private key stands in no input but those for secrets: the state has the others in plain.

    Make it a version of a secret.
    """
    kind = kind_of(args)
    for name in args.props:
        texts = () if name in HOLD_SECRETS.get(kind, ()) else _texts_of(args.props, [name])
        if any(CREDENTIAL.search(text) for text in texts):
            yield f"{name} has a password or a private key in it"


@of_resources(SERVICE, JOB)
def image_by_digest(args: ResourceValidationArgs) -> Iterator[str]:
    """An image is named by its digest, since a tag is another image tomorrow: REGISTRY/NAME@sha256:…."""
    for container in _containers(args):
        if not DIGEST.fullmatch(container["image"]):
            yield f"{container['image']} is named by a tag"


@of_resources(SERVICE, JOB)
def account_of_its_own(args: ResourceValidationArgs) -> Iterator[str]:
    """What runs acts as a service account of its own, not as the project's default one, which may do nearly all.

    Name it in serviceAccount.
    """
    template = at(args.props, "template")
    account = at(template, "serviceAccount") or at(template, "template.serviceAccount")
    if not account or account.endswith("-compute@developer.gserviceaccount.com"):
        yield "its serviceAccount is the default one"


@of_resources()
def no_basic_role(args: ResourceValidationArgs) -> Iterator[str]:
    """Nobody is made owner, editor or viewer of all, nor lets himself be, nor is given every account of a project.

    Grant the role that the task needs, on the one resource that it is about.
    """
    role = at(args.props, "role")
    of_all = ABOVE_RESOURCES.match(args.resource_type)
    if role in BASIC_ROLES | GRANTS or (of_all and role in IMPERSONATION):
        yield f"role is {role}"
    if of_all and kind_of(args).endswith("/iAMPolicy:IAMPolicy"):
        yield "it replaces every grant that there is: take an IAMMember for each role"


@of_resources()
def nothing_for_everybody(args: ResourceValidationArgs) -> Iterator[str]:
    """Nothing is granted to allUsers or allAuthenticatedUsers, but to call the public service: name who may."""
    members = {at(args.props, "member"), *(at(args.props, "members") or [])}
    kind, role = kind_of(args), at(args.props, "role")
    caller = kind.startswith("cloudrunv2/serviceIam") and role == "roles/run.invoker"
    public = caller and at(args.props, "name") in PUBLIC_SERVICES
    if (found := members & EVERYBODY) and not public:
        yield f"{', '.join(sorted(found))} may {role}"
    if kind == SERVICE and at(args.props, "invokerIamDisabled") and at(args.props, "name") not in PUBLIC_SERVICES:
        yield f"invokerIamDisabled lets everybody call the service {at(args.props, 'name')}"


@of_resources("serviceaccount/key:Key", "storage/hmacKey:HmacKey")
def no_key_of_a_service_account(args: ResourceValidationArgs) -> Iterator[str]:
    """A service account has no key, which would be a password without an end.

    Use its identity where it runs, and workload identity federation elsewhere.
    """
    yield f"{args.name} is such a key"


@of_resources("iam/workloadIdentityPoolProvider:WorkloadIdentityPoolProvider")
def federation_with_a_condition(args: ResourceValidationArgs) -> Iterator[str]:
    """Whoever is let in by workload identity federation is named: set attributeCondition, or any repository may."""
    if not at(args.props, "attributeCondition"):
        yield "attributeCondition is missing"


@of_resources(BUCKET)
def bucket_not_public(args: ResourceValidationArgs) -> Iterator[str]:
    """A bucket is open to nobody by accident: set publicAccessPrevention to enforced and uniformBucketLevelAccess."""
    if (prevention := at(args.props, "publicAccessPrevention")) != "enforced":
        yield f"publicAccessPrevention is {prevention}"
    if at(args.props, "uniformBucketLevelAccess") is not True:
        yield "uniformBucketLevelAccess is not true"


@of_resources(BUCKET, production=True)
def bucket_with_retention(args: ResourceValidationArgs) -> Iterator[str]:
    """What is in a bucket, nobody deletes or changes before its time: set a retentionPolicy, and no versioning.

    Cloud Storage refuses the two together.
    """
    if float(at(args.props, "retentionPolicy.retentionPeriod") or 0) < 24 * 3600:
        yield "retentionPolicy.retentionPeriod is less than a day"
    if at(args.props, "versioning.enabled"):
        yield "versioning.enabled is true"


@of_stacks
def bucket_in_another_region(args: StackValidationArgs) -> Iterator[tuple[str, str]]:
    """Exports are in another region than the database: name one in authsvc:backup.region."""
    data = {
        str(at(each.props, "location" if kind_of(each) == ALLOYDB_CLUSTER else "region")).lower()
        for each in _primaries(args)
    }
    for each in args.resources:
        location = str(at(each.props, "location")).lower()
        if kind_of(each) == BUCKET and location in data:
            yield each.urn, f"{each.name} is in {location}, and so is the database"


@of_stacks
def database_exported_on_a_schedule(args: StackValidationArgs) -> Iterator[tuple[str, str]]:
    """What a service has in its database is exported on a schedule: a workflow that exports it, and what starts it.

    The first update of a stack, which makes no service, needs none.
    """
    if not any(kind_of(each) == SERVICE for each in args.resources):
        return
    started = [str(at(each.props, "httpTarget.uri")) for each in args.resources if kind_of(each) == SCHEDULE]
    sources = [
        str(at(each.props, "sourceContents"))
        for each in args.resources
        if kind_of(each) == WORKFLOW and any(f"/{at(each.props, 'name')}/executions" in uri for uri in started)
    ]
    for each in _primaries(args):
        name = str(at(each.props, "clusterId") or at(each.props, "name"))
        if not any("export" in source and name in source for source in sources):
            yield each.urn, f"no workflow that is started on a schedule exports {name}"


@of_resources(SERVICE, production=True)
def service_behind_the_edge(args: ResourceValidationArgs) -> Iterator[str]:
    """Production is reached through its load balancer, where Cloud Armor is: set authsvc:edge.enabled."""
    if at(args.props, "ingress") in (None, "INGRESS_TRAFFIC_ALL"):
        yield "ingress is INGRESS_TRAFFIC_ALL"


@of_resources("compute/backendService:BackendService", production=True)
def edge_with_cloud_armor(args: ResourceValidationArgs) -> Iterator[str]:
    """What the load balancer serves, Cloud Armor guards: set securityPolicy."""
    if not at(args.props, "securityPolicy"):
        yield "securityPolicy is missing"


@of_resources("compute/sSLPolicy:SSLPolicy", "compute/targetHttpsProxy:TargetHttpsProxy")
def edge_by_tls_1_2_or_newer(args: ResourceValidationArgs) -> Iterator[str]:
    """The edge speaks TLS 1.2 or newer: give its proxy an sslPolicy whose minTlsVersion is TLS_1_2 or TLS_1_3."""
    if kind_of(args).startswith("compute/target"):
        if not at(args.props, "sslPolicy"):
            yield "sslPolicy is missing"
    elif (version := at(args.props, "minTlsVersion")) not in ("TLS_1_2", "TLS_1_3"):
        yield f"minTlsVersion is {version}"


@of_resources(SERVICE)
def bounded_instances(args: ResourceValidationArgs) -> Iterator[str]:
    """How many instances there may be is stated, since each opens connections and costs money.

    Set authsvc:service.maxInstances.
    """
    most = at(args.props, "template.scaling.maxInstanceCount") or at(args.props, "scaling.maxInstanceCount")
    if not most or most > MOST_INSTANCES:
        yield f"maxInstanceCount is {most}"


@of_resources("compute/firewall:Firewall")
def firewall_closed_to_the_internet(args: ResourceValidationArgs) -> Iterator[str]:
    """No firewall rule lets the internet in: name the ranges, or the service accounts, that may."""
    allowing = at(args.props, "allows") and at(args.props, "direction") in (None, "INGRESS")
    ranges = at(args.props, "sourceRanges") or []
    others = at(args.props, "sourceTags") or at(args.props, "sourceServiceAccounts")
    if allowing and ({"0.0.0.0/0", "::/0"} & set(ranges) or not (ranges or others)):
        yield f"sourceRanges is {', '.join(ranges) or 'everything'}"


def _primaries(args: StackValidationArgs) -> list[PolicyResource]:
    """Return what takes the writes: an instance of Cloud SQL, a cluster of AlloyDB."""
    return [
        each
        for each in args.resources
        if (kind_of(each) == DATABASE and _is_primary(each.props))
        or (kind_of(each) == ALLOYDB_CLUSTER and at(each.props, "clusterType") != "SECONDARY")
    ]


def _is_primary(properties: Mapping[str, Any]) -> bool:
    return not at(properties, "masterInstanceName")


def _containers(args: ResourceValidationArgs) -> Sequence[Any]:
    template = at(args.props, "template")
    return at(template, "containers") or at(template, "template.containers") or []


def _texts(value: Any) -> Iterator[str]:  # noqa: ANN401 - what a resource may hold
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts_of(value, value)
    elif isinstance(value, Sequence):
        yield from _texts_of(value, range(len(value)))


def _texts_of(value: Any, keys: Iterable[Any]) -> Iterator[str]:  # noqa: ANN401
    for key in keys:
        # What a resource will have is not known in a preview; what people wrote is.
        with suppress(UnknownValueError):
            yield from _texts(value[key])
