"""Password hashes: argon2id (RFC 9106), and inherited bcrypt until its owner's next login.

Hashing runs in threads of its own, as many as there are CPUs, and never on the event loop (hash_queue.py). A stored
hash is read by the strict patterns below before a library sees it, so that no stored parameter can ask for memory or
time beyond the bound.

Memory is one hash of the profile for each thread, and one stored hash of more than that. Those have a thread of their
own, and take turns, as do those that take longer than the profile: nobody fills all threads with them.
"""

import asyncio
import math
import os
import re
import time
from collections.abc import Awaitable, Callable
from enum import Enum

import argon2
import bcrypt

from authsvc import machine
from authsvc.config import Argon2Profile, Config, ConfigError
from authsvc.hash_queue import HashFigures, HashQueue, Trace, always
from authsvc.password_policy import Password

MAX_MEMORY_KIB = 131_072
MAX_PASSES = 10
MAX_COST = 4 * 65_536
"""KiB of memory times passes: a hash of that cost takes about half a second."""
MAX_LANES = 16
MAX_BCRYPT_COST = 15
USUAL_BCRYPT_COST = 12
"""What bcrypt was set to in its day, at most; each one more doubles its time."""
BCRYPT_BYTES = 72
"""bcrypt reads no more of a password than this; the hashes made in its day were made so."""
SERVICE_MIB = 112
"""What the service takes beside hashes and the token cache, under load, with its least number of connections."""

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


def choose_threads(config: Config, limit: int | None) -> int:
    """Return how many passwords are hashed at one time, where this process may use `limit` bytes.

    As many as AUTHSVC_PASSWORD_THREADS says; where it says 0, one for each CPU, as far as memory goes.

    Raises:
        ConfigError: they do not fit into the memory; the sentence shows the sum.
    """
    settings = config.passwords
    each, large = settings.profile.memory_kib / 1024, MAX_MEMORY_KIB // 1024
    cache, room = config.tokens.cache_bytes / 2**20, _room_mib(config, limit)
    threads = settings.threads or max(1, int(min(room / each, machine.cpus())))
    if threads * each <= room:
        return threads
    sentence = (
        f"AUTHSVC_PASSWORD_THREADS asks for more memory than there is: {threads} x {each:.0f} MiB for hashes"
        f" + {large} MiB for one stored hash of other parameters + {cache:.0f} MiB for AUTHSVC_TOKEN_CACHE_BYTES"
        f" + {SERVICE_MIB} MiB for the service = {threads * each + large + cache + SERVICE_MIB:.0f} MiB, and it may use"
        f" {(limit or 0) / 2**20:.0f} MiB: give it more, or set fewer threads, a smaller profile or a smaller cache."
    )
    raise ConfigError([sentence])


def memory_left(config: Config, limit: int | None) -> float:
    """Return the bytes that are left beside hashes, token cache and service, where this process may use `limit`.

    Raises:
        ConfigError: there are not even enough for these.
    """
    hashes = choose_threads(config, limit) * config.passwords.profile.memory_kib * 1024
    return _room_mib(config, limit) * 2**20 - hashes


def _room_mib(config: Config, limit: int | None) -> float:
    others = MAX_MEMORY_KIB / 1024 + config.tokens.cache_bytes / 2**20 + SERVICE_MIB
    return math.inf if limit is None else limit / 2**20 - others


class Passwords:
    """Hashes and verifies passwords off the event loop. `close` it at the end.

    `wanted` tells, from any thread, whether somebody still waits for the answer; once it says no, it must not say yes
    again. A hash that is wanted no more is not begun.
    """

    def __init__(
        self,
        profile: Argon2Profile,
        *,
        threads: int,
        queue_seconds: float,
        refusal_seconds: float = 0,
        trace: Trace | None = None,
    ) -> None:
        """`trace` is that of hash_queue.py."""
        self.threads = threads
        self.figures = HashFigures()
        self._profile = profile
        self._argon2 = argon2.PasswordHasher(profile.passes, profile.memory_kib, profile.lanes)
        self._refusal_seconds = refusal_seconds
        # Made with the current parameters on this machine: an unknown user costs what a known one does.
        started = time.monotonic()
        self._decoy = self._argon2.hash(os.urandom(16).hex())
        seconds = time.monotonic() - started
        self._queue = HashQueue("hash", threads, queue_seconds, seconds, self.figures, trace=trace)
        self._large = HashQueue("hash-large", 1, queue_seconds, seconds, self.figures, trace=trace)

    @property
    def running(self) -> int:
        """How many hashes run."""
        return self._queue.running + self._large.running

    @property
    def waiting(self) -> int:
        """How many hashes wait for their turn."""
        return self._queue.pending + self._large.pending - self.running

    def refuse_when_busy(self) -> None:
        """Ask whether there is room for a hash before anything is done for it.

        Raises:
            Busy: there is none.
        """
        self._queue.refuse_when_full()

    async def hash(self, password: Password, wanted: Callable[[], bool] = always) -> str:
        """Return a new argon2id hash in PHC format.

        Raises:
            Busy: the queue is too long, or the hash is wanted no more.
        """
        new_hash, _began = await self._queue.run(lambda: self._argon2.hash(password.normalized), wanted)
        return new_hash

    async def verify(
        self,
        password: Password,
        stored_hash: str | None,
        wanted: Callable[[], bool] = always,
        record: Callable[[Verdict], Awaitable[None]] | None = None,
    ) -> Verdict:
        """Compare with a stored hash; with the decoy where there is none, or none that can be compared with.

        Whatever is no match is told `refusal_seconds` after its comparison began, not sooner: what a stored hash costs,
        and what `record` then does about it, are hidden in that time (docs/decisions/0012-timing.md).

        Raises:
            Busy: the queue is too long, or the verdict is wanted no more.
        """
        queue = self._large if self._is_large(stored_hash) else self._queue
        verdict, began = await queue.run(lambda: self._verify(password, stored_hash), wanted)
        if verdict is not Verdict.MATCH:
            if record is not None:
                await record(verdict)
            await asyncio.sleep(began + self._refusal_seconds - time.monotonic())
        return verdict

    def needs_rehash(self, password: Password, stored_hash: str) -> bool:
        """Tell whether a hash that the password matches is to be replaced: it is weaker, and was made of all of it.

        What follows the bytes that bcrypt read is anybody's guess: a new hash of it could lock its owner out.
        """
        is_cut = max(len(text.encode()) for text in (password.raw, password.normalized)) > BCRYPT_BYTES
        return self._is_weaker(stored_hash) and not (is_cut and _BCRYPT.fullmatch(stored_hash))

    async def close(self) -> None:
        """Let the running hashes end, and stop the threads."""
        await asyncio.gather(self._queue.close(), self._large.close())

    def _is_weaker(self, stored_hash: str) -> bool:
        """Tell whether a supported hash is weaker than the current parameters; a stronger one is kept."""
        match = _ARGON2.fullmatch(stored_hash)
        if match is None or match["variant"] != "id" or match["version"] != "19":
            return True
        return int(match["memory"]) * int(match["passes"]) < self._profile.memory_kib * self._profile.passes

    def _is_large(self, stored_hash: str | None) -> bool:
        """Tell whether a hash takes more memory or more time than those that the threads are there for."""
        if match := _BCRYPT.fullmatch(stored_hash or ""):
            return int(match["cost"]) > USUAL_BCRYPT_COST
        if match := _ARGON2.fullmatch(stored_hash or ""):
            memory, passes = int(match["memory"]), int(match["passes"])
            return (
                memory > self._profile.memory_kib or memory * passes > self._profile.memory_kib * self._profile.passes
            )
        return False

    def _verify(self, password: Password, stored_hash: str | None) -> Verdict:
        if stored_hash is None:
            self._compare(password, self._decoy)
            return Verdict.MISMATCH
        verdict = self._compare(password, stored_hash) if supported(stored_hash) else Verdict.UNSUPPORTED
        # A hash that costs less must not tell that there is an account: no wrong password is quicker than the decoy.
        if verdict is Verdict.UNSUPPORTED or (verdict is Verdict.MISMATCH and self._is_weaker(stored_hash)):
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


def _compare_bcrypt(password: Password, stored_hash: str) -> Verdict:
    # Raw first: the systems these hashes come from did not normalise.
    for text in dict.fromkeys((password.raw, password.normalized)):
        try:
            if bcrypt.checkpw(text.encode()[:BCRYPT_BYTES], stored_hash.encode()):
                return Verdict.MATCH
        except ValueError:
            return Verdict.UNSUPPORTED
    return Verdict.MISMATCH
