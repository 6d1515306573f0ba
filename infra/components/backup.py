"""Backup: the bucket that exports of the database go to, out of reach of whoever can delete the database."""

from dataclasses import dataclass

import pulumi
import pulumi_gcp as gcp

from infra import settings

DAY_SECONDS = 24 * 3600
# The least that Cloud Storage keeps what was deleted.
SOFT_DELETE_SECONDS = 7 * DAY_SECONDS


@dataclass(frozen=True)
class BackupArgs:
    """What the bucket is made of."""

    settings: settings.Backup
    region: str
    """Of the service; the bucket is there unless `settings` names another, as production must."""
    production: bool
    writer: pulumi.Input[str] | None
    """E-mail address of the database's service account, which adds exports and reads none.
    None: an external database is copied by whoever runs it."""


class Backup(pulumi.ComponentResource):
    """A bucket in which nobody can change or delete an export before its time.

    Attributes:
        bucket_name: without `gs://`.
    """

    def __init__(self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("authsvc:components:Backup", name, None, opts)
        chosen = args.settings
        bucket = gcp.storage.Bucket(
            # No physical name: those of buckets are taken all over the world, and Pulumi adds what makes it unique.
            name,
            location=(chosen.region or args.region).upper(),
            # An export is read when everything else has failed, and then at once: of the cheap classes the one that is
            # little to read, and charges a month at least.
            storage_class="NEARLINE",
            uniform_bucket_level_access=True,
            public_access_prevention="enforced",
            # No versions beside: Cloud Storage refuses them where there is a retention policy, under which nothing is
            # replaced, https://cloud.google.com/storage/docs/object-versioning#considerations.
            retention_policy=gcp.storage.BucketRetentionPolicyArgs(
                retention_period=str(chosen.retention_days * DAY_SECONDS), is_locked=chosen.lock_retention
            ),
            soft_delete_policy=gcp.storage.BucketSoftDeletePolicyArgs(retention_duration_seconds=SOFT_DELETE_SECONDS),
            # Personal data is not kept for longer than it is needed: an export goes when it may.
            lifecycle_rules=[
                gcp.storage.BucketLifecycleRuleArgs(
                    action=gcp.storage.BucketLifecycleRuleActionArgs(type="Delete"),
                    condition=gcp.storage.BucketLifecycleRuleConditionArgs(age=chosen.retention_days),
                )
            ],
            encryption=self._encryption(name, chosen.kms_key) if chosen.kms_key else None,
            # Exports are not thrown away with the stack that made them, but those of a trial.
            force_destroy=not args.production,
            opts=pulumi.ResourceOptions(parent=self, protect=args.production),
        )
        self.bucket_name: pulumi.Output[str] = bucket.name
        if args.writer is not None:
            gcp.storage.BucketIAMMember(
                f"{name}-writer",
                bucket=bucket.name,
                role="roles/storage.objectCreator",
                member=pulumi.Output.concat("serviceAccount:", args.writer),
                opts=pulumi.ResourceOptions(parent=self),
            )
        self.register_outputs({"bucket_name": self.bucket_name})

    def _encryption(self, name: str, key: str) -> gcp.storage.BucketEncryptionArgs:
        """Let Cloud Storage use the key, without which it makes no bucket with it; return that it does."""
        inside = pulumi.InvokeOutputOptions(parent=self)
        granted = gcp.kms.CryptoKeyIAMMember(
            f"{name}-key",
            crypto_key_id=key,
            role="roles/cloudkms.cryptoKeyEncrypterDecrypter",
            member=gcp.storage.get_project_service_account_output(opts=inside).member,
            opts=pulumi.ResourceOptions(parent=self),
        )
        # Of the grant, so that the bucket is not there before it.
        return gcp.storage.BucketEncryptionArgs(default_kms_key_name=granted.crypto_key_id)
