"""The queue before the hashes: who waits for whom, who is refused, and who is dropped."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import SimpleNamespace

import pytest

from authsvc import hash_queue
from authsvc.hash_queue import HashFigures, HashQueue
from authsvc.refusals import Busy
from authsvc.tallies import Tally

PATIENCE = 10
Make = Callable[..., HashQueue]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[HashQueue] = []

    def build(
        threads: int = 1, seconds: float = 5, mean: float = 0.001, figures: HashFigures | None = None
    ) -> HashQueue:
        made.append(HashQueue("hash", threads, seconds, mean, figures or HashFigures()))
        return made[-1]

    yield build
    for queue in made:
        await queue.close()


@pytest.fixture
async def queue(make: Make) -> HashQueue:
    return make()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - threads tell no asyncio.Event
            await asyncio.sleep(0.001)


async def test_hashes_run_in_threads_of_their_own_behind_the_loop(queue: HashQueue) -> None:
    def where() -> tuple[str, int]:
        return threading.current_thread().name, os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    (name, nice), _began = await queue.run(where)
    assert name.startswith("hash")
    assert nice >= 10
    assert os.getpriority(os.PRIO_PROCESS, threading.main_thread().native_id or 0) < nice or nice == 19


async def test_as_many_run_at_once_as_there_are_threads(make: Make) -> None:
    queue = make(threads=3)
    barrier = threading.Barrier(3)
    await asyncio.gather(*(queue.run(lambda: barrier.wait(PATIENCE)) for _ in range(3)))


def test_where_priorities_are_of_processes_none_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_queue, "sys", SimpleNamespace(platform="darwin"))
    monkeypatch.setattr(hash_queue, "os", None)
    hash_queue._yield_the_cpu()


class Held:
    """Work that ends when it is let go."""

    def __init__(self) -> None:
        self.started = threading.Event()
        self.gate = threading.Event()

    def __call__(self) -> str:
        self.started.set()
        assert self.gate.wait(PATIENCE)
        return "done"


def quick() -> str:
    return "done"


async def test_who_would_wait_too_long_is_told_when_to_come_back(make: Make) -> None:
    """DOS-01 (ASVS 15.2.2)."""
    queue, held = make(threads=2, mean=2.6), Held()
    async with asyncio.TaskGroup() as group:
        # Two run at once, two wait 2.6 s for these, and the next would wait 5.2 s.
        for _ in range(4):
            group.create_task(queue.run(held))
        await until(lambda: queue.pending == 4)
        with pytest.raises(Busy) as asked:
            queue.refuse_when_full()
        with pytest.raises(Busy) as caught:
            await queue.run(held)
        assert caught.value.retry_after == asked.value.retry_after == 6
        assert queue.pending == 4
        held.gate.set()
    await until(lambda: queue.pending == 0)
    queue.refuse_when_full()
    assert (await queue.run(held))[0] == "done"


async def test_a_free_thread_is_given_however_slow_the_last_hashes_were(make: Make) -> None:
    queue = make(seconds=0.1, mean=1000)
    assert (await queue.run(quick))[0] == "done"


async def test_a_hash_whose_caller_went_away_counts_until_its_thread_is_free(queue: HashQueue) -> None:
    """LGN-07: giving up must not let more in than there are threads."""
    held = Held()
    async with asyncio.TaskGroup() as group:
        caller = group.create_task(queue.run(held))
        await until(held.started.is_set)
        caller.cancel()
    assert caller.cancelled()
    assert queue.pending == 1
    queue._mean_seconds = 1000
    with pytest.raises(Busy):
        await queue.run(quick)
    held.gate.set()
    await until(lambda: queue.pending == 0)


async def test_a_waiting_hash_whose_caller_went_away_is_never_begun(queue: HashQueue) -> None:
    running, waiting = Held(), Held()
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run(running))
        await until(running.started.is_set)
        caller = group.create_task(queue.run(waiting))
        await until(lambda: queue.pending == 2)
        caller.cancel()
        await until(lambda: queue.pending == 1)
        running.gate.set()
    await queue.run(quick)
    assert not waiting.started.is_set()
    await until(lambda: queue.pending == 0)


async def test_work_that_fails_gives_its_place_back(queue: HashQueue) -> None:
    def fail() -> None:
        raise LookupError

    before = queue._mean_seconds
    with pytest.raises(LookupError):
        await queue.run(fail)
    await until(lambda: queue.pending == 0)
    assert queue._mean_seconds == before


async def test_the_time_of_each_hash_is_counted_and_moves_the_mean(make: Make) -> None:
    figures = HashFigures()
    queue = make(mean=16, figures=figures)
    await queue.run(quick)
    await queue.run(quick)
    await until(lambda: sum(figures.durations.counts) == 2)
    assert 0 <= figures.durations.sum < 16
    assert queue._mean_seconds < 16


class Listing(Tally):
    """A tally that remembers each duration."""

    def __init__(self, bounds: Sequence[float]) -> None:
        super().__init__(bounds)
        self.seen: list[float] = []

    def observe(self, seconds: float) -> None:
        super().observe(seconds)
        self.seen.append(seconds)


async def test_the_time_in_the_queue_is_counted_apart_from_that_of_the_hash(make: Make) -> None:
    waits = Listing(())
    queue, held = make(figures=HashFigures(waits=waits)), Held()
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run(held))
        await until(held.started.is_set)
        group.create_task(queue.run(quick))
        await until(lambda: queue.pending == 2)
        assert queue.running == 1
        held_until = time.monotonic() + 0.03
        await until(lambda: time.monotonic() > held_until)
        held.gate.set()
    await until(lambda: len(waits.seen) == 2)
    # Of the second, which itself took no time.
    assert waits.seen[1] >= 0.03


async def test_what_is_shed_is_counted_by_why(make: Make) -> None:
    figures = HashFigures()
    queue, held = make(figures=figures, mean=1000), Held()
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run(held))
        await until(held.started.is_set)
        with pytest.raises(Busy):
            await queue.run(quick)
        assert figures.shed == {"queue_full": 1, "client_gone": 0}
        queue._mean_seconds = 0.001
        caller = group.create_task(queue.run(quick))
        await until(lambda: queue.pending == 2)
        caller.cancel()
        await until(lambda: queue.pending == 1)
        held.gate.set()
    with pytest.raises(Busy):
        await queue.run(quick, lambda: False)
    await until(lambda: queue.pending == 0)
    assert figures.shed == {"queue_full": 1, "client_gone": 2}


async def test_closing_lets_the_running_hash_end_and_begins_no_other(queue: HashQueue) -> None:
    """PWD-11, DEP-08."""
    running, waiting = Held(), Held()
    async with asyncio.TaskGroup() as group:
        answered = group.create_task(queue.run(running))
        await until(running.started.is_set)
        dropped = group.create_task(queue.run(waiting))
        await until(lambda: queue.pending == 2)
        closed = group.create_task(queue.close())
        await until(dropped.done)
        assert not closed.done()
        running.gate.set()
    assert answered.result()[0] == "done"
    assert dropped.cancelled()
    assert not waiting.started.is_set()
    assert not [thread for thread in threading.enumerate() if thread in queue._executor._threads]


async def test_who_has_gone_makes_room_for_who_comes(make: Make) -> None:
    """The estimated wait does not count them: one client alone could keep everybody out by hanging up."""
    queue, held, gone = make(seconds=1, mean=1), Held(), Held()
    here = True
    async with asyncio.TaskGroup() as group:
        running = group.create_task(queue.run(held, lambda: here))
        await until(held.started.is_set)
        left = group.create_task(refusal(queue.run(gone, lambda: here)))
        await until(lambda: queue.pending == 2)
        with pytest.raises(Busy):
            queue.refuse_when_full()
        here = False
        stays = group.create_task(queue.run(quick))
        await asyncio.sleep(0)  # it has taken its place before the thread looks at who is next
        assert queue.pending == 2
        held.gate.set()
    # What had begun is ended and counted to its end, though nobody waits for it.
    assert running.result()[0] == stays.result()[0] == "done"
    assert isinstance(left.result(), Busy)
    assert not gone.started.is_set()
    await until(lambda: queue.pending == 0)


async def refusal(run: Awaitable[object]) -> Exception | None:
    try:
        await run
    except Busy as busy:
        return busy
    return None


async def test_what_nobody_wants_is_no_hash(make: Make) -> None:
    figures = HashFigures()
    queue = make(figures=figures, mean=1)
    with pytest.raises(Busy):
        await queue.run(quick, lambda: False)
    await until(lambda: queue.pending == 0)
    assert (sum(figures.durations.counts), queue._mean_seconds) == (0, 1)


async def test_it_is_told_when_a_hash_began_and_not_when_it_was_asked_for(queue: HashQueue) -> None:
    held = Held()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(queue.run(held))
        await until(held.started.is_set)
        second = group.create_task(queue.run(quick))
        await until(lambda: queue.pending == 2)
        released = time.monotonic()
        held.gate.set()
    assert first.result()[1] <= released <= second.result()[1] <= time.monotonic()
