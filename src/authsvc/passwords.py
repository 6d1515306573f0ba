"""Password hashes: argon2id (RFC 9106), and inherited bcrypt until its owner's next login.

Hashing runs in threads of its own, as many as there are CPUs, and never on the event loop. The queue before them is
bounded by time: who would wait longer than `queue_seconds` is refused at once. A stored hash is read by the strict
patterns below before a library sees it, so that no stored parameter can ask for memory or time beyond the bound.
"""

import asyncio
import math
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from enum import Enum
from typing import TypeVar

import argon2
import bcrypt

from authsvc.config import Argon2Profile
from authsvc.password_policy import Password
from authsvc.refusals import Busy

_T = TypeVar("_T")

MAX_MEMORY_KIB = 131_072
MAX_PASSES = 10
MAX_COST = 4 * 65_536
"""KiB of memory times passes: a hash of that cost takes about half a second."""
MAX_LANES = 16
MAX_BCRYPT_COST = 15
BCRYPT_BYTES = 72
"""bcrypt reads no more of a password than this; the hashes made in its day were made so."""

_ARGON2 = re.compile(
    r"\$argon2(?P<variant>id|i|d)(?:\$v=(?P<version>16|19))?"
    r"\$m=(?P<memory>[1-9]\d{0,9}),t=(?P<passes>[1-9]\d{0,9}),p=(?P<lanes>[1-9]\d{0,9})"
    r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,172}",
    re.ASCII,
)
_BCRYPT = re.compile(r"\$2[aby]\$(?P<cost>\d\d)\$[./A-Za-z0-9]{53}", re.ASCII)


class Verdict(Enum):
    """What came of comparing a password with a stored hash."""

    MATCH = "match"
    MISMATCH = "mismatch"
    UNSUPPORTED = "unsupported"


def supported(stored_hash: str) -> bool:
    """Tell whether a hash is argon2 or bcrypt ($2a$ $2b$ $2y$), whole, and within the bounds above."""
    if match := _ARGON2.fullmatch(stored_hash):
        memory, passes, lanes = (int(match[name]) for name in ("memory", "passes", "lanes"))
        return (
            8 * lanes <= memory <= MAX_MEMORY_KIB
            and passes <= MAX_PASSES
            and memory * passes <= MAX_COST
            and lanes <= MAX_LANES
        )
    if match := _BCRYPT.fullmatch(stored_hash):
        return 4 <= int(match["cost"]) <= MAX_BCRYPT_COST  # noqa: PLR2004 - bcrypt's own least cost
    return False


def scheme(stored_hash: str | None) -> str:
    """Return how a hash was made, for people: nothing of it but its kind and its parameters."""
    if stored_hash is None:
        return "no password"
    if not supported(stored_hash):
        return "not supported"
    if match := _BCRYPT.fullmatch(stored_hash):
        return f"bcrypt, cost {int(match['cost'])}"
    _, kind, *versions, parameters, _salt, _hash = stored_hash.split("$")
    return ", ".join([kind, *versions, *parameters.split(",")])


def default_threads() -> int:
    """Return the number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


class Passwords:
    """Hashes and verifies passwords off the event loop. `close` it at the end."""

    def __init__(
        self,
        profile: Argon2Profile,
        *,
        threads: int,
        queue_seconds: float,
        observe: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """`observe` hears the seconds of each hash, on the event loop."""
        self._profile = profile
        self._argon2 = argon2.PasswordHasher(profile.passes, profile.memory_kib, profile.lanes)
        self._threads = threads or default_threads()
        self._queue_seconds = queue_seconds
        self._observe = observe
        self._executor = ThreadPoolExecutor(self._threads, "hash", initializer=_yield_the_cpu)
        self._pending = 0
        # Made with the current parameters on this machine: an unknown user costs what a known one does.
        started = time.monotonic()
        self._decoy = self._argon2.hash(os.urandom(16).hex())
        self._mean_seconds = time.monotonic() - started

    @property
    def pending(self) -> int:
        """How many hashes run or wait."""
        return self._pending

    async def hash(self, password: Password) -> str:
        """Return a new argon2id hash in PHC format.

        Raises:
            Busy: the queue is too long.
        """
        return await self._run(lambda: self._argon2.hash(password.normalized))

    async def verify(self, password: Password, stored_hash: str | None) -> Verdict:
        """Compare with a stored hash; with the decoy where there is none, or none that can be compared with.

        Raises:
            Busy: the queue is too long.
        """
        return await self._run(lambda: self._verify(password, stored_hash))

    def needs_rehash(self, stored_hash: str) -> bool:
        """Tell whether a supported hash is weaker than the current parameters; a stronger one is kept."""
        match = _ARGON2.fullmatch(stored_hash)
        if match is None or match["variant"] != "id" or match["version"] != "19":
            return True
        return int(match["memory"]) * int(match["passes"]) < self._profile.memory_kib * self._profile.passes

    async def close(self) -> None:
        """Let the running hashes end, and stop the threads."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)

    def _verify(self, password: Password, stored_hash: str | None) -> Verdict:
        if stored_hash is None:
            self._compare(password, self._decoy)
            return Verdict.MISMATCH
        verdict = self._compare(password, stored_hash) if supported(stored_hash) else Verdict.UNSUPPORTED
        # A hash that costs less must not tell that there is an account: no wrong password is quicker than the decoy.
        if verdict is Verdict.UNSUPPORTED or (verdict is Verdict.MISMATCH and self.needs_rehash(stored_hash)):
            self._compare(password, self._decoy)
        return verdict

    def _compare(self, password: Password, stored_hash: str) -> Verdict:
        if not stored_hash.startswith("$argon2"):
            return _compare_bcrypt(password, stored_hash)
        try:
            self._argon2.verify(stored_hash, password.normalized)
        except argon2.exceptions.VerifyMismatchError:
            return Verdict.MISMATCH
        except (argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHashError):
            return Verdict.UNSUPPORTED
        return Verdict.MATCH

    async def _run(self, work: Callable[[], _T]) -> _T:
        wait = self._pending // self._threads * self._mean_seconds
        if wait > self._queue_seconds:
            raise Busy(retry_after=math.ceil(wait))
        loop = asyncio.get_running_loop()

        def timed() -> tuple[_T, float]:
            started = time.monotonic()
            result = work()
            return result, time.monotonic() - started

        self._pending += 1
        future = self._executor.submit(timed)
        # Counted when the thread is free again, not when its caller has gone away.
        future.add_done_callback(lambda done: loop.call_soon_threadsafe(self._finished, done))
        result, _seconds = await asyncio.wrap_future(future)
        return result

    def _finished(self, future: "Future[tuple[_T, float]]") -> None:
        self._pending -= 1
        if not future.cancelled() and future.exception() is None:
            seconds = future.result()[1]
            self._mean_seconds += (seconds - self._mean_seconds) / 16
            self._observe(seconds)


def _compare_bcrypt(password: Password, stored_hash: str) -> Verdict:
    # Raw first: the systems these hashes come from did not normalise.
    for text in dict.fromkeys((password.raw, password.normalized)):
        try:
            if bcrypt.checkpw(text.encode()[:BCRYPT_BYTES], stored_hash.encode()):
                return Verdict.MATCH
        except ValueError:
            return Verdict.UNSUPPORTED
    return Verdict.MISMATCH


def _yield_the_cpu() -> None:
    """Put this thread behind the event loop: answers to others stay quick while every CPU hashes."""
    if sys.platform == "linux":  # elsewhere the priority is the whole process's
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
