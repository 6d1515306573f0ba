"""The pool, and the two ways to use it: `read()` and `transaction()`.

What is recorded in a transaction is published after it commits, never on rollback; where the answer to COMMIT is lost,
its outcome is looked up. Whatever the database or the way to it does wrong becomes one refusal, `DatabaseUnavailable`
(faults.py tells which); constraint violations pass through to the store module that knows the constraint's name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from authsvc import config
from authsvc.clock import Clock, SystemClock
from authsvc.events import Event, Origin
from authsvc.refusals import DatabaseUnavailable
from authsvc.store import journal
from authsvc.store.faults import UNAVAILABLE, unavailable
from authsvc.store.hosts import Hosts
from authsvc.store.leases import Lease, LeaseFigures, Leases
from authsvc.store.queries import name_of

if TYPE_CHECKING:
    from authsvc.store.journal import Receipt
    from authsvc.store.leases import Connection

CLOSE_SECONDS = 1
LOOK_UP_SECONDS = 0.2
"""Between two looks at what became of a transaction."""
Observer = Callable[[Event], None]
Trace = Callable[[str, float, BaseException | None], None]


@dataclass(frozen=True)
class Transaction:
    """An open transaction: a connection, and what will have happened once it commits."""

    connection: Connection
    _recorded: list[Event]

    def record(self, event: Event) -> None:
        """Write `event` into the journal with this transaction, and tell the observers after the commit."""
        self._recorded.append(event)


class Database:
    """A pool of connections to PostgreSQL, between `open` and `close`."""

    _pool: asyncpg.Pool[asyncpg.Record]
    _leases: Leases

    def __init__(
        self,
        settings: config.Database,
        observers: Sequence[Observer] = (),
        clock: Clock | None = None,
        trace: Trace | None = None,
    ) -> None:
        """`observers` hear of events; `trace` of each statement its name, how many seconds it took, and its error."""
        self._settings = settings
        self._observers = observers
        self._clock = clock or SystemClock()
        self.figures = LeaseFigures()
        self._trace = trace

    async def open(self) -> None:
        """Make the pool. A service may start before its database: it connects again at each use.

        Raises:
            ConfigError: the URL holds something that asyncpg cannot use.
        """
        hosts = Hosts(self._settings.url.reveal())
        self._pool = await asyncpg.create_pool(
            self._settings.url.reveal(),
            connect=hosts.connect if hosts.several else None,
            min_size=0,
            max_size=self._settings.pool_size,
            timeout=self._settings.acquire_seconds,
            reset=_keep_session,
            init=None if self._trace is None else partial(_tell, self._trace),
            **_session(self._settings),
        )
        # asyncpg reads the URL when it first connects, not before.
        try:
            async with self._pool.acquire(timeout=self._settings.acquire_seconds):
                pass
        except asyncpg.ClientConfigurationError as error:
            raise config.ConfigError([f"AUTHSVC_DATABASE_URL cannot be used ({type(error).__name__})."]) from None
        except UNAVAILABLE as error:
            unavailable(error, self.figures.faults)
        self._leases = Leases(
            self._pool,
            size=self._settings.pool_size,
            wait_seconds=self._settings.acquire_seconds,
            # Beyond the server's own limit of a statement: reached only when the server does not answer at all.
            hold_seconds=self._settings.statement_seconds + 1,
            figures=self.figures,
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

        All of it has the time of one statement and a second more: beyond that its connection is cut, which rolls back.

        What is recorded in it is journaled as coming from `origin`.

        Raises:
            DatabaseUnavailable: no connection in time, or the database failed; nothing was published. Where it failed
                at COMMIT, and the outcome is not to be learnt within the time to acquire a connection, it may still
                have committed.
        """
        recorded: list[Event] = []
        receipt = None
        try:
            # The locks are taken in an order that suits this level, whatever the server's default is.
            async with self.read() as connection, connection.transaction(isolation="read_committed"):
                opened = Transaction(connection, recorded)
                yield opened
                if recorded:
                    receipt = await journal.append(connection, recorded, origin=origin, now=self._clock.now())
        except DatabaseUnavailable:
            # With a receipt only COMMIT was left to do: perhaps it was done, and its answer lost.
            if receipt is None or not await self._has_committed(receipt):
                raise
        for event in recorded:
            self.publish(event)

    async def _has_committed(self, receipt: Receipt) -> bool:
        """Look up whether a transaction committed; False where it did not, or where nobody says so in time."""
        loop, outcome = asyncio.get_running_loop(), None
        deadline = loop.time() + self._settings.acquire_seconds
        while True:
            with suppress(DatabaseUnavailable):
                async with self.read() as connection:
                    outcome = await journal.outcome(connection, receipt)
            if outcome is not None or loop.time() >= deadline:
                break
            await asyncio.sleep(LOOK_UP_SECONDS)
        word = {True: "committed", False: "rolled_back", None: "unknown"}[outcome]
        structlog.get_logger().warning("commit_looked_up", outcome=word)
        return outcome is True

    def publish(self, event: Event) -> None:
        """Tell the observers of an event that left no row."""
        for observe in self._observers:
            observe(event)

    @property
    def size(self) -> int:
        """How many connections there may be."""
        return self._settings.pool_size

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return self._pool.get_size()

    @property
    def in_use(self) -> int:
        """How many connections are lent."""
        return self._leases.in_use

    @property
    def waiting(self) -> int:
        """How many wait for a connection."""
        return self._leases.waiting


async def _tell(trace: Trace, connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Tell `trace` of each statement, in the context of who sent it: asyncpg calls a logger by the loop."""
    connection.add_query_logger(lambda said: trace(name_of(said.query), said.elapsed, said.exception))


async def _keep_session(_connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Ask nothing of the server when a connection is given back; asyncpg has rolled back what was left open.

    Its default resets the session, a round trip for every release. This service keeps no session state (no LISTEN, no
    advisory lock, no cursor, no SET).
    """


def _session(settings: config.Database) -> dict[str, Any]:
    """Return how a session is opened, for asyncpg."""
    basics = {"application_name": "authsvc", "timezone": "UTC"}
    if settings.pooler == "transaction":
        # The next statement may meet another server session: nothing is prepared, and nothing set that PgBouncer does
        # not carry along by itself.
        return {"statement_cache_size": 0, "server_settings": basics}
    return {"server_settings": {**basics, **limits(settings), "default_transaction_isolation": "read committed"}}


def limits(settings: config.Database) -> dict[str, str]:
    """Return what the server itself ends, in its own terms and in milliseconds: of a session, or of a role."""
    return {
        "statement_timeout": str(round(settings.statement_seconds * 1000)),
        # The shorter one is told: that it was a lock.
        "lock_timeout": str(round(settings.statement_seconds * 800)),
        "idle_in_transaction_session_timeout": "10000",
    }
