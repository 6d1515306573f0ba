"""Lending the pool's connections: who asks first gets first, and nobody waits or holds beyond his time.

asyncpg's pool lets a newcomer overtake who waits: under load some waited until their time was up while others were
served at once (seen: p50 7 ms, p90 490 ms, and 503s). And a timer for each wait, statement and release, as
`asyncio.timeout` and asyncpg's `command_timeout` set them, was a third of the whole time of a request on uvloop. Here
one timer looks after all, ten times a second, while there is anything to look after. Where somebody waits, a connection
passes from hand to hand, without a way through the pool.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from authsvc.refusals import DatabaseUnavailable
from authsvc.store.faults import READ_ONLY, UNAVAILABLE, NoConnectionFreeError, classify, unavailable, uncounted
from authsvc.tallies import Tally

if TYPE_CHECKING:
    Connection: TypeAlias = PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]

TICK_SECONDS = 0.1
WAIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@dataclass(frozen=True)
class LeaseFigures:
    """What was seen: how often each fault of faults.py, and seconds until a lease was had, or not."""

    faults: Counter[str] = field(default_factory=uncounted)
    waits: Tally = field(default_factory=lambda: Tally(WAIT_BUCKETS))


class Leases:
    """As many leases as the pool has connections."""

    def __init__(
        self, pool: Pool, *, size: int, wait_seconds: float, hold_seconds: float, figures: LeaseFigures
    ) -> None:
        """Who waits longer than `wait_seconds` is refused; who holds longer than `hold_seconds` is cut off."""
        self.generation = 0
        self.figures = figures
        self._pool = pool
        self._size = size
        self._free = size
        self._wait_seconds = wait_seconds
        self._hold_seconds = hold_seconds
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, asyncio.Future[Connection | None]]] = deque()
        self._held: dict[Lease, float] = {}
        self._ticking = False

    async def acquire(self) -> Connection:
        """Wait for a turn, and return a connection.

        Raises:
            NoConnectionFreeError: the turn did not come in time.
            Exception: whatever stands in the way of a new connection.
        """
        asked_at = time.monotonic()
        try:
            passed_on = await self._turn()
            if passed_on is not None:
                return passed_on
            try:
                return await self._pool.acquire()
            except BaseException:
                self._give_up_turn()
                raise
        finally:
            self.figures.waits.observe(time.monotonic() - asked_at)

    async def release(self, connection: Connection, *, fit: bool = True) -> None:
        """Pass a connection on to who waits, if it is `fit` for that; else give it back to the pool."""
        if fit and _is_usable(connection) and self._pass_on(connection):
            return
        try:
            await self._pool.release(connection)
        finally:
            self._give_up_turn()

    @property
    def in_use(self) -> int:
        """How many leases are out."""
        return self._size - self._free

    @property
    def waiting(self) -> int:
        """How many wait for a lease."""
        return sum(not turn.done() for _deadline, turn in self._waiting)

    async def expire(self) -> None:
        """Have no connection used again that is open now."""
        self.generation += 1
        await self._pool.expire_connections()

    async def _turn(self) -> Connection | None:
        if self._free and not self._waiting:
            self._free -= 1
            return None
        turn: asyncio.Future[Connection | None] = self._loop.create_future()
        self._waiting.append((self._loop.time() + self._wait_seconds, turn))
        self._look_after()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                # The turn came, and nobody is there to take it.
                passed_on = turn.result()
                if passed_on is None:
                    self._give_up_turn()
                else:
                    await self.release(passed_on)
            raise

    def _give_up_turn(self) -> None:
        if not self._pass_on(None):
            self._free += 1

    def _pass_on(self, connection: Connection | None) -> bool:
        """Let the first who still waits have the turn, with this connection if there is one; tell whether one did."""
        while self._waiting:
            _deadline, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(connection)
                return True
        return False

    def hold(self, lease: Lease) -> None:
        """Look after a lease until `let_go`."""
        self._held[lease] = self._loop.time() + self._hold_seconds
        self._look_after()

    def let_go(self, lease: Lease) -> None:
        """Look after it no more."""
        self._held.pop(lease, None)

    def _look_after(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(TICK_SECONDS, self._tick)

    def _tick(self) -> None:
        self._ticking = False
        now = self._loop.time()
        while self._waiting and (self._waiting[0][0] <= now or self._waiting[0][1].done()):
            _deadline, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(NoConnectionFreeError())
        for lease in [lease for lease, deadline in self._held.items() if deadline <= now]:
            del self._held[lease]
            lease.cut()
        if self._waiting or self._held:
            self._look_after()


def _is_usable(connection: Connection) -> bool:
    try:
        return not connection.is_closed() and not connection.is_in_transaction()
    except asyncpg.InterfaceError:  # it died by itself, and the driver has taken it back
        return False


class Lease:
    """One connection, to `async with`. A class, since it stands around every statement."""

    __slots__ = ("_connection", "_generation", "_leases")

    _connection: Connection

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    async def __aenter__(self) -> Connection:
        """Return the connection.

        Raises:
            DatabaseUnavailable: no connection in time, or the database refuses it.
        """
        try:
            self._connection = await self._leases.acquire()
        except UNAVAILABLE as error:
            raise self._unavailable(error) from error
        self._generation = self._leases.generation
        self._leases.hold(self)
        return self._connection

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Give it back; what the database did wrong on it becomes a refusal.

        Raises:
            DatabaseUnavailable: in place of such an error.
        """
        failed = isinstance(error, UNAVAILABLE)
        try:
            # Once: what fails late on the connections of before says nothing of those made since.
            is_current = self._generation == self._leases.generation
            if error is not None and is_current and classify(error) is READ_ONLY:
                # A fail-over left the connections on a standby.
                await self._leases.expire()
            fit = not failed and self._generation == self._leases.generation
            await self._leases.release(self._connection, fit=fit)
        except UNAVAILABLE as on_release:
            # The pool has closed the connection. What was done on it stands, committed or not.
            self._unavailable(on_release)
        finally:
            self._leases.let_go(self)
        if error is not None and failed:
            raise self._unavailable(error) from error

    def cut(self) -> None:
        """Close the connection under its holder, whose statement then fails."""
        with suppress(asyncpg.InterfaceError):  # it died by itself, and the driver has taken it back
            self._connection.terminate()

    def _unavailable(self, error: BaseException) -> DatabaseUnavailable:
        return unavailable(error, self._leases.figures.faults)
