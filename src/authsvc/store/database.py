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
from typing import TYPE_CHECKING, Any, cast

import aiosql
import aiosql.adapters.asyncpg
import asyncpg

from authsvc import config, resources
from authsvc.events import Event
from authsvc.store.leases import UNAVAILABLE, Lease, Leases, unavailable

if TYPE_CHECKING:
    from authsvc.store.leases import Connection

CLOSE_SECONDS = 1
Observer = Callable[[Event], None]


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

    _pool: asyncpg.Pool[asyncpg.Record]
    _leases: Leases

    def __init__(self, settings: config.Database, observers: Sequence[Observer] = ()) -> None:
        self._settings = settings
        self._observers = observers

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
        except UNAVAILABLE as error:
            unavailable(error)
        self._leases = Leases(
            self._pool,
            size=self._settings.pool_size,
            wait_seconds=self._settings.acquire_seconds,
            # Beyond the server's own limit of a statement: reached only when the server does not answer at all.
            hold_seconds=self._settings.statement_seconds + 1,
        )

    async def close(self) -> None:
        """Close every connection; those still held after some seconds are cut."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    def read(self) -> Lease:
        """Lend a connection for single statements, to `async with`.

        Raises:
            DatabaseUnavailable: no connection in time, or the database failed.
        """
        return Lease(self._leases)

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
