"""The database as the service sees it, and the way there."""

from infra.monitoring.dashboards.parts import Dashboard, Panel, Query, Row, figure, graph, states
from infra.monitoring.dashboards.promql import quantile, quotient, rate, series
from infra.monitoring.objectives import Objective

AGE = "authsvc_revocations_age_seconds"
SIZE = "authsvc_database_size_bytes"
CAPACITY = "authsvc_database_capacity_bytes"
STALE = "authsvc_revocations_stale_seconds"


def make(objectives: dict[str, Objective]) -> Dashboard:
    """Return the dashboard; the limit of the feed is that of its objective."""
    promised = objectives["feed_age"].what["seconds"]
    return Dashboard(
        "database-and-pool",
        "authsvc: database and pool",
        "Whether the database answers, who waits for a connection, what fails, and how much room is left.",
        (
            Row("Now", _now(promised)),
            Row("Answers and faults", _faults(promised)),
            Row("Pool", _pool()),
            Row("Revocation feed", _feed()),
            Row("Room, schema and backup", _keeping()),
        ),
    )


def _now(promised: float) -> list[Panel]:
    def total(metric: str) -> str:
        return f"sum({series(metric)})"

    in_use, size = total("authsvc_database_pool_in_use"), total("authsvc_database_pool_size")
    return [
        figure(
            "Database",
            "Whether every instance reaches it.",
            Query(f"min({series('authsvc_database_reachable')})"),
            unit="bool_yes_no",
            base="red",
            limits=[(1, "green")],
        ),
        figure(
            "Pool in use",
            "Share of the connections that are lent at this moment.",
            Query(f"{in_use} / {size}"),
            unit="percentunit",
            decimals=0,
            limits=[(0.7, "orange"), (0.9, "red")],
        ),
        figure(
            "Waiting",
            "Who waits for a connection at this moment.",
            Query(total("authsvc_database_pool_waiting")),
            unit="short",
            limits=[(1, "orange")],
        ),
        figure(
            "Feed",
            "How long ago the instance that heard last heard which sessions have ended.",
            Query(f"max({series(AGE)})"),
            unit="s",
            limits=[(promised, "orange")],
        ),
        figure("Data", "Size of the database.", Query(f"max({series(SIZE)})"), unit="bytes", base="blue"),
        figure(
            "Migration",
            "Number of the newest one that is applied.",
            Query(f"max({series('authsvc_migration_version')})"),
            unit="none",
            decimals=0,
            base="blue",
        ),
    ]


def _faults(promised: float) -> list[Panel]:
    return [
        states(
            "Reachable",
            "Whether the database answered each instance when it was last asked.",
            Query(series("authsvc_database_reachable"), "{{instance}}"),
            {"1": ("reachable", "green"), "0": ("unreachable", "red")},
        ),
        graph(
            "Faults",
            "Requests that the database failed, in five minutes and by why: each word has its sentence in the log, and"
            " in docs/operations.md.",
            Query(f"sum by (fault) (increase({series('authsvc_database_faults_total')}[5m]))", "{{fault}}"),
            unit="short",
            limits=[(10, "red")],
            stacked=True,
        ),
        graph(
            "Revocation feed",
            "How long ago each instance last heard which sessions have ended. The line is what is promised;"
            " beyond `stale`, AUTHSVC_REVOCATION_STALE_SECONDS, the database is asked about each access token.",
            Query(series(AGE), "{{instance}}"),
            Query(f"min({series(STALE)})", "stale"),
            unit="s",
            limits=[(promised, "orange")],
            bounds=["stale"],
            colours={"stale": "red"},
        ),
    ]


def _pool() -> list[Panel]:
    waits = "authsvc_database_pool_wait_seconds"
    return [
        graph(
            "Pool",
            "Connections of all chosen instances: lent, open, and how many there may be; and who waits for one.",
            *(
                Query(f"sum({series(f'authsvc_database_pool_{what}')})", name)
                for what, name in (
                    ("in_use", "lent"),
                    ("connections", "open"),
                    ("waiting", "waiting"),
                    ("size", "bound"),
                )
            ),
            unit="short",
            bounds=["bound"],
            colours={"lent": "blue", "open": "green", "waiting": "orange", "bound": "red"},
        ),
        graph(
            "Pool by instance",
            "Share that is lent, five minutes' mean. Above the line, and with somebody waiting, the pool is exhausted.",
            Query(
                f"avg_over_time({series('authsvc_database_pool_in_use')}[5m])\n"
                f"/ {series('authsvc_database_pool_size')}",
                "{{instance}}",
            ),
            unit="percentunit",
            most=1,
            limits=[(0.9, "red")],
        ),
        graph(
            "Wait for a connection",
            "Until one was lent, or refused: at most AUTHSVC_DATABASE_ACQUIRE_SECONDS.",
            *(Query(quantile(share, waits), f"{share * 100:g} %") for share in (0.5, 0.95, 0.99)),
            unit="s",
        ),
    ]


def _feed() -> list[Panel]:
    reads = "authsvc_revocation_reads_total"
    return [
        graph(
            "Reads of the feed",
            "By what became of them.",
            Query(rate(reads, by="outcome"), "{{outcome}}"),
            unit="ops",
            colours={"success": "green", "failure": "red"},
        ),
        graph(
            "Failed reads",
            "Share of the reads that failed, by instance.",
            Query(
                quotient(rate(reads, 'outcome="failure"', by="instance"), rate(reads, by="instance")), "{{instance}}"
            ),
            unit="percentunit",
            most=1,
        ),
        graph(
            "Sessions known as ended",
            "What each instance holds in memory: those whose access tokens could still be good.",
            Query(series("authsvc_revocations"), "{{instance}}"),
            unit="short",
        ),
    ]


def _keeping() -> list[Panel]:
    return [
        graph(
            "Size",
            "Of the database, and AUTHSVC_DATABASE_CAPACITY_BYTES, where it is given: 80 % is told of, at 95 %"
            " somebody is called.",
            Query(f"max({series(SIZE)})", "size"),
            Query(f"max({series(CAPACITY)})", "capacity"),
            unit="bytes",
            bounds=["capacity"],
            colours={"size": "blue", "capacity": "red"},
        ),
        graph(
            "Migrations",
            "The newest that is applied, and how many of the version that runs are not: then /readyz is 503.",
            Query(f"max({series('authsvc_migration_version')})", "newest"),
            Query(f"max({series('authsvc_migrations_pending')})", "pending"),
            unit="none",
            colours={"newest": "blue", "pending": "red"},
        ),
        graph(
            "Backup",
            "Age of the last good one. Empty as long as no backup has told of itself.",
            Query("time() - max(authsvc_backup_last_success_timestamp_seconds)", "age"),
            unit="s",
            limits=[(26 * 3600, "red")],
        ),
    ]
