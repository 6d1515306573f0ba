"""Random sequences over two instances of the service and a clock, each answer compared with a model of a few lines."""

import asyncio
import base64
import dataclasses
import json
from collections.abc import Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule, run_state_machine_as_test

from authsvc import app
from authsvc.config import Config
from authsvc.emails import EmailAddress
from authsvc.flows.users import Users
from authsvc.revocations import Revocations
from authsvc.signing import LEEWAY_SECONDS
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import composed

T = TypeVar("T")
Answer = tuple[int, str]
IDLE, LIFETIME, STALE = 1800, 2500, 5
OPERATOR = -1
OK, CREATED, DONE = (200, ""), (201, ""), (204, "")
TAKEN, DISABLED = (409, "email_taken"), (403, "account_disabled")
WRONG, DEAD, OVER = (401, "invalid_credentials"), (401, "invalid_token"), (400, "invalid_grant")
NAMES, INSTANCES = st.sampled_from(["ada", "bob"]), st.integers(0, 1)
# Twice 1300: over, though never idle.
WAITS = st.sampled_from([0, 1, 4, 890, 1300, IDLE])
PASSWORDS = st.sampled_from([make.PASSWORD, "another correct horse"])


@dataclass
class Lived:
    owner: str
    ends: float
    used: float
    newest: int = 1


@dataclass
class Model:
    """What the service promises. Times are seconds; a refresh token is a number of its session."""

    now: float
    passwords: dict[str, str] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    sessions: dict[str, Lived] = field(default_factory=dict)
    # For each instance: when it last looked at the feed, and what has ended since without its doing.
    looked: list[float] = field(default_factory=lambda: [0, 0])
    unseen: tuple[set[str], set[str]] = field(default_factory=lambda: (set(), set()))
    at: int = OPERATOR

    def register(self, owner: str, password: str) -> Answer:
        if owner in self.passwords:
            return TAKEN
        self.passwords[owner] = password
        return CREATED

    def log_in(self, owner: str, password: str) -> Answer:
        if self.passwords.get(owner) != password:
            return WRONG
        return DISABLED if owner in self.disabled else OK

    def refresh(self, session_id: str, number: int) -> Answer:
        session = self.sessions.get(session_id)
        if session and number < session.newest - 1:
            self.end(session_id)
            return OVER
        if not session or self.now >= session.ends or self.now >= session.used + IDLE:
            return OVER
        session.newest, session.used = number + 1, self.now
        return OK

    def change(self, session_id: str, current: str, new: str) -> Answer:
        owner = self.sessions[session_id].owner
        if self.passwords[owner] != current:
            return WRONG
        self.passwords[owner] = new
        self.end_all(owner, kept=session_id)
        return DONE

    def end(self, session_id: str) -> None:
        if self.sessions.pop(session_id, None):
            for at in {0, 1} - {self.at}:
                self.unseen[at].add(session_id)

    def end_all(self, owner: str, kept: str | None = None) -> None:
        for session_id in [each for each, it in self.sessions.items() if it.owner == owner and each != kept]:
            self.end(session_id)

    def look(self, at: int) -> None:
        self.looked[at] = self.now
        self.unseen[at].clear()

    def admits(self, session_id: str, expires: float) -> set[Answer]:
        """Return how the access token may be answered: never a stale yes."""
        session = self.sessions.get(session_id)
        if self.now >= expires + LEEWAY_SECONDS:
            return {DEAD}
        if self.now - self.looked[self.at] > STALE:  # then the database decides
            return {OK} if session and self.now < session.ends else {DEAD}
        if session:
            return {OK}
        return {OK, DEAD} if session_id in self.unseen[self.at] else {DEAD}


@dataclass(frozen=True)
class Pair:
    """What a login or a refresh gave out."""

    session_id: str
    number: int
    access: str = field(repr=False)
    refresh: str = field(repr=False)
    expires: int

    @classmethod
    def of(cls, body: dict[str, str], number: int) -> "Pair":
        payload = body["access_token"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return cls(claims["sid"], number, body["access_token"], body["refresh_token"], claims["exp"])


@dataclass(frozen=True)
class World:
    """Two instances on one database; the machine calls from its thread, and they answer on their loop."""

    loop: asyncio.AbstractEventLoop
    clients: list[Client]
    feeds: list[Revocations]
    clock: FrozenClock
    users: Users
    examples: "count[int]" = field(default_factory=count)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def ask(self, at: int, path: str, body: object = None, token: str = "") -> tuple[Answer, Any]:
        """GET, or POST where there is a body."""

        async def ask() -> tuple[Answer, Any]:
            client, headers = self.clients[at], make.bearer(token) if token else {}
            sent = client.get(path, headers=headers) if body is None else client.post(path, json=body, headers=headers)
            async with sent as response:
                value = await response.json() if response.content_length else {}
                return (response.status, value.get("code", "")), value

        return self.run(ask())

    async def set_disabled(self, email: str, *, disabled: bool) -> None:
        """Do what the operator's command does."""
        user = await self.users.find(EmailAddress(email))
        if user is not None:
            await (self.users.disable if disabled else self.users.enable)(user.public_id)


class Machine(RuleBasedStateMachine):
    """What two people, their devices, thieves and an operator may do."""

    pairs = Bundle("pairs")

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.model = Model(world.clock.now().timestamp())
        self.domain = f"{next(world.examples)}.example.com"
        self.texts: dict[tuple[str, int], str] = {}

    def email(self, name: str) -> str:
        return f"{name}@{self.domain}"

    def ask(self, at: int, path: str, body: object = None, token: str = "") -> tuple[Answer, Any]:
        self.model.at = at
        return self.world.ask(at, path, body, token)

    def look(self, at: int) -> None:
        self.world.run(self.world.feeds[at].refresh())
        self.model.look(at)

    def given(self, body: dict[str, str], number: int) -> Pair:
        """Return the pair of an answer. One number of a session is one text, whoever asks and however often."""
        pair = Pair.of(body, number)
        assert self.texts.setdefault((pair.session_id, number), pair.refresh) == pair.refresh
        assert len(set(self.texts.values())) == len(self.texts)
        return pair

    def act(self, at: int, path: str, body: object, pair: Pair) -> Answer:
        """Do what needs an access token; return the answer where it was good, else DEAD."""
        self.look(at)
        answer, _nothing = self.ask(at, path, body, pair.access)
        good = self.model.admits(pair.session_id, pair.expires) == {OK}
        assert good != (answer == DEAD)
        return answer

    @rule(target=pairs, at=INSTANCES, name=NAMES, pause=WAITS, returns=st.booleans())
    def go_on(self, at: int, name: str, pause: int, returns: bool) -> Any:  # noqa: FBT001 - hypothesis gives it by its name
        """A client that renews its session here and there, and loses an answer; a thief returns to its first token."""
        first = self.log_in(at, name, self.model.passwords[name])
        if not isinstance(first, Pair):
            return multiple()
        self.refresh(at, first)
        pairs = [first, self.refresh(1 - at, first)]
        for where in (at, 1 - at):
            self.wait(pause)
            renewed = self.refresh(where, pairs[-1])
            pairs += [renewed] if isinstance(renewed, Pair) else []
        if returns:
            self.refresh(1 - at, first)
        return multiple(*pairs)

    @initialize(target=pairs, at=INSTANCES)
    def two_are_logged_in(self, at: int) -> Any:
        for each in (0, 1):
            self.look(each)
        for name in ("ada", "bob"):
            self.register(at, name, make.PASSWORD)
        return multiple(*(self.log_in(at, name, make.PASSWORD) for name in ("ada", "bob")))

    @rule(at=INSTANCES, name=NAMES, password=PASSWORDS)
    def register(self, at: int, name: str, password: str) -> None:
        answer, _user = self.ask(at, "/api/auth/register", {"email": self.email(name), "password": password})
        assert answer == self.model.register(name, password)

    @rule(target=pairs, at=INSTANCES, name=NAMES, password=PASSWORDS)
    def log_in(self, at: int, name: str, password: str) -> Any:
        answer, body = self.ask(at, "/api/auth/login", {"email": self.email(name), "password": password})
        assert answer == self.model.log_in(name, password)
        if answer != OK:
            return multiple()
        pair = self.given(body, 1)
        self.model.sessions[pair.session_id] = Lived(name, self.model.now + LIFETIME, self.model.now)
        return pair

    @rule(target=pairs, at=INSTANCES, pair=pairs)
    def refresh(self, at: int, pair: Pair) -> Any:
        answer, body = self.ask(at, "/api/auth/refresh", {"refresh_token": pair.refresh})
        assert answer == self.model.refresh(pair.session_id, pair.number)
        self.use(at, pair, looks=False)
        return self.given(body, pair.number + 1) if answer == OK else multiple()

    @rule(at=INSTANCES, pair=pairs, looks=st.booleans())
    def use(self, at: int, pair: Pair, looks: bool) -> None:  # noqa: FBT001 - hypothesis gives it by its name
        if looks:
            self.look(at)
        answer, _user = self.ask(at, "/api/auth/me", token=pair.access)
        assert answer in self.model.admits(pair.session_id, pair.expires)

    @rule(at=INSTANCES, pair=pairs)
    def log_out(self, at: int, pair: Pair) -> None:
        if self.act(at, "/api/auth/logout", {}, pair) == DONE:
            self.model.end(pair.session_id)
            self.use(at, pair, looks=False)

    @rule(at=INSTANCES, pair=pairs, keep=st.booleans())
    def log_out_everywhere(self, at: int, pair: Pair, keep: bool) -> None:  # noqa: FBT001 - as above
        if self.act(at, "/api/auth/logout-all", {"keep_current": keep}, pair) == DONE:
            owner = self.model.sessions[pair.session_id].owner
            self.model.end_all(owner, kept=pair.session_id if keep else None)

    @rule(at=INSTANCES, pair=pairs, current=PASSWORDS, new=PASSWORDS)
    def change(self, at: int, pair: Pair, current: str, new: str) -> None:
        answer = self.act(at, "/api/auth/password", {"current_password": current, "new_password": new}, pair)
        if answer != DEAD:
            assert answer == self.model.change(pair.session_id, current, new)

    @rule(name=NAMES)
    def disable(self, name: str) -> None:
        self.world.run(self.world.set_disabled(self.email(name), disabled=True))
        self.model.at = OPERATOR
        self.model.disabled.add(name)
        self.model.end_all(name)

    @rule(name=NAMES)
    def enable(self, name: str) -> None:
        self.world.run(self.world.set_disabled(self.email(name), disabled=False))
        self.model.disabled.discard(name)

    @rule(seconds=WAITS)
    def wait(self, seconds: int) -> None:
        self.world.clock.advance(seconds)
        self.model.now += seconds


@pytest.fixture
async def world(
    config: Config, clock: FrozenClock, database: Database, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> World:
    feeds: list[Revocations] = []

    def remembered(*given: Any) -> Revocations:
        feeds.append(Revocations(*given))
        return feeds[-1]

    monkeypatch.setattr(app, "Revocations", remembered)
    # Each looks when the machine says so, and not by itself.
    lives = dataclasses.replace(
        config.sessions, lifetime_seconds=LIFETIME, idle_seconds=IDLE, poll_seconds=60, stale_seconds=STALE
    )
    config = dataclasses.replace(config, sessions=lives)
    clients = [await serve(await composed(config, clock)) for _instance in range(2)]
    return World(asyncio.get_running_loop(), clients, feeds, clock, Users(database, config.sessions, clock))


@pytest.mark.lasting
@pytest.mark.unlimited
async def test_two_instances_answer_as_the_model_does(world: World, pytestconfig: pytest.Config) -> None:
    """REF-01, REF-02, REF-04, REF-05, REF-08, REF-09, REF-10, SES-02, SES-04, SES-09 (RFC 9700 §4.14.2, ASVS 10.4.5)"""
    asked = pytestconfig.getoption("--model-examples")
    profile = settings(
        max_examples=asked or 40,
        stateful_step_count=30,
        # The suite takes the same way each time; whoever asks for more wants other ones.
        derandomize=not asked,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    def run() -> None:
        run_state_machine_as_test(lambda: Machine(world), settings=profile)  # type: ignore[arg-type] # any callable does

    await asyncio.to_thread(run)
