"""Two stacks to watch: one with everything, and one that scales to zero; and what is recorded in the first."""

from typing import Any

import promql_parser

from infra.monitoring.cloud.expressions import rule_files
from infra.monitoring.rules import each_rule
from infra.settings import Settings
from tests.infra.cloud.cloud import CERTIFICATE

PROD: dict[str, Any] = {
    "gcp:project": "my-company-auth",
    "gcp:region": "europe-west1",
    "authsvc:domain": "auth.example.com",
    "authsvc:service": {"minInstances": 2, "maxInstances": 7},
    "authsvc:database": {
        "highlyAvailable": True,
        "pitrDays": 7,
        "backups": 14,
        "maxConnections": 250,
        "diskLimitGb": 40,
        "replicaRegion": "europe-west4",
    },
    "authsvc:edge": {"enabled": True},
    "authsvc:backup": {"region": "europe-west4"},
    "authsvc:monitoring": {"emails": ["team@example.com"], "pagerEmails": ["pager@example.com"], "objectives": True},
}
EXTERNAL: dict[str, Any] = {
    "engine": "external",
    "urlSecret": "database-url",
    "ownerUrlSecret": "owner-url",
    "caCertificate": CERTIFICATE,
}
"""The section of a database that somebody else runs."""
# The stack's own values stand where the file has samples.
RECORDS = {rule["record"]: rule["expr"] for rule in each_rule(rule_files().values()) if "record" in rule} | {
    "authsvc_stack:instances:max": "vector(7)",
    "authsvc_stack:database_connections:max": "vector(250)",
    "authsvc_stack:database_disk_bytes:max": "vector(40000000000)",
}
EXTERNAL = {
    "engine": "external",
    "urlSecret": "database-url",
    "ownerUrlSecret": "owner-url",
    "caCertificate": CERTIFICATE,
}
"""A database that somebody else runs."""
DEV: dict[str, Any] = {"gcp:project": "my-company-dev", "gcp:region": "europe-west1", "authsvc:production": False}


def prod(**changed: Any) -> Settings:
    """Return the stack with everything; `changed` are sections, such as `monitoring={"emails": […]}`."""
    return Settings.read("prod", PROD | {f"authsvc:{name}": value for name, value in changed.items()})


def dev() -> Settings:
    """Return the stack that scales to zero."""
    return Settings.read("dev", DEV)


def substituted(expression: str) -> str:
    """Return an expression with the tree of each recording rule where its name stood, as the parser writes it."""

    def put(node: promql_parser.Expr) -> promql_parser.Expr | None:
        if isinstance(node, promql_parser.VectorSelector) and node.name in RECORDS:
            return promql_parser.parse(f"({substituted(RECORDS[node.name])})")
        return None

    return str(promql_parser.transform(promql_parser.parse(expression), post_visit=put))
