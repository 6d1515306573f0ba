"""What died lately, in memory: follows the store at a bounded distance, and says honestly how far behind it is.

A look reads, page by page in the order of their numbers, what was written by transactions that had not ended when the
look before took its first snapshot. Whatever is committed by the first snapshot of a look is in the snapshot of each
later page too, so that the page that passes its place finds it. Whatever is not was written by a transaction that was
running then or has begun since: its number is at least the oldest running then, and from there the next look begins,
be its place among pages already read or its commit late. That holds however much time lies between two pages: a look
that fails goes on where it was. It holds on one server alone: when another answers, or the same after a crash, its
numbers are not those known here, and all is read again. What is known here is never unlearnt before it expires.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

import structlog

from authsvc.clock import Clock
from authsvc.events import Event, SessionEnded
from authsvc.refusals import Unavailable

Position = tuple[int, UUID]
"""A transaction, and of what it wrote the last session that is known. The nil UUID comes before every session's."""

NIL = UUID(int=0)
START: Position = (0, NIL)


class Page(Protocol):
    """Some of what ended; store/sessions.py has it."""

    @property
    def died(self) -> Sequence[tuple[UUID, datetime]]:
        """Session ids, with the end of their access tokens."""

    @property
    def following(self) -> Position | None:
        """Where the next page begins; None after the last."""

    @property
    def oldest_running(self) -> int:
        """The least number of a transaction that may still commit."""

    @property
    def server(self) -> Hashable:
        """What its numbers are compared within."""


Look = Callable[[Position], Awaitable[Page]]
"""Reads the page of up to `PAGE` that follows a position."""

# So many entries are read, and so many dropped, in one go: a millisecond or two of the event loop each.
PAGE = 500
CHUNK = 5_000
BUCKET_SECONDS = 64
# Clocks of instances differ, and an entry that stays too long does no harm.
GRACE_SECONDS = 300
# A look that is overdue by that much: this process was stopped, and does not know what ended meanwhile.
PAUSE_SECONDS = 1.0
_SHARDS = 256


def _shards() -> list[dict[int, int]]:
    # One table would grow at once, for a tenth of a second at a million. No sets: the garbage collector walks through
    # each of their members, and through no dictionary of numbers.
    return [{} for _ in range(_SHARDS)]


@dataclass
class _UnderWay:
    """A look that has begun, and not ended."""

    began: float
    position: Position
    next_transaction_id: int


@dataclass
class Revocations:
    """The sessions that ended while access tokens of theirs may still be around."""

    look: Look
    clock: Clock
    poll_seconds: float
    stale_seconds: float
    # Session ids as numbers, half the memory of UUIDs, with the bucket of each; and the same by bucket.
    _dead: list[dict[int, int]] = field(default_factory=_shards)
    _buckets: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    # One object for each bucket's number: a million of their own would take as much memory as the ids.
    _interned: dict[int, int] = field(default_factory=dict)
    _server: Hashable = None
    _next_transaction_id: int = 0
    _under_way: _UnderWay | None = None
    _looked_at: float = float("-inf")
    answered: bool | None = None
    """Whether the last look was answered; None before the first."""
    _reads: dict[str, int] = field(default_factory=lambda: {"success": 0, "failure": 0})
    # When the next look is overdue, and when this process last noticed that it had been stopped.
    _overdue_at: float = float("inf")
    _resumed_at: float = float("-inf")

    def __contains__(self, session_id: UUID) -> bool:
        """Tell whether a session is known to have ended."""
        number = session_id.int
        return number in self._dead[number % _SHARDS]

    def __len__(self) -> int:
        return sum(map(len, self._dead))

    def age(self) -> float:
        """Return how many seconds ago the look began that ended last; infinite before the first."""
        return self.clock.steady() - self._looked_at

    def reads(self) -> dict[str, int]:
        """Return how many looks succeeded, and how many failed."""
        return self._reads

    def is_stale(self) -> bool:
        """Tell whether what is known here is too old to decide by, or this process was stopped for a while."""
        now, looked_at = self.clock.steady(), self._looked_at
        return now - looked_at > self.stale_seconds or looked_at < self._resumed_at or now > self._overdue_at

    def observe(self, event: Event) -> None:
        """Know at once what this instance itself has ended."""
        if isinstance(event, SessionEnded):
            self._add(event.session_id, event.access_until)

    async def follow(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(self.poll_seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Look once; a look that fails leaves what is known, growing older, and the next goes on where it was."""
        now = self.clock.steady()
        if now > self._overdue_at:
            self._resumed_at = now
        self._overdue_at = float("inf")
        try:
            while await self._read_page():
                pass
            self.answered = True
        except Unavailable:
            self.answered = False
        except Exception as error:  # noqa: BLE001 - whatever it was, the next look may succeed: meanwhile it ages
            self.answered = False
            structlog.get_logger().error("revocations_unreadable", exc_info=error)
        self._reads["success" if self.answered else "failure"] += 1
        self._forget()
        self._overdue_at = self.clock.steady() + self.poll_seconds + PAUSE_SECONDS

    async def _read_page(self) -> bool:
        """Read one page of the look under way, or the first of a new one; tell whether it has more."""
        began, look = self.clock.steady(), self._under_way
        position = look.position if look else (self._next_transaction_id, NIL)
        page = await self.look(position)
        for session_id, expires_at in page.died:
            self._add(session_id, expires_at)
        if page.server != self._server:
            self._server = page.server
            look = self._under_way = None
            if position != START:
                self._next_transaction_id = 0
                return False
        look = look or _UnderWay(began, position, page.oldest_running)
        if page.following is not None:
            look.position, self._under_way = page.following, look
            return True
        self._looked_at, self._next_transaction_id, self._under_way = look.began, look.next_transaction_id, None
        return False

    def _add(self, session_id: UUID, expires_at: datetime) -> None:
        number = session_id.int
        shard = self._dead[number % _SHARDS]
        bucket = int(expires_at.timestamp() + GRACE_SECONDS) // BUCKET_SECONDS + 1
        # It may end twice, and later: a fail-over can lose the first end, and the session lives on until the second.
        if shard.get(number, 0) < bucket:
            shard[number] = self._interned.setdefault(bucket, bucket)
            self._buckets[bucket].append(number)

    def _forget(self) -> None:
        """Drop some of what has expired."""
        present = int(self.clock.timestamp()) // BUCKET_SECONDS
        for bucket in sorted(bucket for bucket in self._buckets if bucket < present):
            expired = self._buckets[bucket]
            for number in expired[-CHUNK:]:
                if self._dead[number % _SHARDS].get(number) == bucket:
                    del self._dead[number % _SHARDS][number]
            del expired[-CHUNK:]
            if expired:
                return
            del self._buckets[bucket]
            self._interned.pop(bucket, None)
