"""The feed of revocations, apart from the database: what is known, how old it is, and when it is forgotten."""

import asyncio
import io
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from authsvc.events import SessionEnded, UserRegistered
from authsvc.refusals import DatabaseUnavailable
from authsvc.revocations import BUCKET_SECONDS, CHUNK, GRACE_SECONDS, Revocations
from tests.conftest import FrozenClock

STALE_SECONDS = 5.0
DEAD, OTHER = UUID(int=1), UUID(int=2)


class Feed:
    """What a database would answer; remembers from where it was asked to begin."""

    def __init__(self) -> None:
        self.answer: tuple[Iterable[tuple[UUID, datetime]], int] | Exception = ((), 10)
        self.asked: list[int] = []

    async def __call__(self, transaction_id: int) -> tuple[Iterable[tuple[UUID, datetime]], int]:
        self.asked.append(transaction_id)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
def revocations(feed: Feed, clock: FrozenClock) -> Revocations:
    return Revocations(feed, clock, poll_seconds=0.01, stale_seconds=STALE_SECONDS)


def in_(clock: FrozenClock, seconds: float) -> datetime:
    return clock.now() + timedelta(seconds=seconds)


def test_before_the_first_look_nothing_is_known_and_it_says_so(revocations: Revocations) -> None:
    assert DEAD not in revocations
    assert revocations.age() == float("inf")
    assert revocations.is_stale()


async def test_each_look_begins_where_the_one_before_said(feed: Feed, revocations: Revocations) -> None:
    await revocations.refresh()
    feed.answer = ((), 12)
    await revocations.refresh()
    await revocations.refresh()
    assert feed.asked == [0, 10, 12]


async def test_what_a_look_tells_is_known_and_twice_is_once(
    feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    feed.answer = ([(DEAD, in_(clock, 60)), (DEAD, in_(clock, 60))], 10)
    await revocations.refresh()
    await revocations.refresh()
    assert DEAD in revocations
    assert OTHER not in revocations
    assert len(revocations) == 1


async def test_it_is_stale_only_when_its_last_good_look_began_too_long_ago(
    feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    await revocations.refresh()
    clock.advance(STALE_SECONDS)
    assert (revocations.age(), revocations.is_stale()) == (STALE_SECONDS, False)
    feed.answer = DatabaseUnavailable()
    await revocations.refresh()
    clock.advance(0.001)
    assert revocations.is_stale()
    feed.answer = ((), 11)
    await revocations.refresh()
    assert (revocations.age(), revocations.is_stale()) == (0, False)


async def test_the_age_counts_from_the_beginning_of_a_look(clock: FrozenClock) -> None:
    """Whoever dies while the answer is on its way is not in it."""

    async def slow(_transaction_id: int) -> tuple[Iterable[tuple[UUID, datetime]], int]:
        clock.advance(STALE_SECONDS + 1)
        return (), 10

    revocations = Revocations(slow, clock, poll_seconds=1, stale_seconds=STALE_SECONDS)
    await revocations.refresh()
    assert (revocations.age(), revocations.is_stale()) == (STALE_SECONDS + 1, True)


@pytest.mark.parametrize("fault", [DatabaseUnavailable(), ValueError("the unforeseen")], ids=["down", "unforeseen"])
async def test_after_a_failed_look_all_is_read_again_and_nothing_is_unlearnt(
    fault: Exception, feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    feed.answer = ([(DEAD, in_(clock, 60))], 10)
    await revocations.refresh()
    feed.answer = fault
    await revocations.refresh()
    assert DEAD in revocations
    feed.answer = ((), 11)
    await revocations.refresh()
    assert feed.asked == [0, 10, 0]
    assert DEAD in revocations


async def test_only_the_unforeseen_is_logged_as_an_error(
    feed: Feed, revocations: Revocations, log: io.StringIO
) -> None:
    feed.answer = DatabaseUnavailable()
    await revocations.refresh()
    assert "revocations_unreadable" not in log.getvalue()
    feed.answer = ValueError("the unforeseen")
    await revocations.refresh()
    assert "revocations_unreadable" in log.getvalue()


async def test_a_number_that_goes_back_has_all_read_again_before_anything_is_decided_by_it(
    feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    """A standby was promoted: what it wrote under numbers that we have passed already would be missed."""
    feed.answer = ((), 1000)
    await revocations.refresh()
    clock.advance(1)
    feed.answer = ([(OTHER, in_(clock, 60))], 900)
    await revocations.refresh()
    assert OTHER in revocations
    assert revocations.age() == 1, "this look is not counted: it began at 1000"
    await revocations.refresh()
    assert feed.asked == [0, 1000, 0]
    assert revocations.age() == 0


def test_what_this_instance_ended_is_known_at_once(revocations: Revocations, clock: FrozenClock) -> None:
    revocations.observe(UserRegistered(OTHER))
    revocations.observe(SessionEnded(OTHER, DEAD, in_(clock, 60)))
    assert DEAD in revocations
    assert OTHER not in revocations


async def test_a_session_is_forgotten_when_its_last_token_has_long_expired_and_not_before(
    feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    feed.answer = ([(DEAD, in_(clock, 60)), (OTHER, in_(clock, 7200))], 10)
    await revocations.refresh()
    feed.answer = ((), 11)
    clock.advance(60 + GRACE_SECONDS)
    await revocations.refresh()
    assert DEAD in revocations
    clock.advance(3 * BUCKET_SECONDS)
    await revocations.refresh()
    assert DEAD not in revocations
    assert OTHER in revocations


async def test_what_was_forgotten_and_is_told_again_is_forgotten_again(
    feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    feed.answer = ([(DEAD, in_(clock, -7200))], 10)
    for _look in range(3):
        await revocations.refresh()
        assert len(revocations) == 0


async def test_many_are_taken_in_and_forgotten_in_pieces(
    feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    """In between, the event loop serves others; and no piece is lost."""
    many = 3 * CHUNK + 1
    feed.answer = ([(UUID(int=number), in_(clock, 60)) for number in range(many)], 10)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.get_running_loop().create_task(others())
    await revocations.refresh()
    beside.cancel()
    assert turns >= 3
    assert len(revocations) == many
    feed.answer = ((), 11)
    clock.advance(60 + GRACE_SECONDS + 3 * BUCKET_SECONDS)
    left = []
    while len(revocations):
        await revocations.refresh()
        left.append(len(revocations))
    assert left == [many - CHUNK, many - 2 * CHUNK, 1, 0]


async def test_it_follows_until_it_is_cancelled_whatever_goes_wrong(feed: Feed, revocations: Revocations) -> None:
    following = asyncio.get_running_loop().create_task(revocations.follow())
    while len(feed.asked) < 2:  # noqa: ASYNC110 - it has no event to tell
        await asyncio.sleep(0.005)
    feed.answer = ValueError("the unforeseen")
    asked = len(feed.asked)
    while len(feed.asked) < asked + 3:  # noqa: ASYNC110 - it has no event to tell
        await asyncio.sleep(0.005)
    assert not following.done()
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
