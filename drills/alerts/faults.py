"""The faults: each begins when its block is entered, lasts as long as the block, and says which alerts it explains."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import count, cycle, islice
from typing import Any

from drills.alerts.people import Client, Person, address_of
from drills.alerts.scene import Scene
from drills.beside import beside

STORM = 100
STORM_PAUSE_SECONDS = 0.5
GUESSES_A_SECOND = 20
# So many log in again and again that even a busy machine hashes for all of them: what is broken here is another thing.
STOLEN = 4
REPLAY_PAUSE_SECONDS = 0.3

_numbers = count(1 << 20)


@dataclass(frozen=True)
class Fault:
    """What is broken, and what must, and may, be told of it."""

    key: str
    name: str
    what: str
    last: Callable[[Scene], AbstractAsyncContextManager[None]]
    wanted: frozenset[str]
    """Alerts that must arrive, and resolve once it is over."""
    explained: frozenset[str] = frozenset()
    """Alerts that it explains as well."""


@asynccontextmanager
async def database_stopped(scene: Scene) -> AsyncIterator[None]:
    """Stop PostgreSQL as an administrator does; start it at the end."""
    await asyncio.to_thread(scene.server.stop)
    try:
        yield
    finally:
        await asyncio.to_thread(scene.server.start)


@asynccontextmanager
async def hashing_saturated(scene: Scene) -> AsyncIterator[None]:
    """Have many more log in than can be hashed for, each with the right password."""

    async def log_in(client: Client, person: Person) -> None:
        while True:
            await client.ask("login", _anywhere(), body=person.credentials)
            await asyncio.sleep(STORM_PAUSE_SECONDS)

    async with _attack(scene, log_in, _chosen(scene, STORM)):
        yield


@asynccontextmanager
async def feed_stalled(scene: Scene) -> AsyncIterator[None]:
    """Hold the table that the feed of ended sessions reads, as VACUUM FULL does; nobody else reads it."""
    async with await scene.connect() as connection:
        await connection.execute("lock table revocations in access exclusive mode")
        yield


@asynccontextmanager
async def tokens_replayed(scene: Scene) -> AsyncIterator[None]:
    """Present refresh tokens that were used twice over, as who has stolen them does, again and again."""

    async def replay(client: Client, person: Person) -> None:
        while True:
            tokens = await client.ask("login", _anywhere(), body=person.credentials)
            stolen = tokens["refresh_token"] if tokens else ""
            for _renewal in range(2):
                if tokens:
                    body = {"refresh_token": tokens["refresh_token"]}
                    tokens = await client.ask("refresh", address_of(person.number), body=body)
            for _replay in range(3):
                await client.ask("refresh", _anywhere(), body={"refresh_token": stolen})
                await asyncio.sleep(REPLAY_PAUSE_SECONDS)

    async with _attack(scene, replay, _chosen(scene, STOLEN)):
        yield


@asynccontextmanager
async def passwords_guessed(scene: Scene) -> AsyncIterator[None]:
    """Try the passwords of others at many accounts and from many addresses, slowly enough for each limit."""

    async def guess(client: Client, _person: Person) -> None:
        while True:
            number = next(_numbers)
            body = {"email": f"nobody-{number}@example.com", "password": f"Spring-{number}!"}
            await client.ask("login", _anywhere(), body=body)
            # The answer comes half a second late.
            await asyncio.sleep(0.5)

    async with _attack(scene, guess, _chosen(scene, GUESSES_A_SECOND)):
        yield


def _anywhere() -> str:
    return address_of(next(_numbers))


def _chosen(scene: Scene, number: int) -> list[Person]:
    return list(islice(cycle(scene.people), number))


@asynccontextmanager
async def _attack(
    scene: Scene, act: Callable[[Client, Person], Coroutine[Any, Any, None]], people: Sequence[Person]
) -> AsyncIterator[None]:
    client = Client(scene.instance.url)
    try:
        async with beside(*(act(client, person) for person in people)):
            yield
    finally:
        await client.close()


_LATENCY = frozenset({"LoginLatencyBudgetBurn", "RefreshLatencyBudgetBurn", "MeLatencyBudgetBurn"})

_ALL = (
    Fault(
        "database",
        "database stopped",
        "PostgreSQL is stopped",
        database_stopped,
        frozenset({
            "DatabaseUnreachable", "LimiterBlind", "LoginAvailabilityBudgetBurn", "RefreshAvailabilityBudgetBurn",
            "MeAvailabilityBudgetBurn",
        }),
        _LATENCY | {"DatabaseFaults", "FeedAgeBudgetBurn", "RevocationFeedStale", "PoolExhausted"},
    ),
    Fault(
        "hashing",
        "hashing saturated",
        f"{STORM} clients log in with the right password, again and again",
        hashing_saturated,
        frozenset({"HashingShed", "LoginAvailabilityBudgetBurn"}),
        _LATENCY | {"EventLoopLagging"},
    ),
    Fault(
        "feed",
        "revocation feed stalled",
        "the table that the feed of ended sessions reads is locked, as VACUUM FULL does",
        feed_stalled,
        frozenset({"RevocationFeedStale", "FeedAgeBudgetBurn"}),
        frozenset({"DatabaseFaults"}),
    ),
    Fault(
        "replay",
        "spent refresh tokens replayed",
        f"refresh tokens of {STOLEN} people come back that were used already, again and again",
        tokens_replayed,
        frozenset({"RefreshReuseSurge"}),
    ),
    Fault(
        "guess",
        "passwords guessed",
        "passwords are guessed from many addresses, for many accounts",
        passwords_guessed,
        frozenset({"LoginFailureSurge"}),
    ),
)  # fmt: skip
ALL = {fault.key: fault for fault in _ALL}
"""By key, in the order of the drill."""
