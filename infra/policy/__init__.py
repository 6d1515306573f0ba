"""What must never be deployed, as code: `pulumi up --policy-pack infra/policy`."""
