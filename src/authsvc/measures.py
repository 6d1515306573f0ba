"""What is measured, in one list: each reads a figure that somebody keeps anyway. docs/metrics.md explains them."""

import platform
import time
from collections.abc import Sequence
from importlib.metadata import version

from authsvc import logs, runtime
from authsvc.flows.database_watch import DatabaseWatch
from authsvc.metrics import Metrics
from authsvc.passwords import Passwords
from authsvc.revocations import Revocations
from authsvc.runtime import Runtime
from authsvc.signing import AccessTokenReader
from authsvc.store.database import Database


def measure_passwords(metrics: Metrics, passwords: Passwords) -> None:
    """Measure the queue before the hashes, and them."""
    figures = passwords.figures
    metrics.gauge(
        "authsvc_password_hashes_waiting", "Password hashes that wait for a thread.", lambda: passwords.waiting
    )
    metrics.gauge("authsvc_password_hashes_running", "Password hashes that run.", lambda: passwords.running)
    metrics.gauge("authsvc_password_hash_threads", "Password hashes that can run at once.", lambda: passwords.threads)
    metrics.histogram(
        "authsvc_password_hash_wait_seconds", "Time of a password hash in the queue, until it began.", figures.waits
    )
    metrics.histogram(
        "authsvc_password_hash_duration_seconds",
        "Time of one password hash in its thread, without the queue.",
        figures.durations,
    )
    metrics.counters(
        "authsvc_password_hashes_shed_total", "Password hashes that were not begun.", "reason", lambda: figures.shed
    )


def measure_tokens(metrics: Metrics, reader: AccessTokenReader, revocations: Revocations) -> None:
    """Measure the cache of verified access tokens, and what is known of ended sessions."""
    name = "authsvc_access_token_cache"
    metrics.counters(f"{name}_lookups_total", "Access tokens looked up in the cache.", "outcome", reader.lookups)
    metrics.gauge(f"{name}_bytes", "Memory that the cache takes.", reader.remembered_bytes)
    metrics.gauge("authsvc_revocations", "Ended sessions known to this instance.", lambda: len(revocations))
    help_ = "Time since the database last said which sessions ended."
    metrics.gauge("authsvc_revocations_age_seconds", help_, revocations.age)
    help_ = "Age beyond which the database decides about each access token."
    metrics.gauge("authsvc_revocations_stale_seconds", help_, lambda: revocations.stale_seconds)
    help_ = "Looks at which sessions ended."
    metrics.counters("authsvc_revocation_reads_total", help_, "outcome", revocations.reads)
    help_ = "Whether the last look of the feed of ended sessions reached the database: 1 or 0."
    metrics.gauge("authsvc_database_reachable", help_, lambda: revocations.answered)


def measure_database(
    metrics: Metrics, pool: Database, all_pools: Sequence[Database], watch: DatabaseWatch, capacity_bytes: int
) -> None:
    """Measure the pool, its faults, and what is known of the database itself."""
    name = "authsvc_database_pool"
    metrics.gauge(f"{name}_size", "Connections that the pool may have.", lambda: pool.size)
    metrics.gauge(f"{name}_connections", "Connections that are open.", lambda: pool.connections)
    metrics.gauge(f"{name}_in_use", "Connections that are lent.", lambda: pool.in_use)
    metrics.gauge(f"{name}_waiting", "Who waits for a connection.", lambda: pool.waiting)
    metrics.histogram(f"{name}_wait_seconds", "Time until a connection was lent, or refused.", pool.figures.waits)
    metrics.counters(
        "authsvc_database_faults_total",
        "What the database, or the way to it, did wrong.",
        "fault",
        lambda: {word: sum(each.figures.faults[word] for each in all_pools) for word in pool.figures.faults},
    )
    metrics.gauge("authsvc_database_size_bytes", "Size of the database, asked once a minute.", lambda: watch.size)
    metrics.gauge(
        "authsvc_database_capacity_bytes",
        "Room that the database has, as AUTHSVC_DATABASE_CAPACITY_BYTES says; 0: nobody says.",
        lambda: capacity_bytes,
    )
    metrics.gauge("authsvc_migration_version", "Number of the newest migration applied.", lambda: watch.version)
    metrics.gauge("authsvc_migrations_pending", "Migrations of this version not applied.", lambda: watch.pending)


def measure_process(metrics: Metrics, watched: Runtime) -> None:
    """Measure the process, its interpreter and its event loop."""
    metrics.histogram("authsvc_event_loop_lag_seconds", "How late a timer of the event loop was.", watched.lag)
    metrics.counter(
        "authsvc_log_lines_lost_total",
        "Log lines that nobody took in time, or that could not be written.",
        logs.lines_lost,
    )
    build = {"version": version("authsvc"), "python": platform.python_version()}
    metrics.info("authsvc_build_info", "The version that runs, and the Python that runs it.", build)
    metrics.gauge("process_start_time_seconds", "Start of the process since the epoch.", lambda: runtime.STARTED_AT)
    metrics.counter("process_cpu_seconds_total", "CPU time of the process.", time.process_time)
    metrics.gauge("process_resident_memory_bytes", "Resident memory.", runtime.resident_memory)
    metrics.gauge("process_open_fds", "Open file descriptors.", runtime.open_files)
    metrics.gauge("process_max_fds", "Most file descriptors.", runtime.most_files)
    metrics.counters("python_gc_collections_total", "Runs of the garbage collector.", "generation", runtime.collections)
    metrics.counters("python_gc_objects_collected_total", "Objects that it collected.", "generation", runtime.collected)
    metrics.histogram("python_gc_pause_seconds", "Time that one of its runs took.", watched.pauses)
