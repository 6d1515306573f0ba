"""Jobs: the migrations before each new revision, and on a schedule the sweep and the export.

Each has an account of its own, and each schedule has one that may start that job and nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra.components.attempts import last_run, token
from infra.components.exports import EXPORTS, Source
from infra.components.fingerprint import fingerprint
from infra.components.secret_files import SecretFile, allow_reading
from infra.settings import Backup
from infra.settings import Jobs as JobsSettings

MIGRATION_SECONDS = 900
"""Long enough for an index on a large table. One that is killed is rolled back."""
SWEEP_SECONDS = 3600
"""It deletes in small transactions; what it has not done by then the next one does."""
ATTEMPT_SECONDS = 60
"""For a request that starts something, and waits for nothing."""


@dataclass(frozen=True)
class JobsArgs:
    """What the jobs are made of."""

    project: str
    region: str
    image: str
    """By digest."""
    settings: JobsSettings
    backup: Backup
    engine: str
    """What PostgreSQL is run by: database.engine."""
    production: bool
    """Whether they are protected against their deletion."""
    role: str
    """Role of the service in the database, which the migration makes, and grants its rights."""
    role_password: SecretFile
    """The password that it gives that role."""
    environment: Mapping[str, pulumi.Input[str]]
    """Variables of the service, none of them a secret."""
    files: Sequence[SecretFile]
    """The secrets, where `environment` says that they are; as the database's URL that of the tables' owner."""
    network_id: pulumi.Input[str]
    subnetwork_id: pulumi.Input[str]
    database_instance: pulumi.Input[str]
    backup_bucket: pulumi.Input[str]


class Jobs(pulumi.ComponentResource):
    """What runs to an end.

    Attributes:
        migration: it has succeeded when it is there; the service depends on it.
        sweep: run on a schedule.
        export: the schedule of exports; None where the database is external: it is copied by whoever runs it.
    """

    def __init__(self, name: str, args: JobsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("authsvc:components:Jobs", name, None, opts)
        self._name, self._args = name, args
        self.migration = self._job(
            "migrate",
            ["migrate", "--service-role", args.role, "--service-password-file", args.role_password.path],
            [*args.files, args.role_password],
            seconds=MIGRATION_SECONDS,
            at_once=True,
        )
        self.sweep = self._job("sweep", ["sweep"], args.files, seconds=SWEEP_SECONDS, after=self.migration)
        self._schedule_sweep()
        self.export = self._schedule_export() if args.engine in EXPORTS else None
        self.register_outputs({})

    def _job(
        self,
        purpose: str,
        arguments: list[str],
        files: Sequence[SecretFile],
        *,
        seconds: int,
        at_once: bool = False,
        after: pulumi.Resource | None = None,
    ) -> gcp.cloudrunv2.Job:
        args, name = self._args, f"{self._name}-{purpose}"
        account = self._account(purpose, f"authsvc {purpose}")
        rights = allow_reading(name, files, account, self)
        container = gcp.cloudrunv2.JobTemplateTemplateContainerArgs(
            name=purpose,
            image=args.image,
            args=arguments,
            envs=[
                gcp.cloudrunv2.JobTemplateTemplateContainerEnvArgs(name=variable, value=value)
                for variable, value in sorted(args.environment.items())
            ],
            volume_mounts=[
                gcp.cloudrunv2.JobTemplateTemplateContainerVolumeMountArgs(name=file.volume, mount_path=file.folder)
                for file in files
            ],
            # The least that the second generation has; it waits for the database.
            resources=gcp.cloudrunv2.JobTemplateTemplateContainerResourcesArgs(limits={"cpu": "1", "memory": "512Mi"}),
        )
        template = gcp.cloudrunv2.JobTemplateArgs(
            task_count=1,
            parallelism=1,
            template=gcp.cloudrunv2.JobTemplateTemplateArgs(
                service_account=account.email,
                execution_environment="EXECUTION_ENVIRONMENT_GEN2",
                timeout=f"{seconds}s",
                # A failure is told at once: the update stops there, and the next sweep is near.
                max_retries=0,
                containers=[container],
                volumes=[_volume(file) for file in files],
                vpc_access=gcp.cloudrunv2.JobTemplateTemplateVpcAccessArgs(
                    egress="PRIVATE_RANGES_ONLY",
                    network_interfaces=[
                        gcp.cloudrunv2.JobTemplateTemplateVpcAccessNetworkInterfaceArgs(
                            network=args.network_id, subnetwork=args.subnetwork_id
                        )
                    ],
                ),
            ),
        )
        return gcp.cloudrunv2.Job(
            name,
            name=name,
            location=args.region,
            run_execution_token=self._token(name, template) if at_once else None,
            template=template,
            deletion_protection=args.production,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[*rights, *([after] if after else [])]),
        )

    def _token(self, job: str, template: gcp.cloudrunv2.JobTemplateArgs) -> pulumi.Output[str]:
        last = last_run(job, self._args.project, self._args.region)
        return fingerprint(template).apply(lambda of_all: token(of_all, last))

    def _schedule_sweep(self) -> None:
        args = self._args
        account = self._account("sweeper", "Starts authsvc sweep")
        allowed = gcp.cloudrunv2.JobIamMember(
            f"{self._name}-sweeper",
            project=args.project,
            location=args.region,
            name=self.sweep.name,
            role="roles/run.invoker",
            member=account.member,
            opts=pulumi.ResourceOptions(parent=self),
        )
        uri = pulumi.Output.format(
            "https://run.googleapis.com/v2/projects/{0}/locations/{1}/jobs/{2}:run",
            args.project,
            args.region,
            self.sweep.name,
        )
        self._schedule("sweep", args.settings.sweep_schedule, uri, account, allowed)

    def _schedule_export(self) -> gcp.cloudscheduler.Job:
        args, export = self._args, EXPORTS[self._args.engine]
        account = self._account("exporter", "Exports the database")
        role = gcp.projects.IAMCustomRole(
            f"{self._name}-exporter",
            role_id="authsvcExporter",
            title="authsvc: export the database",
            description="Start an export of the database and follow it, and nothing else",
            permissions=[*export.permissions, "workflows.executions.create"],
            opts=pulumi.ResourceOptions(parent=self),
        )
        allowed = gcp.projects.IAMMember(
            f"{self._name}-exporter",
            project=args.project,
            role=role.name,
            member=account.member,
            opts=pulumi.ResourceOptions(parent=self),
        )
        source = pulumi.Output.all(args.database_instance, args.backup_bucket).apply(
            lambda both: export.program(Source(args.project, args.region, both[0]), bucket=both[1])
        )
        # The request itself would do, but for the name: nothing is written over a file that is there already, and a
        # schedule cannot say which day it is. Nor would it hear that the export failed.
        workflow = gcp.workflows.Workflow(
            f"{self._name}-export",
            name=f"{self._name}-export",
            region=args.region,
            description="Export the database into the backup bucket",
            service_account=account.email,
            source_contents=source,
            deletion_protection=args.production,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )
        uri = pulumi.Output.format("https://workflowexecutions.googleapis.com/v1/{0}/executions", workflow.id)
        return self._schedule("export", args.backup.schedule, uri, account, allowed)

    def _schedule(
        self,
        purpose: str,
        schedule: str,
        uri: pulumi.Input[str],
        account: gcp.serviceaccount.Account,
        allowed: pulumi.Resource,
    ) -> gcp.cloudscheduler.Job:
        return gcp.cloudscheduler.Job(
            f"{self._name}-{purpose}",
            name=f"{self._name}-{purpose}",
            region=self._args.region,
            schedule=schedule,
            time_zone="Etc/UTC",
            attempt_deadline=f"{ATTEMPT_SECONDS}s",
            retry_config=gcp.cloudscheduler.JobRetryConfigArgs(
                retry_count=3, min_backoff_duration="30s", max_backoff_duration="300s"
            ),
            http_target=gcp.cloudscheduler.JobHttpTargetArgs(
                http_method="POST",
                uri=uri,
                # An access token: the APIs of Google take no identity token.
                oauth_token=gcp.cloudscheduler.JobHttpTargetOauthTokenArgs(service_account_email=account.email),
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[allowed]),
        )

    def _account(self, purpose: str, display_name: str) -> gcp.serviceaccount.Account:
        return gcp.serviceaccount.Account(
            f"{self._name}-{purpose}",
            account_id=f"{self._name}-{purpose}",
            display_name=display_name,
            opts=pulumi.ResourceOptions(parent=self),
        )


def _volume(file: SecretFile) -> gcp.cloudrunv2.JobTemplateTemplateVolumeArgs:
    item = gcp.cloudrunv2.JobTemplateTemplateVolumeSecretItemArgs(path=file.name, version=file.version)
    return gcp.cloudrunv2.JobTemplateTemplateVolumeArgs(
        name=file.volume,
        secret=gcp.cloudrunv2.JobTemplateTemplateVolumeSecretArgs(
            secret=file.secret_id, default_mode=file.mode, items=[item]
        ),
    )
