"""Limits: how often passwords are tried and accounts opened, counted over all instances in the database.

Every path that checks a password asks `password_check` first, whether or not there is such an account, and so shares
one count for each account and one for each origin.
"""

import base64
import hmac
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

from authsvc import addresses, config
from authsvc.clock import Clock
from authsvc.config import RateLimit
from authsvc.emails import EmailAddress
from authsvc.events import LimitsUnavailable, Origin
from authsvc.metrics import LIMITS
from authsvc.refusals import DatabaseUnavailable, RateLimited
from authsvc.store import attempts
from authsvc.store.attempts import Refused, Slot
from authsvc.store.database import Database

ORIGIN, ACCOUNT, BROWSER, REGISTER = LIMITS
MEMORY = timedelta(days=1)
"""After so long without an attempt the delays of an account begin anew."""
KNOWN_SECONDS = 31_536_000
"""How long a browser that logged in to an account is known to it."""


@dataclass(frozen=True)
class Attempt:
    """What may go ahead, with the slots it took. `slowed`: it is the account's last one before the delays begin."""

    origin: Slot | None = None
    account: Slot | None = None
    slowed: bool = False


@dataclass(frozen=True)
class Limits:
    """Takes slots before anything expensive is done, and gives an account's back after the right password."""

    database: Database
    settings: config.Limits
    keys: Sequence[bytes]
    clock: Clock
    observe: Callable[[str, str], None]

    @classmethod
    def none(cls, database: Database, clock: Clock) -> Self:
        """Return limits that limit nobody: the operator's."""
        once = RateLimit(1, 1)
        off = config.Limits(
            switch="off",
            origin=once,
            account=once,
            account_delay_seconds=1,
            register=once,
            when_unavailable="refuse",
        )
        return cls(database, off, (b"",), clock, lambda _limit, _outcome: None)

    async def password_check(self, email: EmailAddress, origin: Origin) -> Attempt:
        """Take a slot of the origin and one of the account with this address, if there is one or not.

        Browsers that logged in to the account before have slots of their own: strangers cannot use them up.

        Raises:
            RateLimited: there is none left; nothing may be looked up or hashed.
            DatabaseUnavailable: it cannot be counted, and the settings say to refuse then.
        """
        if not self.settings.enabled:
            return Attempt()
        limit = BROWSER if self._is_known(email, origin.browser) else ACCOUNT
        account = Slot(
            limit,
            self.settings.account,
            self._key(limit, email),
            longest=timedelta(seconds=self.settings.account_delay_seconds),
            memory=MEMORY,
        )
        return await self._take(origin, self._of_origin(ORIGIN, self.settings.origin, origin), account)

    async def succeeded(self, attempt: Attempt) -> None:
        """Give the account's slots back, after the right password; the origin's stay taken."""
        if attempt.account is None:
            return
        # Where that fails the password is right all the same: what needs the database next says so itself.
        with suppress(DatabaseUnavailable):
            async with self.database.read() as connection:
                await attempts.give_back(connection, attempt.account.key)

    async def unanswered(self, attempt: Attempt, origin: Origin) -> None:
        """Give back what an attempt took that came to nothing: no password was compared, no account opened.

        Where the database cannot be reached they stay taken: nobody can give them back. Nor are they given back once
        a password was compared, whatever failed then: the answer or its time may have told which one it was. Who has
        hung up does not get them either: he could keep the database busy without end.
        """
        if not origin.waits():
            return
        with suppress(DatabaseUnavailable):
            async with self.database.read() as connection:
                # Not in one transaction: it would lock two rows, and others lock the same two.
                for slot in (attempt.origin, attempt.account):
                    if slot is not None:
                        await attempts.give_one_back(connection, slot)

    async def registration(self, origin: Origin) -> Attempt:
        """Take a slot of the origin.

        Raises:
            RateLimited: there is none left.
            DatabaseUnavailable: it cannot be counted, and the settings say to refuse then.
        """
        if not self.settings.enabled:
            return Attempt()
        return await self._take(origin, self._of_origin(REGISTER, self.settings.register, origin), None)

    def mark(self, email: EmailAddress) -> str:
        """Return what a browser is given when it logs in: it tells it from strangers to this account, and no more."""
        issued_at = str(int(self.clock.timestamp()))
        return f"{issued_at}.{self._mac(self.keys[0], issued_at, email)}"

    def _is_known(self, email: EmailAddress, mark: str | None) -> bool:
        if mark is None or not mark.isascii():  # a byte beyond ASCII is a lone surrogate, which nothing can encode
            return False
        issued_at, _, given = mark.partition(".")
        is_ours = any(hmac.compare_digest(self._mac(key, issued_at, email), given) for key in self.keys)
        return is_ours and self.clock.timestamp() < int(issued_at) + KNOWN_SECONDS

    @staticmethod
    def _mac(key: bytes, issued_at: str, email: EmailAddress) -> str:
        return base64.urlsafe_b64encode(hmac.digest(key, f"mark\n{issued_at}\n{email}".encode(), "sha256")).decode()

    def _key(self, name: str, counted: str) -> bytes:
        return hmac.digest(self.keys[0], f"{name}\n{counted}".encode(), "sha256")

    def _of_origin(self, name: str, rate: RateLimit, origin: Origin) -> Slot:
        return Slot(name, rate, self._key(name, addresses.network_of(origin.address)))

    async def _take(self, origin: Origin, network: Slot, account: Slot | None) -> Attempt:
        slots = (network, account) if account else (network,)
        try:
            async with self.database.read() as connection:
                answer = await attempts.take(connection, network, account, now=self.clock.now())
        except DatabaseUnavailable:
            for slot in slots:
                self.observe(slot.limit, "unavailable")
            if self.settings.when_unavailable == "refuse":
                raise
            await self._pass(origin)
            return Attempt()
        if isinstance(answer, Refused):
            slot, wait = answer.slot, answer.wait
            self.observe(slot.limit, "refused")
            raise RateLimited(slot.limit, slot.rate.burst, slot.rate.seconds, math.ceil(wait.total_seconds()))
        for slot in slots:
            self.observe(slot.limit, "granted")
        return Attempt(network, account, account is not None and answer.account_taken == account.rate.burst)

    async def _pass(self, origin: Origin) -> None:
        """Let go ahead what could not be counted: where it can be written down, as what comes of it must be.

        Where nothing can be written nobody can be logged in either, and all that a comparison could lead to is an
        error whose time tells whether the password was right, as often as one likes.
        """
        async with self.database.transaction(origin) as transaction:
            transaction.record(LimitsUnavailable())
