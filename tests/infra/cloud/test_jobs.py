"""The jobs: a migration comes before the service, and each account may do what it is for and nothing else."""

import json
import re
from collections.abc import Mapping

import pytest

from infra.components.attempts import Run, token
from infra.components.jobs import Jobs, JobsArgs
from infra.components.secret_files import SecretFile
from tests.infra.cloud import cloud, stacks
from tests.infra.cloud.container import mounted, template_of
from tests.infra.cloud.recording import Recording, Registered, record

SERVICE, JOB = "cloudrunv2/service:Service", "cloudrunv2/job:Job"
ACCOUNT, SCHEDULE = "serviceaccount/account:Account", "cloudscheduler/job:Job"
GRANTS = ("projects/iAMMember:IAMMember", "cloudrunv2/jobIamMember:JobIamMember")
SECRET = "secretmanager/secretIamMember:SecretIamMember"

TEMPLATE = "0123abcd" * 8

SERVICE_SECRETS = {"signing-keys", "refresh-secret", "database-url", "database-ca", "run-monitoring"}
OWNER_SECRETS = {"owner-url", "database-ca"}
ROLES = {
    "authsvc-service": {"roles/logging.logWriter", "roles/monitoring.metricWriter"},
    "authsvc-migrate": set(),
    "authsvc-sweep": set(),
    "authsvc-sweeper": {"roles/run.invoker on authsvc-sweep"},
    "authsvc-exporter": {"authsvcExporter"},
}
"""All that each account may, beside the secrets below. More is a decision, made here too."""
SECRETS = {
    "authsvc-service": SERVICE_SECRETS,
    "authsvc-migrate": {*OWNER_SECRETS, "service-password"},
    "authsvc-sweep": OWNER_SECRETS,
}


def roles_of(recording: Recording, account: str) -> set[str]:
    custom = {each.outputs["name"]: each.inputs["roleId"] for each in recording.of("IAMCustomRole")}
    found = set()
    for kind in GRANTS:
        for grant in recording.of(kind):
            if grant.inputs["member"].startswith(f"serviceAccount:{account}@"):
                role = custom.get(grant.inputs["role"], grant.inputs["role"])
                found.add(f"{role} on {grant.inputs['name']}" if "name" in grant.inputs else role)
    return found


def test_each_account_has_these_roles_and_no_others(stack: Recording) -> None:
    accounts = {each.inputs["accountId"] for each in stack.of(ACCOUNT)}
    assert accounts >= ROLES.keys()
    assert {account: roles_of(stack, account) for account in ROLES} == ROLES


def test_each_account_reads_these_secrets_and_no_others(stack: Recording) -> None:
    found: dict[str, set[str]] = {}
    for grant in stack.of(SECRET):
        assert grant.inputs["role"] == "roles/secretmanager.secretAccessor"
        account = re.fullmatch(r"serviceAccount:([a-z-]+)@.*", grant.inputs["member"])
        assert account
        found.setdefault(account[1], set()).add(grant.inputs["secretId"].removeprefix("authsvc-"))
    assert found == SECRETS


def test_the_role_of_exports_may_only_export(prod: Recording) -> None:
    role = prod.one("projects/iAMCustomRole:IAMCustomRole", "authsvc-exporter")
    assert set(role.inputs["permissions"]) == {
        "cloudsql.instances.export",
        "cloudsql.instances.get",
        "workflows.executions.create",
    }


def test_no_two_of_them_share_an_account_and_none_is_the_default_one(stack: Recording) -> None:
    users = [*stack.of(SERVICE), *stack.of(JOB)]
    accounts = [template_of(each)["serviceAccount"] for each in users]
    assert len(set(accounts)) == len(accounts)
    assert all(each.startswith("authsvc-") for each in accounts)


def test_the_migration_has_succeeded_before_a_revision_starts(stack: Recording) -> None:
    migration = stack.one(JOB, "authsvc-migrate")
    assert migration.urn in stack.one(SERVICE).dependencies
    # Run to its end: with startExecutionToken the update would go on while it runs.
    assert "startExecutionToken" not in migration.inputs
    assert migration.inputs["runExecutionToken"]
    template = template_of(migration)
    arguments = template["containers"][0]["args"]
    assert arguments[:3] == ["migrate", "--service-role", "authsvc"]
    assert mounted(migration, template["containers"][0])[arguments[4]] == "authsvc-service-password"
    assert template["maxRetries"] == 0
    assert template["containers"][0]["image"] == template_of(stack.one(SERVICE))["containers"][0]["image"]


def test_a_migration_runs_again_where_anything_of_it_changes_and_only_then() -> None:
    first = token_of()
    assert first == token_of({"authsvc:rollout": {"percent": 0, "stable": "authsvc-old"}})
    assert first != token_of({"authsvc:image": f"europe-west1-docker.pkg.dev/p/authsvc/authsvc@sha256:{'89' * 32}"})
    # What it reads: the role of the service is made as the settings say.
    assert first != token_of({"authsvc:service": {"settings": {"AUTHSVC_DATABASE_STATEMENT_SECONDS": "4"}}})
    assert re.fullmatch(r"[a-z][a-z0-9-]*", first)
    assert len("authsvc-migrate") + len(first) < 63


def ran(monkeypatch: pytest.MonkeyPatch, suffix: str, state: str) -> None:
    """Let Cloud Run have run the migration last in an execution of that name."""
    execution = {"name": f"authsvc-migrate-{suffix}", "createTime": "2026-01-01T00:00:00Z", "completionTime": ""}
    condition = {"type": "Ready", "state": state}
    job = {"name": "authsvc-migrate", "latestCreatedExecutions": [execution], "terminalConditions": [condition]}
    monkeypatch.setattr(cloud.Cloud, "_existing_job", lambda _self, name: {**job, "name": name})


def token_of(overrides: Mapping[str, object] | None = None) -> str:
    chosen = stacks.settings("dev", overrides)
    return str(stacks.recorded(chosen).one(JOB, "authsvc-migrate").inputs["runExecutionToken"])


def test_a_migration_that_succeeded_is_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = token_of()
    ran(monkeypatch, first, "CONDITION_SUCCEEDED")
    assert token_of() == first


def test_a_migration_that_failed_is_run_again_by_an_update_that_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = token_of()
    ran(monkeypatch, first, "CONDITION_FAILED")
    second = token_of()
    assert second != first
    ran(monkeypatch, second, "CONDITION_SUCCEEDED")
    assert token_of() == second


def test_each_run_that_did_not_end_well_is_followed_by_another_until_one_does() -> None:
    seen = [token(TEMPLATE, None)]
    for _ in range(5):
        again = token(TEMPLATE, Run(seen[-1], succeeded=False))
        assert again not in seen
        assert again == token(TEMPLATE, Run(seen[-1], succeeded=False)), "a preview says what the update does"
        seen.append(again)
    assert token(TEMPLATE, Run(seen[-1], succeeded=True)) == seen[-1]
    # By hand, with `gcloud run jobs execute`, which may have been of any template.
    assert token(TEMPLATE, Run("x7k2p", succeeded=True)).startswith("m0123abcd-")


def test_who_goes_back_to_an_image_of_before_migrates_with_it_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    first = token_of()
    other = {"authsvc:image": f"europe-west1-docker.pkg.dev/p/authsvc/authsvc@sha256:{'89' * 32}"}
    ran(monkeypatch, first, "CONDITION_SUCCEEDED")
    second = token_of(other)
    assert second != first
    ran(monkeypatch, second, "CONDITION_SUCCEEDED")
    assert token_of() not in (first, second)


def test_in_a_project_whose_api_is_not_on_yet_no_migration_was_run(monkeypatch: pytest.MonkeyPatch) -> None:
    first = token_of()

    def off(_self: cloud.Cloud, _name: str) -> dict[str, object]:
        raise cloud.RefusedError('googleapi: Error 403: Cloud Run Admin API … {"reason": "SERVICE_DISABLED"}')

    monkeypatch.setattr(cloud.Cloud, "_existing_job", off)
    assert token_of() == first


def test_where_cloud_run_does_not_say_what_was_run_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    def down(_self: cloud.Cloud, _name: str) -> dict[str, object]:
        raise cloud.RefusedError("googleapi: Error 503: try again")

    monkeypatch.setattr(cloud.Cloud, "_existing_job", down)
    with pytest.raises(Exception, match="503"):
        token_of()


def test_another_password_of_the_role_is_set_by_another_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    first = token_of()
    number = {"version": "2", "name": "projects/1/secrets/x/versions/2", "enabled": True}
    monkeypatch.setattr(cloud.Cloud, "_secret_version", lambda _self, _state: number)
    assert first != token_of()


def test_the_sweep_is_started_on_its_schedule_by_an_account_that_may_start_it(stack: Recording) -> None:
    schedule = stack.one(SCHEDULE, "authsvc-sweep")
    target = schedule.inputs["httpTarget"]
    project = stacks.settings("dev").project
    assert target["uri"] == (
        f"https://run.googleapis.com/v2/projects/{project}/locations/europe-west1/jobs/authsvc-sweep:run"
    )
    assert target["oauthToken"]["serviceAccountEmail"].startswith("authsvc-sweeper@")
    assert template_of(stack.one(JOB, "authsvc-sweep"))["containers"][0]["args"] == ["sweep"]
    assert (schedule.inputs["schedule"], schedule.inputs["timeZone"]) == ("*/15 * * * *", "Etc/UTC")


def test_an_export_goes_to_the_bucket_of_backups_under_a_new_name_each_time(prod: Recording) -> None:
    workflow = prod.one("workflows/workflow:Workflow")
    schedule = prod.one(SCHEDULE, "authsvc-export")
    assert schedule.inputs["schedule"] == stacks.settings("prod").backup.schedule
    assert schedule.inputs["httpTarget"]["uri"].endswith("/authsvc-export/executions")
    assert workflow.urn in schedule.dependencies
    [step] = json.loads(workflow.inputs["sourceContents"])["main"]["steps"]
    assert step["export"]["call"] == "googleapis.sqladmin.v1.instances.export"
    context = step["export"]["args"]["body"]["exportContext"]
    assert step["export"]["args"]["instance"] == prod.outputs["database_instance"]
    bucket = prod.outputs["backup_bucket"]
    # Cloud SQL refuses to write a file that is there.
    assert context["uri"].startswith(f'${{"gs://{bucket}/authsvc-" + ')
    assert "sys.now()" in context["uri"]
    assert (context["fileType"], context["databases"]) == ("SQL", ["authsvc"])
    assert stacks.settings("prod").region != stacks.settings("prod").backup.region


def test_the_account_that_exports_may_not_write_the_bucket(prod: Recording) -> None:
    writers = {each.inputs["member"] for each in prod.of("storage/bucketIAMMember:BucketIAMMember")}
    assert not any("authsvc-exporter" in each for each in writers)


def test_a_database_that_is_somebody_elses_is_not_exported() -> None:
    chosen = stacks.settings("dev")

    def program() -> None:
        args = JobsArgs(
            chosen.project,
            chosen.region,
            str(chosen.image),
            chosen.jobs,
            chosen.backup,
            engine="external",
            production=False,
            role="authsvc",
            role_password=SecretFile("/secrets/service-password/password", "authsvc-service-password", "1"),
            environment={},
            files=[],
            network_id="network",
            subnetwork_id="subnetwork",
            database_instance="",
            backup_bucket="",
        )
        Jobs("authsvc", args)

    recording = record(program)
    assert {each.name for each in recording.of(SCHEDULE)} == {"authsvc-sweep"}
    assert not recording.of("workflows/workflow:Workflow")


@pytest.mark.parametrize("kind", [JOB, "workflows/workflow:Workflow", SERVICE])
def test_in_production_nothing_of_it_can_be_deleted_by_mistake(kind: str, prod: Recording, dev: Recording) -> None:
    def protected(resources: list[Registered]) -> set[bool]:
        return {each.inputs["deletionProtection"] for each in resources}

    assert protected(prod.of(kind)) == {True}
    assert protected(dev.of(kind)) == {False}
