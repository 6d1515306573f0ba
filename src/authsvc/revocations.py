"""What died lately, in memory: follows the store at a bounded distance, and says honestly how far behind it is.

Each look asks for what was written by transactions that had not ended at the look before, so that no late commit is
missed. After a failed look the next one asks for everything: the database may have failed over to a standby whose
transaction numbers are not the old ones'. What is known here is never unlearnt before it expires.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import structlog

from authsvc.clock import Clock
from authsvc.events import Event, SessionEnded
from authsvc.refusals import Unavailable

Look = Callable[[int], Awaitable[tuple[Iterable[tuple[UUID, datetime]], int]]]
"""Takes the transaction to begin from; returns session ids with the end of their tokens, and where to begin next."""

BUCKET_SECONDS = 64
# Clocks of instances differ, and an entry that stays too long does no harm.
GRACE_SECONDS = 300
# So many entries are taken in or dropped in one go: a millisecond or two of the event loop.
CHUNK = 5_000


@dataclass
class Revocations:
    """The sessions that ended while access tokens of theirs may still be around."""

    look: Look
    clock: Clock
    poll_seconds: float
    stale_seconds: float
    # Session ids as numbers, half the memory of UUIDs; and the same by when they can be forgotten.
    _dead: set[int] = field(default_factory=set)
    _buckets: defaultdict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    _next_transaction_id: int = 0
    _looked_at: float = float("-inf")

    def __contains__(self, session_id: UUID) -> bool:
        """Tell whether a session is known to have ended."""
        return session_id.int in self._dead

    def __len__(self) -> int:
        return len(self._dead)

    def age(self) -> float:
        """Return how many seconds ago the last good look began; infinite before the first."""
        return self.clock.steady() - self._looked_at

    def is_stale(self) -> bool:
        """Tell whether what is known here is too old to decide by."""
        return self.clock.steady() - self._looked_at > self.stale_seconds

    def observe(self, event: Event) -> None:
        """Know at once what this instance itself has ended."""
        if isinstance(event, SessionEnded):
            self._add(event.session_id, event.access_until)

    async def follow(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(self.poll_seconds)

    async def refresh(self) -> None:
        """Look once; a look that fails leaves what is known, growing older."""
        began = self.clock.steady()
        try:
            died, next_transaction_id = await self.look(self._next_transaction_id)
        except Unavailable:
            self._next_transaction_id = 0
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, the next look may succeed: meanwhile it ages
            structlog.get_logger().error("revocations_unreadable", exc_info=error)
            self._next_transaction_id = 0
            return
        for number, (session_id, expires_at) in enumerate(died, start=1):
            self._add(session_id, expires_at)
            if number % CHUNK == 0:
                await asyncio.sleep(0)
        # A number that went back: another server answers now, and what it wrote before may be unknown here.
        went_back = next_transaction_id < self._next_transaction_id
        self._next_transaction_id = 0 if went_back else next_transaction_id
        if not went_back:
            self._looked_at = began
        self._forget()

    def _add(self, session_id: UUID, expires_at: datetime) -> None:
        number = session_id.int
        if number not in self._dead:
            self._dead.add(number)
            self._buckets[int(expires_at.timestamp() + GRACE_SECONDS) // BUCKET_SECONDS + 1].append(number)

    def _forget(self) -> None:
        """Drop some of what has expired."""
        present = int(self.clock.timestamp()) // BUCKET_SECONDS
        for bucket in sorted(bucket for bucket in self._buckets if bucket < present):
            expired = self._buckets[bucket]
            self._dead.difference_update(expired[-CHUNK:])
            del expired[-CHUNK:]
            if expired:
                return
            del self._buckets[bucket]
