"""The pool, and the two ways to use it: `read()` and `transaction()`.

What is recorded in a transaction is published after it commits, never on rollback. Whatever the database or the way
to it does wrong becomes one refusal, `DatabaseUnavailable`; constraint violations pass through to the store module
that knows the constraint's name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import aiosql
import aiosql.adapters.asyncpg
import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from authsvc import config, resources
from authsvc.events import Event
from authsvc.refusals import DatabaseUnavailable

if TYPE_CHECKING:
    Connection: TypeAlias = PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
CLOSE_SECONDS = 5
Observer = Callable[[Event], None]

_UNAVAILABLE = (
    OSError,  # no way there; the `TimeoutError` of an exhausted pool is one too
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.InvalidTransactionStateError,  # read-only after a fail-over; a time limit of transactions
    asyncpg.TransactionRollbackError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # a lock not had in time; a database closed to connections
    asyncpg.InvalidCachedStatementError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    # Not yet migrated, or not for this role: on the schema of this version every statement is tested to be right.
    asyncpg.SyntaxOrAccessError,
    asyncpg.PostgresSystemError,
    asyncpg.InternalServerError,
)


@dataclass(frozen=True)
class Transaction:
    """An open transaction: a connection, and what will have happened once it commits."""

    connection: Connection
    _recorded: list[Event] = field(default_factory=list)

    def record(self, event: Event) -> None:
        """Tell the observers of `event` after the commit."""
        self._recorded.append(event)


class Database:
    """A pool of connections to PostgreSQL, between `open` and `close`."""

    _pool: Pool

    def __init__(self, settings: config.Database, observers: Sequence[Observer] = ()) -> None:
        self._settings = settings
        self._observers = observers
        self._slots = asyncio.Semaphore(settings.pool_size)

    async def open(self) -> None:
        """Make the pool. A service may start before its database: it connects again at each use.

        Raises:
            ConfigError: the URL holds something that asyncpg cannot use.
        """
        statement_ms = str(round(self._settings.statement_seconds * 1000))
        self._pool = await asyncpg.create_pool(
            self._settings.url.reveal(),
            min_size=0,
            max_size=self._settings.pool_size,
            timeout=self._settings.acquire_seconds,
            # Beyond the server's own limit: reached only when the server does not answer at all.
            command_timeout=self._settings.statement_seconds + 1,
            reset=_keep_session,
            server_settings={
                "application_name": "authsvc",
                "timezone": "UTC",
                "statement_timeout": statement_ms,
                "lock_timeout": statement_ms,
                "idle_in_transaction_session_timeout": "10000",
            },
        )
        # asyncpg reads the URL when it first connects, not before.
        try:
            async with self._pool.acquire(timeout=self._settings.acquire_seconds):
                pass
        except asyncpg.ClientConfigurationError as error:
            raise config.ConfigError([f"AUTHSVC_DATABASE_URL cannot be used ({type(error).__name__})."]) from None
        except _UNAVAILABLE as error:
            _unavailable(error)

    async def close(self) -> None:
        """Close every connection; those still held after some seconds are cut."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    def read(self) -> _Lease:
        """Lend a connection for single statements, to `async with`.

        Raises:
            DatabaseUnavailable: no connection in time, or the database failed.
        """
        return _Lease(self._pool, self._slots, self._settings.acquire_seconds)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction: commits on leaving, rolls back on an exception. Short, and never around a hash.

        Raises:
            DatabaseUnavailable: no connection in time, or the database failed; nothing was published.
        """
        async with self.read() as connection, connection.transaction():
            opened = Transaction(connection)
            yield opened
        for event in opened._recorded:  # noqa: SLF001 - the other half of this module
            self.publish(event)

    def publish(self, event: Event) -> None:
        """Tell the observers of an event that left no row."""
        for observe in self._observers:
            observe(event)

    def connections(self) -> tuple[int, int]:
        """Return how many connections are open, and how many of them are idle."""
        return self._pool.get_size(), self._pool.get_idle_size()


class _Lease:
    """Lends one connection; who asks first gets it first.

    The pool's own queue lets a newcomer overtake who waits, so that under load some waited until their time was up
    while others were served at once (seen: p50 7 ms, p90 490 ms, and 503s). asyncio's semaphore is fair. A class, since
    this stands around every statement, and two generators in its place cost a tenth of a whole request.
    """

    __slots__ = ("_acquire_seconds", "_connection", "_pool", "_slots")

    def __init__(self, pool: Pool, slots: asyncio.Semaphore, acquire_seconds: float) -> None:
        self._pool = pool
        self._slots = slots
        self._acquire_seconds = acquire_seconds

    async def __aenter__(self) -> Connection:
        try:
            if self._slots.locked():
                async with asyncio.timeout(self._acquire_seconds):
                    await self._slots.acquire()
            else:
                await self._slots.acquire()
        except TimeoutError as error:
            raise _unavailable(error) from error
        try:
            self._connection: Connection = await self._pool.acquire()
        except BaseException as error:
            self._slots.release()
            if isinstance(error, _UNAVAILABLE):
                raise _unavailable(error) from error
            raise
        return self._connection

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                # A fail-over left the connections on a standby.
                await self._pool.expire_connections()
            await self._pool.release(self._connection, timeout=self._acquire_seconds)
        except _UNAVAILABLE as failed:
            # The pool has closed the connection. What was done on it stands, committed or not.
            _unavailable(failed)
        finally:
            self._slots.release()
        if isinstance(error, _UNAVAILABLE):
            raise _unavailable(error) from error


def _unavailable(error: BaseException) -> DatabaseUnavailable:
    # The type alone: the texts of asyncpg quote values and DSNs.
    structlog.get_logger().warning("database_unavailable", error=type(error).__name__)
    return DatabaseUnavailable()


async def _keep_session(_connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Ask nothing of the server when a connection is given back; asyncpg has rolled back what was left open.

    Its default resets the session, a round trip for every release. This service keeps no session state (no LISTEN, no
    advisory lock, no cursor, no SET).
    """


@dataclass(frozen=True)
class Query:
    """One named statement of a file in sql/, with the order of its parameters."""

    name: str
    sql: str
    parameters: tuple[str, ...]

    async def row(self, connection: Connection, **arguments: object) -> asyncpg.Record | None:
        """Return its first row, or None."""
        return await connection.fetchrow(self.sql, *self._ordered(arguments))

    async def rows(self, connection: Connection, **arguments: object) -> list[asyncpg.Record]:
        """Return its rows."""
        return await connection.fetch(self.sql, *self._ordered(arguments))

    def _ordered(self, arguments: dict[str, object]) -> list[object]:
        return [arguments[name] for name in self.parameters]


@cache
def queries(name: str) -> dict[str, Query]:
    """Return the statements of `sql/<name>.sql` by their names.

    aiosql only parses here: its own asyncpg calls look through `dir()` of the connection for each statement. The file
    is loaded alone, since of two same names in a folder aiosql silently keeps the last.
    """
    adapter = cast("Any", aiosql.adapters.asyncpg.AsyncPGAdapter)()
    loaded: Any = aiosql.from_path(resources.folder("sql") / f"{name}.sql", lambda: adapter)
    return {
        each: Query(each, getattr(loaded, each).sql, tuple(adapter.var_sorted[each]))
        for each in loaded.available_queries
        if not each.endswith("_cursor")
    }
