"""The feed of revocations, apart from the database: what is known, how old it is, and when it is forgotten."""

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from authsvc.events import SessionEnded, UserRegistered
from authsvc.refusals import DatabaseUnavailable
from authsvc.revocations import BUCKET_SECONDS, CHUNK, GRACE_SECONDS, NIL, PAUSE_SECONDS, START, Position, Revocations
from tests.conftest import FrozenClock

POLL_SECONDS, STALE_SECONDS = 60.0, 5.0
DEAD, OTHER = UUID(int=1), UUID(int=2)
SOMEWHERE: Position = (7, UUID(int=7))


@dataclass(frozen=True)
class Answer:
    died: Sequence[tuple[UUID, datetime]] = ()
    following: Position | None = None
    oldest_running: int = 10
    server: str = "one"


class Feed:
    """What a database would answer, page by page, the last again and again; remembers what it was asked for."""

    def __init__(self) -> None:
        self.answers: list[Answer | Exception] = [Answer()]
        self.asked: list[Position] = []

    def will(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)

    async def __call__(self, after: Position) -> Answer:
        self.asked.append(after)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
def revocations(feed: Feed, clock: FrozenClock) -> Revocations:
    return Revocations(feed, clock, POLL_SECONDS, STALE_SECONDS)


def in_(clock: FrozenClock, seconds: float) -> datetime:
    return clock.now() + timedelta(seconds=seconds)


def test_before_the_first_look_nothing_is_known_and_it_says_so(revocations: Revocations) -> None:
    assert DEAD not in revocations
    assert revocations.age() == float("inf")
    assert revocations.is_stale()


async def test_each_look_begins_where_the_one_before_said(feed: Feed, revocations: Revocations) -> None:
    await revocations.refresh()
    feed.will(Answer(oldest_running=12))
    await revocations.refresh()
    await revocations.refresh()
    assert feed.asked == [START, (10, NIL), (12, NIL)]


async def test_the_next_look_begins_at_what_ran_when_the_first_page_was_read(
    feed: Feed, revocations: Revocations
) -> None:
    """By the last page it may have committed, to a place among the pages before."""
    feed.will(Answer(following=SOMEWHERE), Answer(following=(8, DEAD), oldest_running=11), Answer(oldest_running=12))
    await revocations.refresh()
    assert feed.asked == [START, SOMEWHERE, (8, DEAD)]
    await revocations.refresh()
    assert feed.asked[-1] == (10, NIL)


async def test_looks_are_counted_by_what_came_of_them(feed: Feed, revocations: Revocations) -> None:
    assert (revocations.answered, revocations.reads()) == (None, {"success": 0, "failure": 0})
    feed.will(Answer(following=SOMEWHERE), Answer(), DatabaseUnavailable("away"), LookupError(), Answer())
    told = []
    for _ in range(4):
        await revocations.refresh()
        told.append((revocations.answered, *revocations.reads().values()))
    # Two pages are one look.
    assert told == [(True, 1, 0), (False, 1, 1), (False, 1, 2), (True, 2, 2)]


async def test_what_a_look_tells_is_known_and_twice_is_once(
    feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    feed.will(Answer([(DEAD, in_(clock, 60)), (DEAD, in_(clock, 60))]))
    await revocations.refresh()
    await revocations.refresh()
    assert DEAD in revocations
    assert OTHER not in revocations
    assert len(revocations) == 1


async def test_it_is_stale_only_when_its_last_good_look_began_too_long_ago(
    feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    await revocations.refresh()
    feed.will(DatabaseUnavailable())
    clock.advance(STALE_SECONDS)
    await revocations.refresh()
    assert (revocations.age(), revocations.is_stale()) == (STALE_SECONDS, False)
    clock.advance(0.001)
    assert revocations.is_stale()
    feed.will(Answer())
    await revocations.refresh()
    assert (revocations.age(), revocations.is_stale()) == (0, False)


async def test_the_age_counts_from_the_beginning_of_a_look_through_all_its_pages(clock: FrozenClock) -> None:
    """Whoever dies while the answer is on its way is not in it, and perhaps in none of the later pages either."""
    seconds = 3

    async def slow(after: Position) -> Answer:
        clock.advance(seconds)
        return Answer(following=SOMEWHERE if after == START else None)

    revocations = Revocations(slow, clock, POLL_SECONDS, STALE_SECONDS)
    await revocations.refresh()
    assert (revocations.age(), revocations.is_stale()) == (2 * seconds, True)


@pytest.mark.parametrize("fault", [DatabaseUnavailable(), ValueError("the unforeseen")], ids=["down", "unforeseen"])
async def test_a_look_that_fails_goes_on_where_it_was_and_is_as_old_as_its_beginning(
    fault: Exception, feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    feed.will(Answer([(DEAD, in_(clock, 60))], following=SOMEWHERE), fault)
    await revocations.refresh()
    assert DEAD in revocations
    assert revocations.is_stale(), "it has not ended"
    clock.advance(4)
    feed.will(Answer([(OTHER, in_(clock, 60))], oldest_running=20))
    await revocations.refresh()
    assert feed.asked == [START, SOMEWHERE, SOMEWHERE]
    assert DEAD in revocations
    assert OTHER in revocations
    assert (revocations.age(), revocations.is_stale()) == (4, False)
    await revocations.refresh()
    assert feed.asked[-1] == (10, NIL)


async def test_a_look_whose_first_page_fails_has_not_begun(
    feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    await revocations.refresh()
    feed.will(DatabaseUnavailable())
    await revocations.refresh()
    clock.advance(60)
    feed.will(Answer())
    await revocations.refresh()
    assert feed.asked == [START, (10, NIL), (10, NIL)]
    assert revocations.age() == 0


@pytest.fixture
def often(feed: Feed, clock: FrozenClock) -> Revocations:
    return Revocations(feed, clock, 0.5, STALE_SECONDS)


async def test_an_instance_that_was_stopped_does_not_trust_what_it_knew_before(
    feed: Feed, often: Revocations, clock: FrozenClock
) -> None:
    """Its next look is overdue, long before what it knows is too old."""
    await often.refresh()
    clock.advance(often.poll_seconds + PAUSE_SECONDS)
    assert not often.is_stale()
    clock.advance(0.001)
    assert often.is_stale()
    feed.will(DatabaseUnavailable())
    await often.refresh()
    assert often.is_stale(), "no look has begun and ended since"
    feed.will(Answer())
    await often.refresh()
    assert not often.is_stale()


async def test_a_look_that_began_before_the_stop_and_ends_after_it_is_no_reason_to_trust(
    feed: Feed, often: Revocations, clock: FrozenClock
) -> None:
    feed.will(Answer(following=SOMEWHERE), DatabaseUnavailable())
    await often.refresh()
    clock.advance(often.poll_seconds + PAUSE_SECONDS + 0.001)
    feed.will(Answer())
    await often.refresh()
    assert often.age() < STALE_SECONDS
    assert often.is_stale()
    await often.refresh()
    assert not often.is_stale()


async def test_a_look_that_takes_its_time_is_no_stop(clock: FrozenClock) -> None:
    stale = []

    async def slow(_after: Position) -> Answer:
        clock.advance(PAUSE_SECONDS + 1)
        stale.append(slowly.is_stale())
        return Answer()

    slowly = Revocations(slow, clock, 0.5, STALE_SECONDS)
    await slowly.refresh()
    await slowly.refresh()
    assert stale == [True, False], "at first because nothing is known yet"


async def test_only_the_unforeseen_is_logged_as_an_error(
    feed: Feed, revocations: Revocations, log: io.StringIO
) -> None:
    feed.will(DatabaseUnavailable())
    await revocations.refresh()
    assert "revocations_unreadable" not in log.getvalue()
    feed.will(ValueError("the unforeseen"))
    await revocations.refresh()
    assert "revocations_unreadable" in log.getvalue()


async def test_when_another_server_answers_all_is_read_again_before_anything_is_decided_by_it(
    feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    """DBF-08: its numbers mean something else; what it wrote under those that we have passed would be missed."""
    await revocations.refresh()
    clock.advance(1)
    feed.will(Answer([(OTHER, in_(clock, 60))], oldest_running=900, server="two"))
    await revocations.refresh()
    assert OTHER in revocations
    assert revocations.age() == 1, "this look is not counted: it began at 10"
    await revocations.refresh()
    await revocations.refresh()
    assert feed.asked == [START, (10, NIL), START, (900, NIL)]
    assert revocations.age() == 0


async def test_when_another_server_answers_in_the_middle_of_a_look_all_is_read_again(
    feed: Feed, revocations: Revocations
) -> None:
    two = Answer(server="two", oldest_running=900)
    feed.will(Answer(following=SOMEWHERE), replace(two, following=(8, DEAD)), two)
    await revocations.refresh()
    assert revocations.is_stale()
    await revocations.refresh()
    assert not revocations.is_stale()
    await revocations.refresh()
    assert feed.asked == [START, SOMEWHERE, START, (900, NIL)]


def test_what_this_instance_ended_is_known_at_once(revocations: Revocations, clock: FrozenClock) -> None:
    revocations.observe(UserRegistered(OTHER))
    revocations.observe(SessionEnded(OTHER, DEAD, in_(clock, 60)))
    assert DEAD in revocations
    assert OTHER not in revocations


async def test_a_session_is_forgotten_when_its_last_token_has_long_expired_and_not_before(
    feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    feed.will(Answer([(DEAD, in_(clock, 60)), (OTHER, in_(clock, 7200))]))
    await revocations.refresh()
    feed.will(Answer())
    clock.advance(60 + GRACE_SECONDS)
    await revocations.refresh()
    assert DEAD in revocations
    clock.advance(3 * BUCKET_SECONDS)
    await revocations.refresh()
    assert DEAD not in revocations
    assert OTHER in revocations


async def test_what_ends_again_later_is_known_until_the_later_end(
    feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    """A fail-over to an asynchronous standby loses the first end: the session lives on, and is ended a second time."""
    feed.will(Answer([(DEAD, in_(clock, 900))]))
    await revocations.refresh()
    feed.will(Answer([(DEAD, in_(clock, 1800)), (DEAD, in_(clock, 60))]))
    await revocations.refresh()
    assert len(revocations) == 1
    clock.advance(1800)
    feed.will(Answer())
    await revocations.refresh()
    assert DEAD in revocations
    clock.advance(GRACE_SECONDS + 2 * BUCKET_SECONDS)
    await revocations.refresh()
    assert DEAD not in revocations


async def test_what_was_forgotten_and_is_told_again_is_forgotten_again(
    feed: Feed, revocations: Revocations, clock: FrozenClock
) -> None:
    feed.will(Answer([(DEAD, in_(clock, -7200))]))
    for _look in range(3):
        await revocations.refresh()
        assert len(revocations) == 0


async def test_many_are_forgotten_in_pieces(feed: Feed, revocations: Revocations, clock: FrozenClock) -> None:
    """In between, the event loop serves others; and no piece is lost."""
    many = 3 * CHUNK + 1
    feed.will(Answer([(UUID(int=number), in_(clock, 60)) for number in range(many)]))
    await revocations.refresh()
    assert len(revocations) == many
    feed.will(Answer())
    clock.advance(60 + GRACE_SECONDS + 3 * BUCKET_SECONDS)
    left = []
    while len(revocations):
        await revocations.refresh()
        left.append(len(revocations))
    assert left == [many - CHUNK, many - 2 * CHUNK, 1, 0]


async def test_who_follows_has_looked_once_already(feed: Feed, revocations: Revocations) -> None:
    await revocations.refresh()
    following = asyncio.get_running_loop().create_task(revocations.follow())
    for _ in range(5):
        await asyncio.sleep(0)
    assert feed.asked == [START]
    following.cancel()
    await asyncio.wait([following])


async def test_it_follows_until_it_is_cancelled_whatever_goes_wrong(feed: Feed, clock: FrozenClock) -> None:
    revocations = Revocations(feed, clock, 0.01, STALE_SECONDS)
    following = asyncio.get_running_loop().create_task(revocations.follow())
    while len(feed.asked) < 2:  # noqa: ASYNC110 - it has no event to tell
        await asyncio.sleep(0.005)
    feed.will(ValueError("the unforeseen"))
    asked = len(feed.asked)
    while len(feed.asked) < asked + 3:  # noqa: ASYNC110 - it has no event to tell
        await asyncio.sleep(0.005)
    assert not following.done()
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following
