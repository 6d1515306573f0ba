"""The service on Cloud Run: what the stack says of it agrees with the image and with the service's own code."""

import asyncio
import re
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from authsvc import embedded
from authsvc.app import Service, compose
from authsvc.config import Config, settings
from infra import budgets, environment
from infra.components.attempts import Revision, revision
from infra.components.service import CONTAINER, traffic
from infra.components.sidecar import CONFIGURATION, HEALTH_PORT, JOB
from infra.environment import service_config
from infra.settings import Rollout, SettingsError
from tests.cli.conftest import CREDENTIALS, run
from tests.conftest import SIGNING_KEYS, Client, Serve
from tests.faults.test_tls import Authority
from tests.infra.cloud import cloud, stacks
from tests.infra.cloud.conftest import Recorded
from tests.infra.cloud.container import (
    DOCKERFILE,
    container_of,
    image_variables,
    lay_out,
    mounted,
    template_of,
    variables_of,
)
from tests.infra.cloud.recording import Recording, Registered

SERVICE, JOBS = "cloudrunv2/service:Service", "cloudrunv2/job:Job"
ROOT = Path(__file__).parents[3]
DEFAULTS = Config.read({"AUTHSVC_DATABASE_URL": "postgresql://127.0.0.1/authsvc", "AUTHSVC_JWT_SECRET": "x" * 32})
HANDS = {"authsvc-signing-keys": SIGNING_KEYS, "authsvc-refresh-secret": "a-secret-of-at-least-thirty-two-bytes"}


def secrets_of(recording: Recording, tmp_path: Path) -> dict[str, str]:
    """What is in Secret Manager: the stack's own versions, those of people, and a certificate that is one."""
    made = {each.name: each.inputs["secretData"] for each in recording.of("secretmanager/secretVersion:SecretVersion")}
    return {**made, **HANDS, "authsvc-database-ca": Authority(tmp_path, "ca").file.read_text()}


def test_the_real_command_line_accepts_exactly_the_environment_of_the_container(
    stack: Recording, tmp_path: Path
) -> None:
    service = stack.one(SERVICE)
    container = container_of(service, CONTAINER)
    given = lay_out(service, container, secrets_of(stack, tmp_path), tmp_path)
    done = run("check-config", settings=given)
    assert (done.returncode, done.stderr) == (0, "")
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert shown["AUTHSVC_DATABASE_URL"].startswith("postgresql://authsvc:***@10.1.0.2:")
    assert shown["AUTHSVC_JWT_KEYS"] == shown["AUTHSVC_REFRESH_SECRET"] == "***"
    assert shown["AUTHSVC_PUBLIC_URL"] == stack.outputs["url"]


def test_the_jobs_run_with_their_own_environment_and_without_the_keys(
    prod: Recording, tmp_path: Path, postgres: embedded.Server
) -> None:
    url = postgres.url_of("of_the_jobs")
    secrets = {**secrets_of(prod, tmp_path), "authsvc-owner-url": url}
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute("create database of_the_jobs")
        try:
            for name, said in (("migrate", "of_the_jobs may do what the service needs."), ("sweep", "everything else")):
                job = prod.one(JOBS, f"authsvc-{name}")
                container = container_of(job, name)
                given = lay_out(job, container, secrets, tmp_path / name)
                # The role of that name is the superuser here.
                arguments = ["of_the_jobs" if each == "authsvc" else each for each in container["args"]]
                arguments = [each.replace("/secrets/", f"{tmp_path / name}/secrets/") for each in arguments]
                done = run(*arguments, settings=given)
                assert (done.returncode, done.stderr) == (0, "")
                assert said in done.stdout
                read = set(mounted(job, container).values())
                assert not read & HANDS.keys()
        finally:
            admin.execute("drop database of_the_jobs with (force)")
            admin.execute("drop role if exists of_the_jobs")


def test_no_secret_is_the_value_of_a_variable(stack: Recording) -> None:
    secret = {each.name for each in settings() if each.secret}
    for resource in [*stack.of(SERVICE), *stack.of(JOBS)]:
        for container in template_of(resource)["containers"]:
            assert all("value" in each and "valueSource" not in each for each in container.get("envs", []))
            assert not secret & {each["name"] for each in container.get("envs", [])}
        assert not resource.secret_paths, f"{resource.name} has a secret in its plain template"


def test_every_file_that_a_variable_names_is_mounted_and_its_account_may_read_it(stack: Recording) -> None:
    grants = stack.of("secretmanager/secretIamMember:SecretIamMember")
    for resource in [*stack.of(SERVICE), *stack.of(JOBS)]:
        account = template_of(resource)["serviceAccount"]
        read = set()
        for container in template_of(resource)["containers"]:
            files = mounted(resource, container)
            named = {
                value for name, value in variables_of({"envs": [], **container}).items() if name in environment.FILES
            }
            assert named <= files.keys()
            read |= set(files.values())
        granted = {each.inputs["secretId"] for each in grants if each.inputs["member"] == f"serviceAccount:{account}"}
        assert granted == read
        waits_for = {each.urn for each in grants if each.inputs["member"] == f"serviceAccount:{account}"}
        assert waits_for <= resource.dependencies


def test_files_can_be_read_by_the_user_of_the_image(stack: Recording) -> None:
    [user] = re.findall(r"^USER (\d+)", DOCKERFILE, re.MULTILINE)
    assert user != "0"
    for resource in [*stack.of(SERVICE), *stack.of(JOBS)]:
        modes = [each["secret"]["defaultMode"] for each in template_of(resource)["volumes"]]
        assert all(mode & stat.S_IROTH and not mode & 0o222 for mode in modes)


def test_ports_and_probes_are_those_of_the_image_and_of_the_service(stack: Recording, service: Service) -> None:
    container = container_of(stack.one(SERVICE), CONTAINER)
    exposed = [int(port) for port in re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)[0].split()]
    http = DEFAULTS.http
    assert exposed == [http.port, http.admin_port]
    assert container["ports"] == {"containerPort": http.port}
    assert image_variables() == {"AUTHSVC_HOST": "0.0.0.0", "AUTHSVC_ADMIN_HOST": "0.0.0.0"}  # noqa: S104 - the image's own
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert {each["port"] for each in probes.values()} == {http.admin_port}
    offered = {route.resource.canonical for route in service.admin.router.routes() if route.resource}
    assert {each["path"] for each in probes.values()} <= offered
    # What Docker asks is what says that the process lives; whether requests should come is another question.
    assert f"'GET', '{probes['liveness']['path']}'" in DOCKERFILE


async def test_without_its_database_no_revision_begins_and_no_instance_leaves_or_ends(
    stack: Recording, config: Config, serve: Serve
) -> None:
    container = container_of(stack.one(SERVICE), CONTAINER)
    nowhere = replace(config.database, url=type(config.database.url)("postgresql://127.0.0.1:1/none?sslmode=disable"))
    unreachable = await asyncio.to_thread(compose, replace(config, database=nowhere))
    people, admin = await serve(unreachable.public), await serve(unreachable.admin)
    answers = {
        kind: (await admin.get(container[f"{kind}Probe"]["httpGet"]["path"])).status
        for kind in ("startup", "readiness", "liveness")
    }
    assert answers == {"startup": 503, "readiness": 200, "liveness": 200}
    # What leaves with the instances where readiness asks for the database.
    assert (await people.get("/.well-known/jwks.json")).status == 200
    refused = await people.post("/api/auth/login", json=CREDENTIALS)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")


async def test_a_revision_begins_once_its_database_answers_and_is_migrated(stack: Recording, admin: Client) -> None:
    path = container_of(stack.one(SERVICE), CONTAINER)["startupProbe"]["httpGet"]["path"]
    assert (await admin.get(path)).status == 200


def test_an_instance_that_hangs_leaves_before_it_is_started_again(stack: Recording) -> None:
    container = container_of(stack.one(SERVICE), CONTAINER)
    readiness, liveness = container["readinessProbe"], container["livenessProbe"]
    leaves = readiness["periodSeconds"] * readiness["failureThreshold"] + readiness["timeoutSeconds"]
    # At best it began to hang right before a probe.
    ends = liveness["periodSeconds"] * (liveness["failureThreshold"] - 1) + liveness["timeoutSeconds"]
    assert leaves < ends
    # Cloud Run has a bound for all of a start.
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] <= 240


def test_the_image_starts_what_the_stack_asks_of_it(stack: Recording) -> None:
    assert re.findall(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE) == ['["authsvc"]']
    arguments = [container_of(stack.one(SERVICE), CONTAINER)["args"]]
    arguments += [template_of(each)["containers"][0]["args"] for each in stack.of(JOBS)]
    for given in arguments:
        assert run(*given, "--help", settings={}).returncode == 0
    for resource in [*stack.of(SERVICE), *stack.of(JOBS)]:
        assert all("commands" not in each for each in template_of(resource)["containers"])


def test_every_image_is_named_by_its_digest(stack: Recording) -> None:
    for resource in [*stack.of(SERVICE), *stack.of(JOBS)]:
        for container in template_of(resource)["containers"]:
            assert re.fullmatch(r"[a-z0-9./-]+@sha256:[0-9a-f]{64}", container["image"])


def test_it_has_stopped_before_cloud_run_kills_it() -> None:
    chosen = stacks.settings("prod")
    http = service_config(chosen).http
    assert http.drain_seconds + http.shutdown_seconds + budgets.CLOSING_SECONDS <= budgets.STOP_SECONDS == 10
    slow = stacks.settings("prod", {"authsvc:service": {"settings": {"AUTHSVC_SHUTDOWN_SECONDS": "8"}}})
    with pytest.raises(SettingsError) as refused:
        budgets.check(slow, service_config(slow))
    assert str(refused.value) == (
        "authsvc:service.settings: AUTHSVC_DRAIN_SECONDS (1) + AUTHSVC_SHUTDOWN_SECONDS (8) + 2 to close = 11, and"
        " Cloud Run kills after 10 seconds: lower one of them."
    )


def test_a_request_may_last_as_long_as_the_service_may_wait(stack: Recording) -> None:
    config = service_config(stacks.settings("prod"))
    seconds = int(template_of(stack.one(SERVICE))["timeout"].removesuffix("s"))
    waits = config.passwords.queue_seconds + config.passwords.refusal_seconds + config.passwords.breached_seconds
    assert seconds > waits + 2 * (config.database.acquire_seconds + config.database.statement_seconds)


def test_it_scales_by_its_cpu_within_what_the_budgets_counted(recorded: Recorded) -> None:
    chosen = {"minInstances": 3, "maxInstances": 7, "concurrency": 33, "cpuTarget": 0.45, "cpu": 2, "memory": "1Gi"}
    service = recorded("prod", {"authsvc:service": chosen}).one(SERVICE)
    template, container = template_of(service), container_of(service, CONTAINER)
    assert service.inputs["scaling"] == {"minInstanceCount": 3, "maxInstanceCount": 7}
    assert template["scaling"] == {"maxInstanceCount": 7, "cpuUtilization": 0.45}
    assert template["maxInstanceRequestConcurrency"] == 33
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "1024Mi"}
    assert variables_of(container)["AUTHSVC_PASSWORD_THREADS"] == "2"


def test_it_has_its_cpu_also_between_requests_and_more_of_it_at_its_start(stack: Recording) -> None:
    template = template_of(stack.one(SERVICE))
    assert not any(each["resources"]["cpuIdle"] for each in template["containers"])
    assert container_of(stack.one(SERVICE), CONTAINER)["resources"]["startupCpuBoost"] is True
    assert template["executionEnvironment"] == "EXECUTION_ENVIRONMENT_GEN2"


def test_the_sidecar_leaves_the_cpu_target_within_reach_and_costs_less_than_the_service(stack: Recording) -> None:
    service = stack.one(SERVICE)
    limits = [each["resources"]["limits"] for each in template_of(service)["containers"]]
    cpus = [float(each["cpu"].removesuffix("m")) / (1000 if each["cpu"].endswith("m") else 1) for each in limits]
    memory = [int(each["memory"].removesuffix("Mi")) for each in limits]
    # Cloud Run: with less than a CPU in all, an instance takes one request at a time.
    assert sum(cpus) >= 1
    assert cpus[0] / sum(cpus) > template_of(service)["scaling"]["cpuUtilization"]
    assert cpus[1] <= cpus[0] / 2
    assert memory[1] <= memory[0]


def strict(value: Any, known: Mapping[str, Any], where: str = "") -> None:
    """Refuse what the sidecar's own reader refuses: a key that it does not have, a value of another type."""
    assert set(value) <= set(known), f"{where}: {set(value) - set(known)}"
    for key, given in value.items():
        match known[key]:
            case dict() as inner:
                strict(given, inner, f"{where}.{key}")
            case [dict() as inner]:
                assert isinstance(given, list)
                for each in given:
                    strict(each, inner, f"{where}.{key}")
            case [kind]:
                assert all(type(each) is kind for each in given), f"{where}.{key}"
            case kind:
                assert type(given) is kind, f"{where}.{key}"


RUN_MONITORING: dict[str, Any] = {
    "apiVersion": str,
    "kind": str,
    "metadata": {"name": str},
    "spec": {
        "endpoints": [
            {"port": str, "scheme": str, "path": str, "params": dict, "interval": str, "timeout": str}
            | {"metricRelabeling": list}
        ],
        "targetLabels": {"metadata": [str]},
        "limits": {"samples": int, "labels": int, "labelNameLength": int, "labelValueLength": int},
    },
}


def test_the_sidecar_reads_its_configuration_and_scrapes_the_admin_port(stack: Recording, service: Service) -> None:
    run_service = stack.one(SERVICE)
    sidecar = container_of(run_service, "collector")
    secret = mounted(run_service, sidecar)[CONFIGURATION]
    version = stack.one("secretmanager/secretVersion:SecretVersion", secret)
    config = yaml.safe_load(version.inputs["secretData"])
    strict(config, RUN_MONITORING)
    assert (config["apiVersion"], config["kind"]) == ("monitoring.googleapis.com/v1beta", "RunMonitoring")
    [endpoint] = config["spec"]["endpoints"]
    assert endpoint["port"] == str(DEFAULTS.http.admin_port)
    assert endpoint["path"] in {route.resource.canonical for route in service.admin.router.routes() if route.resource}
    assert int(endpoint["timeout"].removesuffix("s")) <= int(endpoint["interval"].removesuffix("s"))
    assert set(config["spec"]["targetLabels"]["metadata"]) <= {"instance", "revision", "service", "configuration"}


def test_a_configuration_with_a_key_too_many_is_seen() -> None:
    with pytest.raises(AssertionError, match="jobLabel"):
        strict({"spec": {"endpoints": [{"port": "1", "jobLabel": "x"}]}}, RUN_MONITORING)
    with pytest.raises(AssertionError, match="port"):
        strict({"spec": {"endpoints": [{"port": 9090}]}}, RUN_MONITORING)


def test_the_series_have_the_job_that_every_rule_asks_for() -> None:
    asked = set()
    for file in (ROOT / "infra" / "monitoring" / "rules").glob("*.yml"):
        asked |= set(re.findall(r'job=~?"([^"]+)"', file.read_text()))
    assert asked == {JOB}


def test_the_sidecar_starts_after_the_service_and_only_the_service_has_a_port(stack: Recording) -> None:
    sidecar = container_of(stack.one(SERVICE), "collector")
    assert sidecar["dependsOns"] == [CONTAINER]
    assert "ports" not in sidecar
    probe = sidecar["livenessProbe"]
    assert probe["httpGet"] == {"path": "/liveness", "port": HEALTH_PORT}
    # It sleeps for five seconds before it answers.
    assert probe["timeoutSeconds"] > 5


def test_the_revision_is_named_after_the_image_and_all_that_makes_the_template(recorded: Recorded) -> None:
    def name(overrides: dict[str, Any] | None = None) -> str:
        return str(template_of(recorded("dev", overrides).one(SERVICE))["revision"])

    first = name()
    assert first == name(), "the same settings make the same name"
    assert re.fullmatch(r"authsvc-01234567-[0-9a-f]{8}", first)
    assert len(first) <= 63
    others: list[dict[str, Any]] = [
        {"authsvc:image": f"europe-west1-docker.pkg.dev/p/authsvc/authsvc@sha256:{'89' * 32}"},
        {"authsvc:service": {"settings": {"AUTHSVC_LOG_LEVEL": "warning"}}},
        {"authsvc:service": {"memory": "1Gi"}},
        {"authsvc:service": {"cpuTarget": 0.7}},
        {"authsvc:monitoring": {"sidecarImage": f"example.com/sidecar@sha256:{'ab' * 32}"}},
    ]
    names = [first, *(name(each) for each in others)]
    assert len(set(names)) == len(names)
    assert name({"authsvc:rollout": {"percent": 0, "stable": "authsvc-old"}}) == first, "traffic is no part of it"


def test_a_revision_that_did_not_come_up_is_made_again_under_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same name Cloud Run would make no other, though what was missing is there now, such as a secret."""

    def name() -> str:
        recording = stacks.recorded(stacks.settings("dev"))
        made = str(template_of(recording.one(SERVICE))["revision"])
        assert recording.outputs["latest_revision"] == made
        return made

    def last(created: str, ready: str) -> None:
        path = "projects/p/locations/europe-west1/services/authsvc/revisions/"
        state = {"latestCreatedRevision": path + created, "latestReadyRevision": ready and path + ready}
        monkeypatch.setattr(cloud.Cloud, "_existing_service", lambda _self, name: {**state, "name": name})

    first = name()
    last(first, first)
    assert name() == first
    last("authsvc-01234567-00000000", "")
    assert name() == first, "that one was of another template"
    last(first, "authsvc-01234567-00000000")
    second = name()
    assert re.fullmatch(rf"{first}-[0-9a-f]{{4}}", second)
    last(second, "authsvc-01234567-00000000")
    third = name()
    assert third not in (first, second)
    last(third, third)
    assert name() == third


def test_a_revision_that_failed_in_one_region_is_made_again_in_all_of_them() -> None:
    assert revision("a", [Revision("a", ready=True), Revision("a", ready=False)]).startswith("a-")
    assert revision("a", [Revision("a-1", ready=True), Revision("a-1", ready=True)]) == "a-1"
    # A region that is new has none.
    assert revision("a", [Revision("a-1", ready=True)]) == "a-1"
    assert revision("a", []) == "a"


@pytest.mark.parametrize(
    "rollout, shares",
    [
        (Rollout(), {"LATEST": 100}),
        (Rollout(stable="authsvc-old", percent=0), {"LATEST": 0, "authsvc-old": 100}),
        (Rollout(stable="authsvc-old", percent=10), {"LATEST": 10, "authsvc-old": 90}),
        (Rollout(stable="authsvc-old", percent=100), {"LATEST": 100}),
    ],
)
def test_traffic_is_shared_as_the_rollout_says_and_the_newest_has_its_tag(
    rollout: Rollout, shares: dict[str, int]
) -> None:
    targets = traffic(rollout)
    assert {str(each.revision or "LATEST"): each.percent for each in targets} == shares
    assert [each.tag for each in targets if each.tag] == ["candidate"]
    assert targets[0].type == "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    assert sum(share for share in shares.values()) == 100


def test_the_service_is_there_in_each_region_with_the_same_revision_and_the_same_secrets(recorded: Recorded) -> None:
    regions = ["europe-west4", "europe-north1"]
    recording = recorded("prod", {"authsvc:service": {"extraRegions": regions, "maxInstances": 3}})
    services: dict[str, Registered] = {each.inputs["location"]: each for each in recording.of(SERVICE)}
    assert set(services) == {"europe-west1", *regions}
    assert len({template_of(each)["revision"] for each in services.values()}) == 1
    assert len({str(template_of(each)["volumes"]) for each in services.values()}) == 1
    subnets = {
        region: template_of(each)["vpcAccess"]["networkInterfaces"][0]["subnetwork"]
        for region, each in services.items()
    }
    assert all(region in subnet for region, subnet in subnets.items())


def test_it_reaches_private_addresses_by_the_network_alone(stack: Recording) -> None:
    for resource in [*stack.of(SERVICE), *stack.of(JOBS)]:
        access = template_of(resource)["vpcAccess"]
        assert access["egress"] == "PRIVATE_RANGES_ONLY"
        assert "connector" not in access
        assert len(access["networkInterfaces"]) == 1
