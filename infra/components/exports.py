"""Programs for Google's Workflows: each exports the database to a new file, and fails if the export does."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infra.components import alloydb
from infra.components.database import DATABASE

SECONDS = 6 * 3600
"""For what follows an export to its end: an hour for each 100 GB or so."""
LOOK_SECONDS = 60
"""Between one look at an export and the next."""
_ALLOYDB = "https://alloydb.googleapis.com/v1"


@dataclass(frozen=True)
class Source:
    """What is exported."""

    project: str
    region: str
    name: str
    """Of the instance of Cloud SQL, or of the cluster of AlloyDB."""


@dataclass(frozen=True)
class Export:
    """How a product is exported."""

    permissions: tuple[str, ...]
    """Of a role of its own: the least of Google's that may export may also see every user and every backup."""
    program: Callable[..., str]
    """Takes a Source, and `bucket` without `gs://`."""


def of_cloud_sql(source: Source, *, bucket: str) -> str:
    """Return the program for an instance of Cloud SQL."""
    export = {
        "call": "googleapis.sqladmin.v1.instances.export",
        "args": {
            "project": source.project,
            "instance": source.name,
            "body": {
                "exportContext": {
                    "fileType": "SQL",
                    "uri": _uri(bucket),
                    "databases": [DATABASE],
                    # On a machine of its own, which costs little and takes nothing from logins.
                    "offload": True,
                }
            },
            "connector_params": {"timeout": SECONDS},
        },
    }
    return _program([{"export": export}])


def of_alloydb(source: Source, *, bucket: str) -> str:
    """Return the program for a cluster of AlloyDB: Workflows has no connector to it, so it follows the export itself.

    https://docs.cloud.google.com/alloydb/docs/reference/rest/v1/projects.locations.clusters/export
    """
    cluster = f"projects/{source.project}/locations/{source.region}/clusters/{source.name}"
    signed = {"auth": {"type": "OAuth2"}}
    body = {
        "database": alloydb.DATABASE,
        "gcsDestination": {"uri": _uri(bucket)},
        # All of the database, and none of its options.
        "sqlExportOptions": {},
    }
    look = {
        "call": "http.get",
        "args": {"url": f'${{"{_ALLOYDB}/" + export.body.name}}', **signed},
        "result": "operation",
    }
    outcome = [
        {"condition": '${"error" in operation.body}', "next": "failed"},
        {"condition": '${default(map.get(operation.body, "done"), false)}', "return": "${operation.body}"},
        {"condition": f"${{sys.now() - begun > {SECONDS}}}", "next": "late"},
    ]
    return _program(
        [
            {"begin": {"assign": [{"begun": "${sys.now()}"}]}},
            {
                "export": {
                    "call": "http.post",
                    "args": {"url": f"{_ALLOYDB}/{cluster}:export", **signed, "body": body},
                    "result": "started",
                }
            },
            {"look": {"try": look, "retry": "${http.default_retry}"}},
            {"judge": {"switch": outcome}},
            {"wait": {"call": "sys.sleep", "args": {"seconds": LOOK_SECONDS}, "next": "look"}},
            {"failed": {"raise": "${operation.body.error}"}},
            {"late": {"raise": f"The export has not ended after {SECONDS} seconds."}},
        ]
    )


def _uri(bucket: str) -> str:
    """Return an expression: another name each second, which ends so that the file is compressed."""
    now = 'text.replace_all(text.substring(time.format(sys.now()), 0, 19), ":", "")'
    return f'${{"gs://{bucket}/authsvc-" + {now} + ".sql.gz"}}'


def _program(steps: list[dict[str, Any]]) -> str:
    return json.dumps({"main": {"steps": steps}}, indent=2)


EXPORTS = {
    # Of each the second permission is to see what became of it.
    "cloud-sql": Export(("cloudsql.instances.export", "cloudsql.instances.get"), of_cloud_sql),
    "alloydb": Export(("alloydb.clusters.export", "alloydb.operations.get", "alloydb.clusters.get"), of_alloydb),
}
"""By database.engine; what is not here is exported by nobody here."""
