"""What the time of a refused login tells: nothing of whether there is an account, and of how its hash was made.

Two accounts are compared by the times of their answers over HTTP, taken in turn, so that whatever slows the machine
slows both. Mann and Whitney's U tells how often the one is slower than the other, and how likely that is by chance: no
clock of the test says what is slow.
"""

import asyncio
import dataclasses
import random  # noqa: TID251 - the order of the samples is the same each time
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from statistics import NormalDist

import argon2
import bcrypt
import pytest

from authsvc.app import compose
from authsvc.config import PROFILES, Config
from authsvc.events import OPERATOR
from authsvc.password_policy import Password
from authsvc.passwords import Passwords, Verdict
from authsvc.store.database import Database
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import LOGIN

PROFILE = PROFILES["owasp-19mib"]
UNKNOWN = "nobody"
WRONG = "not the right battery"
# Of two samples without a difference, so few look like one by chance.
ALPHA = 1e-4
# How often the one is slower than the other: half of the times where there is no difference, always where it is large.
LEAST_SHARE, MOST_SHARE = 0.35, 0.65
# Of each, so many that what is beyond these shares is beyond chance as well. `--timing-samples 1000`: the whole of it.
SAMPLES = 150
# Where each answer is held back: what is not hidden then is no matter of chance, but of a hash's whole time.
HELD_SAMPLES = 12


@dataclass(frozen=True)
class Comparison:
    """How often a time of the second sample is larger than one of the first, and how likely that is by chance."""

    share: float
    p: float

    @property
    def tells(self) -> bool:
        return self.p < ALPHA and not LEAST_SHARE < self.share < MOST_SHARE


def compare(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Mann and Whitney's U test, both sides, by the normal approximation with ties."""
    larger = sum((b > a) + (b == a) / 2 for a in first for b in second)
    pairs, total = len(first) * len(second), len(first) + len(second)
    everything = sorted([*first, *second])
    ties = sum(count**3 - count for count in map(everything.count, set(everything)))
    deviation = sqrt(pairs / 12 * (total + 1 - ties / (total * (total - 1))))
    z = max(0.0, abs(larger - pairs / 2) - 0.5) / deviation if deviation else 0.0
    return Comparison(larger / pairs, 2 * NormalDist().cdf(-z))


def test_the_comparison_sees_what_is_there_and_nothing_else() -> None:
    """CWE-208: what is held against it must be able to fail."""
    chance = random.Random(4)  # noqa: S311 - the same each time
    noise = [[chance.lognormvariate(0, 0.3) for _ in range(60)] for _ in range(40)]
    assert not [1 for first, second in zip(noise[::2], noise[1::2], strict=True) if compare(first, second).tells]
    slower = [time + 1 for time in noise[0]]
    assert compare(noise[0], slower).tells
    assert compare(slower, noise[0]).tells
    # A sixth slower than the other, where chance alone makes a third: slower in 70 of 100 pairs.
    first, second = ([chance.lognormvariate(mean, 0.3) for _ in range(SAMPLES)] for mean in (0, 0.22))
    assert compare(first, second).tells
    assert compare(first, second).share < 0.75
    assert compare([1, 1, 1], [1, 1, 1]) == Comparison(0.5, 1.0)
    # The published example of SciPy's documentation, exact to what the approximation is.
    males, females = [19, 22, 16, 29, 24], [20, 11, 17, 12]
    assert compare(males, females).share == 3 / 20
    assert compare(males, females).p == pytest.approx(0.1114, abs=0.0005)


HASHES: dict[str, str | None] = {
    "wrong": argon2.PasswordHasher(PROFILE.passes, PROFILE.memory_kib, PROFILE.lanes).hash("the right battery"),
    "no-password": None,
    "unsupported": "$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$ZVrRXqxlLcWfcXCnMyv0m4Rpvh/bnCi7",
    "bcrypt-10": bcrypt.hashpw(b"the right battery", bcrypt.gensalt(10)).decode(),
    "bcrypt-12": bcrypt.hashpw(b"the right battery", bcrypt.gensalt(12)).decode(),
}


@pytest.fixture
async def people(database: Database) -> None:
    """An account for each kind of hash, and one that is disabled."""
    insert = (
        "insert into users (public_id, email, password_hash, created_at, updated_at, disabled_at)"
        " values (gen_random_uuid(), $1, $2, $3, $3, $4)"
    )
    now = FrozenClock().now()
    async with database.transaction(OPERATOR) as transaction:
        for name, password_hash in HASHES.items():
            await transaction.connection.execute(insert, f"{name}@example.com", password_hash, now, None)
        await transaction.connection.execute(insert, "disabled@example.com", HASHES["wrong"], now, now)


@pytest.fixture
def samples(request: pytest.FixtureRequest) -> int:
    """How often each account is logged in to."""
    asked: int | None = request.config.getoption("--timing-samples")
    return asked or SAMPLES


Times = dict[str, list[float]]
Take = Callable[..., Awaitable[Times]]


@pytest.fixture
async def take(config: Config, clock: FrozenClock, serve: Serve, people: None) -> Take:
    """Log in to each of some accounts in turn, each time in another order; return the seconds of each answer.

    Those that are held back are asked at once, each with a thread: they only wait.
    """
    assert people is None

    async def begin(
        names: Sequence[str], rounds: int, *, refusal_seconds: float = 0, password: str = WRONG, status: int = 401
    ) -> Times:
        passwords = dataclasses.replace(
            config.passwords,
            profile=PROFILE,
            threads=len(names) if refusal_seconds else 1,
            queue_seconds=60,
            refusal_seconds=refusal_seconds,
        )
        service = await asyncio.to_thread(compose, dataclasses.replace(config, passwords=passwords), clock=clock)
        client = await serve(service.public)
        times: Times = {name: [] for name in names}
        order = random.Random(len(names))  # noqa: S311 - no secret
        for _ in range(rounds):
            shuffled = order.sample(names, len(names))
            asked = [partial(seconds_of, client, name, password, status) for name in shuffled]
            if refusal_seconds:
                taken = await asyncio.gather(*(ask() for ask in asked))
            else:
                taken = [await ask() for ask in asked]
            for name, seconds in zip(shuffled, taken, strict=True):
                times[name].append(seconds)
        return times

    return begin


async def seconds_of(client: Client, name: str, password: str, status: int) -> float:
    started = time.perf_counter()
    body = {"email": f"{name}@example.com", "password": password}
    async with client.post(LOGIN, json=body) as response:
        await response.read()
    assert response.status == status
    return time.perf_counter() - started


def told_apart(times: Times) -> dict[str, Comparison]:
    found = {name: compare(times[UNKNOWN], taken) for name, taken in times.items() if name != UNKNOWN}
    return {name: comparison for name, comparison in found.items() if comparison.tells}


@pytest.mark.unlimited
async def test_whether_there_is_an_account_cannot_be_told_by_time(take: Take, samples: int) -> None:
    """LGN-01, LGN-02, LGN-04; CVE-2024-39329, CVE-2025-13473, CVE-2016-6210: the same work, and not only the same time.

    Without the time that a refusal is held back: who waits behind it must not learn it either.
    """
    times = await take([UNKNOWN, "wrong", "disabled", "no-password"], rounds=samples)
    assert not told_apart(times)


@pytest.mark.unlimited
async def test_without_the_decoy_it_can(take: Take, samples: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """LGN-02, CWE-208: so that the test above sees what it says it sees."""
    verify = Passwords._verify

    def verify_without_decoy(passwords: Passwords, password: Password, stored_hash: str | None) -> Verdict:
        return Verdict.MISMATCH if stored_hash is None else verify(passwords, password, stored_hash)

    monkeypatch.setattr(Passwords, "_verify", verify_without_decoy)
    assert "wrong" in told_apart(await take([UNKNOWN, "wrong"], rounds=samples // 3))


async def test_a_password_that_is_too_long_is_refused_alike_for_everybody(take: Take, samples: int) -> None:
    """LGN-03, CVE-2025-22234: before anybody is looked up."""
    names = [UNKNOWN, "wrong", "disabled", "no-password", "bcrypt-10"]
    assert not told_apart(await take(names, rounds=samples, password="x" * 257, status=422))


@pytest.mark.lasting
@pytest.mark.unlimited
async def test_how_a_hash_was_made_cannot_be_told_by_time(take: Take, samples: int) -> None:
    """LGN-05, CVE-2016-2513: inherited bcrypt of the usual cost, and what cannot be compared with at all.

    The refusals are held back for as long as production does it; longer where the machine of the test is slower. Each
    sample takes that long, so there are fewer.
    """
    started = time.perf_counter()
    await asyncio.to_thread(bcrypt.checkpw, b"x", (HASHES["bcrypt-12"] or "").encode())
    # They share the cores.
    held = max(0.5, 4 * (time.perf_counter() - started))
    rounds = HELD_SAMPLES * samples // SAMPLES
    times = await take([UNKNOWN, "bcrypt-10", "bcrypt-12", "unsupported"], rounds=rounds, refusal_seconds=held)
    assert not told_apart(times)


@pytest.mark.unlimited
async def test_without_holding_back_it_can(take: Take) -> None:
    """CWE-208: so that the test above sees what it says it sees."""
    times = await take([UNKNOWN, "bcrypt-12"], rounds=HELD_SAMPLES)
    assert "bcrypt-12" in told_apart(times)
