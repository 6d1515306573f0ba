"""The flows on a real database, and the means to begin several acts at the same moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

import argon2
import pytest

from authsvc import app
from authsvc.breached_passwords import BreachedPasswords
from authsvc.config import Config
from authsvc.emails import EmailAddress
from authsvc.entropy import SystemEntropy
from authsvc.events import OPERATOR
from authsvc.flows.change_password import ChangePassword
from authsvc.flows.delete_user import DeleteUser
from authsvc.flows.login import Login
from authsvc.flows.refresh import Refresh
from authsvc.flows.sessions import Sessions
from authsvc.limits import Limits
from authsvc.password_policy import Password, PasswordPolicy
from authsvc.passwords import Passwords
from authsvc.refusals import Refusal
from authsvc.session_tokens import SessionTokens, TokenPair
from authsvc.store import sessions, users
from authsvc.store.database import Database
from tests import make
from tests.conftest import CHEAP, FrozenClock

PASSWORD = Password(make.PASSWORD, make.PASSWORD)
HASH = argon2.PasswordHasher(CHEAP.passes, CHEAP.memory_kib, CHEAP.lanes).hash(make.PASSWORD)


async def at_once(*acts: Callable[[], Awaitable[object]], turn: int = 0) -> list[object]:
    """Do all these at the same moment, each on a connection of its own; return what each returned, or its refusal.

    With each turn another one is the first, and the others begin a little later: so they fall on each step of it.
    """
    barrier = asyncio.Barrier(len(acts))

    async def do(number: int, act: Callable[[], Awaitable[object]]) -> object:
        await barrier.wait()
        if number != turn % len(acts):
            await asyncio.sleep(turn // len(acts) % 8 * 0.0005)
        try:
            return await act()
        except Refusal as refusal:
            return type(refusal)

    return await asyncio.gather(*(do(number, act) for number, act in enumerate(acts)))


async def until_somebody_waits(database: Database) -> None:
    """Wait until a statement waits for a lock, in this test's database."""
    waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with asyncio.timeout(30), database.read() as connection:
        while not await connection.fetchval(waits):
            await connection.execute("select pg_sleep(0.01)")


@dataclass(frozen=True)
class Flows:
    """What the service does for somebody, without its doors."""

    database: Database
    passwords: Passwords
    tokens: SessionTokens
    clock: FrozenClock

    @property
    def limits(self) -> Limits:
        return Limits.none(self.database, self.clock)

    @property
    def login(self) -> Login:
        return Login(self.database, self.passwords, self.limits, self.tokens, self.clock, SystemEntropy())

    @property
    def change_password(self) -> ChangePassword:
        policy, breached = PasswordPolicy(8, 256, frozenset()), BreachedPasswords(None, 1)
        return ChangePassword(self.database, self.passwords, self.limits, policy, breached, self.clock)

    @property
    def delete_user(self) -> DeleteUser:
        return DeleteUser(self.database, self.passwords, self.limits)

    @property
    def sessions(self) -> Sessions:
        return Sessions(self.database, self.tokens, self.clock)

    async def refresh(self, token: str) -> TokenPair:
        return await Refresh(self.database, self.tokens, self.clock)(token, OPERATOR)

    async def open_session(self, subject: UUID) -> TokenPair:
        """Return the pair of a new session, without the work of a login."""
        session_id, now = SystemEntropy().new_id(), self.clock.now()
        async with self.database.read() as connection:
            await sessions.open_session(
                connection,
                session_id=session_id,
                subject=subject,
                password_hash=HASH,
                now=now,
                expires_at=self.tokens.expires_at(now),
                access_until=self.tokens.access_until(now),
                origin=OPERATOR,
                authentication_methods=["pwd"],
            )
        return self.tokens.issue(subject, session_id, 1, self.tokens.expires_at(now), now)

    async def open_account(self, number: int = 0, password_hash: str = HASH) -> tuple[UUID, EmailAddress]:
        subject, email = UUID(int=number + 1), EmailAddress(f"ada{number}@example.com")
        async with self.database.read() as connection:
            await users.insert(
                connection,
                public_id=subject,
                email=email,
                password_hash=password_hash,
                now=self.clock.now(),
            )
        return subject, email

    async def log_in(self, email: EmailAddress, password: Password = PASSWORD) -> TokenPair:
        return await self.login(email, password, OPERATOR)

    def logging_in(self, email: EmailAddress) -> Callable[[], Awaitable[TokenPair]]:
        return partial(self.log_in, email)

    def session_of(self, pair: TokenPair) -> UUID:
        return self.tokens.refresh_tokens.read(pair.refresh_token).session_id

    def counter_of(self, pair: TokenPair) -> int:
        return self.tokens.refresh_tokens.read(pair.refresh_token).counter

    async def living(self, subject: UUID) -> dict[UUID, int]:
        """Return the sessions of an account, with the number of each one's newest refresh token."""
        async with self.database.read() as connection:
            rows = await connection.fetch("select id, counter from sessions where subject = $1", subject)
        return {row["id"]: row["counter"] for row in rows}

    async def revoked(self) -> dict[UUID, datetime]:
        """Return which sessions have ended, and until when tokens of each may be around."""
        async with self.database.read() as connection:
            rows = await connection.fetch("select session_id, expires_at from revocations")
        return {row["session_id"]: row["expires_at"] for row in rows}

    async def assert_ended(self, pair: TokenPair) -> None:
        """Neither of its tokens is good any more: every instance hears of it until the last has expired."""
        session_id = self.session_of(pair)
        assert (await self.revoked())[session_id] >= self.tokens.access_until(self.clock.now())
        async with self.database.read() as connection:
            assert await connection.fetchval("select count(*) from sessions where id = $1", session_id) == 0
        assert await refusal_of(self.refresh(pair.refresh_token)) == "invalid_grant"


async def refusal_of(act: Awaitable[object]) -> str | None:
    """Return the code of the refusal, or None where it is done."""
    try:
        await act
    except Refusal as refusal:
        return refusal.code
    return None


@pytest.fixture
async def flows(config: Config, clock: FrozenClock) -> AsyncIterator[Flows]:
    rooms = await asyncio.to_thread(app._Rooms.of, config, clock, SystemEntropy())
    await rooms.database.open()
    yield Flows(rooms.database, rooms.passwords, rooms.tokens, clock)
    await rooms.passwords.close()
    await rooms.database.close()
