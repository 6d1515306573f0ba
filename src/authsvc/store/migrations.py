"""The schema: applying migrations/, and telling whether the database has them all.

Runs as a command of its own (`authsvc migrate`), never when the service starts. It is synchronous: yoyo is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import psycopg
import yoyo

from authsvc import resources
from authsvc.config import DatabaseUrl
from authsvc.store.queries import queries
from authsvc.store.service_roles import ServiceRole

if TYPE_CHECKING:
    from authsvc.store.leases import Connection

_QUERIES = queries("schema")
_ADVISORY_LOCK = 0x6175746873766300  # "authsvc" in ASCII


class MigrationError(Exception):
    """The migrations could not be applied; the message is one sentence without values from the database."""


async def applied(connection: Connection) -> set[str]:
    """Return the ids of the migrations that this database has."""
    try:
        rows = await _QUERIES["applied_migrations"].rows(connection)
    except asyncpg.UndefinedTableError:  # nothing was ever applied
        rows = []
    return {row["migration_id"] for row in rows}


async def pending(connection: Connection, wanted: Sequence[str]) -> list[str]:
    """Return those of the `wanted` migrations that this database lacks, in order."""
    known = await applied(connection)
    return [each for each in wanted if each not in known]


async def size(connection: Connection) -> int:
    """Return the bytes that this database takes on the server's disk."""
    row = await _QUERIES["database_size"].row(connection)
    assert row is not None  # noqa: S101 - a select without a table
    return int(row["bytes"])


def shipped() -> list[str]:
    """Return the ids of the migrations that this version brings, in order."""
    names = sorted(path.name.removesuffix(".sql") for path in resources.folder("migrations").glob("*.sql"))
    return [name for name in names if not name.endswith(".rollback")]


def number(migration: str) -> int:
    """Return the number that the id of a migration begins with; 0 where it begins with none: it is not of ours."""
    start = migration.partition(".")[0]
    return int(start) if start.isdecimal() else 0


def apply(url: DatabaseUrl, service_role: ServiceRole | None = None) -> list[str]:
    """Apply what is pending, then let `service_role` do what it needs; return the ids applied. Several take turns.

    Raises:
        MigrationError: the database cannot be reached, or refused a statement.
        ServiceRoleError: all is applied, and the role cannot be what it should.
    """
    with _exclusive(url) as (backend, connection):
        todo = backend.to_apply(_read())
        with backend.lock():
            backend.apply_migrations(todo)
        if service_role:
            service_role.grant(connection)
        return [migration.id for migration in todo]


def roll_back(url: DatabaseUrl) -> list[str]:
    """Undo every applied migration, newest first; return their ids. All data is lost.

    Raises:
        MigrationError: the database cannot be reached, or refused a statement.
    """
    with _exclusive(url) as (backend, _):
        todo = backend.to_rollback(_read())
        with backend.lock():
            backend.rollback_migrations(todo)
        return [migration.id for migration in todo]


def _read() -> Any:  # noqa: ANN401 - yoyo has no types
    return yoyo.read_migrations(str(resources.folder("migrations")))


@contextmanager
def _exclusive(url: DatabaseUrl) -> Iterator[tuple[Any, psycopg.Connection]]:
    """Hold PostgreSQL's advisory lock while migrating, on the connection that is given out beside yoyo's.

    yoyo's own lock is a row, which a killed process leaves behind for ever; whoever holds the advisory lock, which
    ends with its connection, may break it.
    """
    text = url.reveal()
    try:
        with psycopg.connect(text, autocommit=True, connect_timeout=10) as connection:
            # PgBouncer and its like give the client an id of their own.
            if connection.execute("select pg_backend_pid()").fetchone() != (connection.info.backend_pid,):
                raise MigrationError(
                    "A pooler answers, and the lock of a migration needs a session of its own: for `authsvc migrate`"
                    " set AUTHSVC_DATABASE_URL to the server itself."
                )
            connection.execute("select pg_advisory_lock(%s)", [_ADVISORY_LOCK])
            # Asked before: yoyo hides the refusal, and fails later on the table that it could not make.
            allowed = connection.execute("select has_schema_privilege(current_schema(), 'create')").fetchone()
            if allowed != (True,):
                raise MigrationError("This role may not create tables: migrate as the owner of the database.")
            backend: Any = yoyo.get_backend("postgresql+psycopg:" + text.partition(":")[2])
            try:
                backend.break_lock()
                yield backend, connection
            finally:
                backend.connection.close()
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise MigrationError(f"The database at {url} cannot be reached ({type(error).__name__}).") from error
        raise MigrationError(
            f"The database refused a migration ({type(error).__name__}, SQLSTATE {error.sqlstate})."
        ) from error
