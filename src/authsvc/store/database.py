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
Observer = Callable[[Event], None]

# `TimeoutError` of an exhausted pool is an OSError.
_UNAVAILABLE = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.InternalClientError,
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

    async def open(self) -> None:
        """Make the pool. It connects on first use: a service may start before its database.

        Raises:
            ConfigError: the URL holds something that asyncpg cannot use.
        """
        statement_ms = str(round(self._settings.statement_seconds * 1000))
        try:
            self._pool = await asyncpg.create_pool(
                self._settings.url.reveal(),
                min_size=0,
                max_size=self._settings.pool_size,
                timeout=self._settings.acquire_seconds,
                # Beyond the server's own limit: reached only when the server does not answer at all.
                command_timeout=self._settings.statement_seconds + 1,
                reset=_reset,
                server_settings={
                    "application_name": "authsvc",
                    "timezone": "UTC",
                    "statement_timeout": statement_ms,
                    "lock_timeout": statement_ms,
                    "idle_in_transaction_session_timeout": "10000",
                },
            )
        except (ValueError, asyncpg.InterfaceError) as error:
            raise config.ConfigError([f"AUTHSVC_DATABASE_URL cannot be used ({type(error).__name__})."]) from None

    async def close(self) -> None:
        """Close every connection; those still held after 5 seconds are cut."""
        try:
            async with asyncio.timeout(5):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Connection]:
        """Lend a connection for single statements.

        Raises:
            DatabaseUnavailable: no connection in time, or the database failed.
        """
        try:
            async with self._pool.acquire(timeout=self._settings.acquire_seconds) as connection:
                yield connection
        except _UNAVAILABLE as error:
            raise await self._unavailable(error) from error

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction: commits on leaving, rolls back on an exception. Short, and never around a hash.

        Raises:
            DatabaseUnavailable: no connection in time, or the database failed; nothing was published.
        """
        try:
            async with (
                self._pool.acquire(timeout=self._settings.acquire_seconds) as connection,
                connection.transaction(),
            ):
                opened = Transaction(connection)
                yield opened
        except _UNAVAILABLE as error:
            raise await self._unavailable(error) from error
        for event in opened._recorded:  # noqa: SLF001 - the other half of this module
            self.publish(event)

    def publish(self, event: Event) -> None:
        """Tell the observers of an event that left no row."""
        for observe in self._observers:
            observe(event)

    def connections(self) -> tuple[int, int]:
        """Return how many connections are open, and how many of them are idle."""
        return self._pool.get_size(), self._pool.get_idle_size()

    async def _unavailable(self, error: BaseException) -> DatabaseUnavailable:
        # The type alone: the texts of asyncpg quote values and DSNs.
        structlog.get_logger().warning("database_unavailable", error=type(error).__name__)
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
            # A fail-over left these connections on a standby.
            await self._pool.expire_connections()
        return DatabaseUnavailable()


async def _reset(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Give a connection back as it was lent.

    asyncpg's default asks the server to reset the session, a round trip for every release. This service keeps no
    session state (no LISTEN, no advisory lock, no cursor, no SET), and a transaction ends with its `async with`.
    """
    if connection.is_in_transaction():
        await connection.execute("rollback")


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
