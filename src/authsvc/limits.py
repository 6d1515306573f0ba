"""Limits: how often passwords are tried and accounts opened, counted over all instances in the database.

Every path that checks a password asks `password_check` first, whether or not there is such an account, and so shares
one count for each account and one for each origin.
"""

import base64
import hmac
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

from authsvc import addresses, config
from authsvc.clock import Clock
from authsvc.config import RateLimit
from authsvc.emails import EmailAddress
from authsvc.events import Origin
from authsvc.metrics import LIMITS
from authsvc.refusals import DatabaseUnavailable, RateLimited
from authsvc.store import attempts
from authsvc.store.attempts import Granted, Refused, Slot
from authsvc.store.database import Database

ORIGIN, ACCOUNT, BROWSER, REGISTER = LIMITS
MEMORY = timedelta(days=1)
"""After so long without an attempt the delays of an account begin anew."""
KNOWN_SECONDS = 31_536_000
"""How long a browser that logged in to an account is known to it."""


@dataclass(frozen=True)
class Attempt:
    """A password that may be checked. `slowed`: it is the account's last one before the delays begin."""

    key: bytes | None = field(default=None, repr=False)
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
        off = config.Limits("off", *(RateLimit(1, 1),) * 2, 1, RateLimit(1, 1), "pass")
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
        granted = await self._take(self._of_origin(ORIGIN, self.settings.origin, origin), account)
        return Attempt(account.key, granted.account_taken == account.rate.burst)

    async def succeeded(self, attempt: Attempt) -> None:
        """Give the account's slots back, after the right password; the origin's stay taken."""
        if attempt.key is None:
            return
        # Where that fails the password is right all the same: what needs the database next says so itself.
        with suppress(DatabaseUnavailable):
            async with self.database.read() as connection:
                await attempts.give_back(connection, attempt.key)

    async def registration(self, origin: Origin) -> None:
        """Take a slot of the origin.

        Raises:
            RateLimited: there is none left.
            DatabaseUnavailable: it cannot be counted, and the settings say to refuse then.
        """
        if self.settings.enabled:
            await self._take(self._of_origin(REGISTER, self.settings.register, origin), None)

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

    async def _take(self, origin: Slot, account: Slot | None) -> Granted:
        slots = (origin, account) if account else (origin,)
        try:
            async with self.database.read() as connection:
                answer = await attempts.take(connection, origin, account, now=self.clock.now())
        except DatabaseUnavailable:
            for slot in slots:
                self.observe(slot.limit, "unavailable")
            if self.settings.when_unavailable == "refuse":
                raise
            return Granted(0)
        if isinstance(answer, Refused):
            slot, wait = answer.slot, answer.wait
            self.observe(slot.limit, "refused")
            raise RateLimited(slot.limit, slot.rate.burst, slot.rate.seconds, math.ceil(wait.total_seconds()))
        for slot in slots:
            self.observe(slot.limit, "granted")
        return answer
