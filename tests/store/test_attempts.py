"""The arithmetic of the limits on a real PostgreSQL: compared with a plain model of it, and raced."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from authsvc.config import Config, RateLimit
from authsvc.events import OPERATOR
from authsvc.store import attempts
from authsvc.store.attempts import Granted, Refused, Slot
from authsvc.store.database import Database

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
ORIGIN = Slot("origin", RateLimit(3, 30), b"o")
ACCOUNT = Slot("account", RateLimit(2, 20), b"a", longest=timedelta(seconds=60), memory=DAY)


async def take(
    database: Database, origin: Slot = ORIGIN, account: Slot | None = ACCOUNT, *, at: float = 0
) -> Granted | Refused:
    async with database.read() as connection:
        return await attempts.take(connection, origin, account, now=NOW + timedelta(seconds=at))


async def rows(database: Database) -> dict[bytes, int]:
    async with database.read() as connection:
        return {row["key"]: row["taken"] for row in await connection.fetch("select key, taken from attempts")}


async def test_as_many_as_the_burst_at_once_and_then_one_an_interval(database: Database) -> None:
    assert [await take(database, account=None) for _ in range(3)] == [Granted(0)] * 3
    assert await take(database, account=None) == Refused(ORIGIN, timedelta(seconds=10))
    assert await take(database, account=None, at=9.5) == Refused(ORIGIN, timedelta(seconds=0.5))
    assert await take(database, account=None, at=10) == Granted(0)
    assert await take(database, account=None, at=10) == Refused(ORIGIN, timedelta(seconds=10))
    # What is not used comes back, up to the burst and no further.
    assert [isinstance(await take(database, account=None, at=1000), Granted) for _ in range(4)] == [True] * 3 + [False]


async def test_the_slots_of_an_account_are_numbered_until_they_are_given_back(database: Database) -> None:
    wide = dataclasses.replace(ORIGIN, rate=RateLimit(100, 1))
    assert [await take(database, wide) for _ in range(2)] == [Granted(1), Granted(2)]
    assert await take(database, wide) == Refused(ACCOUNT, timedelta(seconds=10))
    async with database.read() as connection:
        assert await attempts.give_back(connection, ACCOUNT.key)
        assert not await attempts.give_back(connection, ACCOUNT.key)
    assert await take(database, wide) == Granted(1)


async def test_a_slot_that_is_given_back_is_as_if_it_had_not_been_taken(database: Database) -> None:
    wide = dataclasses.replace(ORIGIN, rate=RateLimit(100, 1))
    async with database.read() as connection:
        assert not await attempts.give_one_back(connection, ACCOUNT)
        for number in (1, 2):
            for _ in range(5):
                assert await take(database, wide) == Granted(number)
                assert await attempts.give_one_back(connection, ACCOUNT)
            assert await take(database, wide) == Granted(number)
        assert await take(database, wide) == Refused(ACCOUNT, timedelta(seconds=10))
        # Beyond the burst the interval doubles with each slot.
        for number, at, wait in ((3, 10, 20), (4, 30, 40), (5, 70, 60)):
            for _ in range(3):
                assert await take(database, wide, at=at) == Granted(number)
                assert await attempts.give_one_back(connection, ACCOUNT)
            assert await take(database, wide, at=at) == Granted(number)
            assert await take(database, wide, at=at) == Refused(ACCOUNT, timedelta(seconds=wait))


async def test_who_is_refused_for_the_origin_takes_nothing_of_the_account(database: Database) -> None:
    for _ in range(3):
        await take(database, account=None)
    assert await take(database) == Refused(ORIGIN, timedelta(seconds=10))
    assert await rows(database) == {b"o": 3}


async def test_who_is_refused_for_the_account_has_taken_of_the_origin(database: Database) -> None:
    for _ in range(3):
        await take(database)
    assert await rows(database) == {b"o": 3, b"a": 2}
    assert await take(database) == Refused(ORIGIN, timedelta(seconds=10))


class Model:
    """One account's limit, as docs/decisions/0011 has it."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot
        self.arrival_at, self.expires_at, self.taken = NOW - DAY, NOW - DAY, 0
        self._before = self.arrival_at, 0

    def take(self, now: datetime) -> int | timedelta:
        """Return the number of the slot, or the time to wait."""
        rate = self.slot.rate
        if self.arrival_at - (rate.burst - 1) * rate.interval > now:
            return self.arrival_at - (rate.burst - 1) * rate.interval - now
        if self.expires_at <= now:
            self.taken = 0
        doubled = max(self.taken - rate.burst + 1, 0)
        step = rate.interval if not doubled else min(rate.interval * 2**doubled, max(self.slot.longest, rate.interval))
        self._before = max(self.arrival_at, now), self.taken
        self.taken += 1
        self.arrival_at = max(self.arrival_at, now) + step
        self.expires_at = max(self.arrival_at - step, now) + max(self.slot.longest, rate.interval) + self.slot.memory
        return self.taken

    def give_one_back(self) -> None:
        """As if the last one had not been taken, but for how long that is remembered."""
        self.arrival_at, self.taken = self._before


class Runner:
    """Runs sequences of pauses beside the model, each on the database of the test."""

    def __init__(self, loop: asyncio.AbstractEventLoop, database: Database) -> None:
        self._loop, self._database = loop, database

    def run(self, slot: Slot, steps: list[tuple[int, bool]]) -> None:
        self._loop.run_until_complete(self._run(slot, steps))

    async def _run(self, slot: Slot, steps: list[tuple[int, bool]]) -> None:
        model, now, free = Model(slot), NOW, Slot("origin", RateLimit(1000, 1), b"o")
        async with self._database.read() as connection:
            await connection.execute("delete from attempts")
            for pause, given_back in steps:
                now += timedelta(seconds=pause)
                answer = await attempts.take(connection, free, slot, now=now)
                assert (answer.account_taken if isinstance(answer, Granted) else answer.wait) == model.take(now)
                if given_back and isinstance(answer, Granted):
                    assert await attempts.give_one_back(connection, slot)
                    model.give_one_back()


@pytest.fixture
def runner(config: Config) -> Iterator[Runner]:
    with asyncio.Runner() as own:
        database = Database(config.database)
        own.run(database.open())
        yield Runner(own.get_loop(), database)
        own.run(database.close())


PAUSES = st.one_of(st.integers(0, 15), st.integers(0, 100), st.sampled_from([86_400, 86_460, 86_461, 200_000]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(PAUSES, st.booleans()), max_size=30),
    st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(1, 100)),
    st.integers(0, 2**64),
)
def test_the_statement_does_what_the_model_does(
    runner: Runner, steps: list[tuple[int, bool]], rate: tuple[int, int, int], number: int
) -> None:
    burst, seconds, longest = rate
    slot = Slot("account", RateLimit(burst, seconds), f"{number} {rate}".encode(), timedelta(seconds=longest), DAY)
    runner.run(slot, steps)


@pytest.mark.parametrize("fresh", [True, False], ids=["no row yet", "a row"])
async def test_of_many_at_once_no_more_are_granted_than_there_are(database: Database, *, fresh: bool) -> None:
    """LGN-07: CVE-2024-4629."""
    for turn in range(20):
        wide = dataclasses.replace(ORIGIN, rate=RateLimit(1000, 1), key=b"origin%d" % turn)
        slot = dataclasses.replace(ACCOUNT, rate=RateLimit(3, 60), key=turn.to_bytes(1, "big"))
        if not fresh:
            await take(database, wide, slot, at=-3600)
        answers = await asyncio.gather(*(take(database, wide, slot) for _ in range(40)))
        assert Counter(isinstance(answer, Granted) for answer in answers) == {True: 3, False: 37}
        numbers = sorted(answer.account_taken for answer in answers if isinstance(answer, Granted))
        assert numbers == list(range(2 - fresh, 5 - fresh))
        assert all(answer.wait > timedelta() for answer in answers if isinstance(answer, Refused))


async def until_they_wait(database: Database, number: int) -> None:
    """Return once so many connections to the test's database wait for a lock."""
    question = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    async with asyncio.timeout(60), database.read() as connection:
        while await connection.fetchval(question) != number:
            await connection.fetchval("select pg_sleep(0.01)")


@pytest.mark.parametrize("limit", ["origin", "account"])
@pytest.mark.parametrize("fresh", [True, False], ids=["no row yet", "a row"])
async def test_who_waited_for_another_looks_at_what_he_left(database: Database, limit: str, *, fresh: bool) -> None:
    """LGN-07: CVE-2024-4629. All had looked when there were slots for each of them."""

    def slots(number: int) -> tuple[Slot, Slot]:
        shared = Slot(limit, RateLimit(3 - fresh, 60), b"shared", memory=DAY)
        own = Slot("wide", RateLimit(100, 1), b"own%d" % number)
        return (shared, own) if limit == "origin" else (own, shared)

    if not fresh:
        await take(database, *slots(0))
    async with asyncio.TaskGroup() as tasks, database.transaction(OPERATOR) as first:
        await attempts.take(first.connection, *slots(1), now=NOW)
        others = [tasks.create_task(take(database, *slots(number))) for number in range(2, 10)]
        await until_they_wait(database, len(others))
    assert Counter(isinstance(each.result(), Granted) for each in others) == {True: 1, False: 7}


async def test_origins_and_accounts_that_cross_wait_for_each_other_and_never_both(database: Database) -> None:
    """Two requests lock origin and account in the same order: no deadlock, whoever comes from where."""
    slots = [
        (
            Slot("origin", RateLimit(10_000, 1), b"o%d" % (number % 3)),
            Slot("account", RateLimit(10_000, 1), b"a%d" % (number % 5)),
        )
        for number in range(300)
    ]
    answers = await asyncio.gather(*(take(database, *each) for each in slots))
    assert {type(answer) for answer in answers} == {Granted}


async def test_what_is_swept_is_what_counts_for_nothing(database: Database) -> None:
    """DOS-14: a key a stranger made up is a row for a while."""
    await take(database, at=0)
    for number in range(25):
        await take(database, dataclasses.replace(ORIGIN, key=b"x%d" % number), None, at=number)

    async def swept(at: float) -> int:
        last: bytes | None = b""
        total = 0
        while last is not None:
            async with database.read() as connection:
                before = NOW + timedelta(seconds=at)
                last, count = await attempts.sweep(connection, after=last, most=4, before=before)
            total += count
        return total

    assert await swept(10) == 0
    # An origin's last slot is back after 10 s: those of the seconds 0 to 9, and the one beside the account's.
    assert await swept(20) == 11
    assert await swept(35) == 15
    # The account's is remembered for its longest wait and a day.
    assert await swept(60 + 86_400) == 0
    assert await swept(61 + 86_400) == 1
    assert await rows(database) == {}
