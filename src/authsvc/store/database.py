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
from typing import TYPE_CHECKING

import asyncpg

from authsvc import config
from authsvc.clock import Clock, SystemClock
from authsvc.events import Event, Origin
from authsvc.store import journal
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
        """Write `event` into the journal with this transaction, and tell the observers after the commit."""
        self._recorded.append(event)


class Database:
    """A pool of connections to PostgreSQL, between `open` and `close`."""

    _pool: asyncpg.Pool[asyncpg.Record]
    _leases: Leases

    def __init__(
        self, settings: config.Database, observers: Sequence[Observer] = (), clock: Clock | None = None
    ) -> None:
        self._settings = settings
        self._observers = observers
        self._clock = clock or SystemClock()

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
    async def transaction(self, origin: Origin) -> AsyncIterator[Transaction]:
        """Open a transaction: commits on leaving, rolls back on an exception. Short, and never around a hash.

        What is recorded in it is journaled as coming from `origin`.

        Raises:
            DatabaseUnavailable: no connection in time, or the database failed; nothing was published.
        """
        async with self.read() as connection, connection.transaction():
            opened = Transaction(connection)
            yield opened
            recorded = opened._recorded  # noqa: SLF001 - the other half of this module
            if recorded:
                await journal.append(connection, recorded, origin=origin, now=self._clock.now())
        for event in recorded:
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
