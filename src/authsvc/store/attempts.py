"""How often something was tried lately: rows of `attempts`, by the generic cell rate algorithm (GCRA).

A row holds one moment: its theoretical arrival time. One statement takes a slot, or says when there will be one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from authsvc.config import RateLimit
from authsvc.store.queries import queries

if TYPE_CHECKING:
    from authsvc.store.leases import Connection

_QUERIES = queries("attempts")
NONE = timedelta()


@dataclass(frozen=True)
class Slot:
    """A slot that is asked for: of the `rate` of a `limit`, counted under `key`.

    Beyond the burst the interval of an account doubles with each slot, up to `longest`; it is the first again when
    none was taken for `memory`.
    """

    limit: str
    rate: RateLimit
    key: bytes = field(repr=False)
    longest: timedelta = NONE
    memory: timedelta = NONE

    @property
    def tolerance(self) -> timedelta:
        """How far the theoretical arrival time may be ahead."""
        return (self.rate.burst - 1) * self.rate.interval


@dataclass(frozen=True)
class Refused:
    """There is none left of `slot`; the next comes in `wait`."""

    slot: Slot
    wait: timedelta


@dataclass(frozen=True)
class Granted:
    """They were taken; that of the account was number `account_taken` since it was last given back."""

    account_taken: int


async def take(connection: Connection, origin: Slot, account: Slot | None, *, now: datetime) -> Granted | Refused:
    """Take a slot of an origin, and one of an account where that is given: in one statement, before anything else.

    The origin is asked first. Who is refused for the account has taken his slot of the origin.
    """
    row = await _QUERIES["take"].row(
        connection,
        now=now,
        origin=origin.key,
        origin_interval=origin.rate.interval,
        origin_tolerance=origin.tolerance,
        account=account.key if account else None,
        account_interval=account.rate.interval if account else NONE,
        account_tolerance=account.tolerance if account else NONE,
        account_burst=account.rate.burst if account else 1,
        account_longest=max(account.longest, account.rate.interval) if account else NONE,
        account_memory=account.memory if account else NONE,
    )
    assert row is not None  # noqa: S101 - a select without a table
    if not row["origin_granted"]:
        return _refused(origin, row["origin_arrival_at"], now)
    if account is not None and row["account_taken"] is None:
        return _refused(account, row["account_arrival_at"], now)
    return Granted(row["account_taken"] or 0)


def _refused(slot: Slot, arrival_at: datetime | None, now: datetime) -> Refused:
    wait = NONE if arrival_at is None else arrival_at - slot.tolerance - now
    # Where others took the last one at this moment, the statement did not see how far they moved the time.
    return Refused(slot, wait if wait > NONE else slot.rate.interval)


async def give_back(connection: Connection, key: bytes) -> bool:
    """Give back every slot of an account; return whether there was one."""
    return await _QUERIES["give_back"].row(connection, key=key) is not None


async def give_one_back(connection: Connection, slot: Slot) -> bool:
    """Give back the slot that was taken last of a limit; return whether there was one."""
    row = await _QUERIES["give_one_back"].row(
        connection,
        key=slot.key,
        interval=slot.rate.interval,
        burst=slot.rate.burst,
        longest=max(slot.longest, slot.rate.interval),
    )
    return row is not None


async def sweep(connection: Connection, *, after: bytes, most: int, before: datetime) -> tuple[bytes | None, int]:
    """Look at the `most` rows that follow `after`, and delete those that expired before `before`.

    Returns the last key that was looked at, None at the end, and how many were deleted.
    """
    row = await _QUERIES["sweep_attempts"].row(connection, after=after, most=most, before=before)
    return (None, 0) if row is None else (row["last"], int(row["swept"]))
