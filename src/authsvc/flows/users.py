"""Users: what operators see of accounts and do with them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from authsvc import config
from authsvc.clock import Clock
from authsvc.emails import EmailAddress
from authsvc.events import OPERATOR, EndedByDisabling, EndedByRevocation, SessionEnded, UserDisabled, UserEnabled
from authsvc.passwords import scheme
from authsvc.store import credentials, sessions, users
from authsvc.store.database import Database, Transaction
from authsvc.store.sessions import Session
from authsvc.store.users import User

__all__ = ["Details", "Session", "User", "Users"]


@dataclass(frozen=True)
class Details:
    """Since when an account is disabled, how its password is hashed, and its sessions that can still be renewed."""

    disabled_at: datetime | None
    password: str
    sessions: list[Session]


@dataclass(frozen=True)
class Users:
    """Shows, disables and enables accounts. Each raises DatabaseUnavailable where the database does not answer."""

    database: Database
    settings: config.Sessions
    clock: Clock

    async def find(self, name: EmailAddress | UUID) -> User | None:
        """Return the account with this address or id, or None."""
        async with self.database.read() as connection:
            return await users.find(connection, name)

    async def details(self, subject: UUID) -> Details | None:
        """Return the rest of what is known about an account, or None where there is none any more."""
        now = self.clock.now()
        idle_since = now - timedelta(seconds=self.settings.idle_seconds)
        async with self.database.read() as connection:
            credential = await credentials.by_subject(connection, subject)
            live = await sessions.of_subject(connection, subject, now=now, idle_since=idle_since)
        if credential is None:
            return None
        return Details(credential.disabled_at, scheme(credential.password_hash), live)

    async def disable(self, subject: UUID) -> int | None:
        """Close an account and end its sessions; return how many, or None where it was closed already."""
        async with self.database.transaction(OPERATOR) as transaction:
            # First the account, then its sessions: a login at the same time either waits and finds it closed, or has
            # opened its session before, and that is ended here.
            if not await users.disable(transaction.connection, subject, now=self.clock.now()):
                return None
            transaction.record(UserDisabled(subject))
            return await _end_sessions(transaction, subject, EndedByDisabling)

    async def enable(self, subject: UUID) -> bool:
        """Open a disabled account; return False where it was open already."""
        async with self.database.transaction(OPERATOR) as transaction:
            if not await users.enable(transaction.connection, subject, now=self.clock.now()):
                return False
            transaction.record(UserEnabled(subject))
        return True

    async def end_sessions(self, subject: UUID) -> int:
        """End every session of an account; return how many."""
        async with self.database.transaction(OPERATOR) as transaction:
            return await _end_sessions(transaction, subject, EndedByRevocation)


async def _end_sessions(transaction: Transaction, subject: UUID, kind: type[SessionEnded]) -> int:
    died = await sessions.end_all(transaction.connection, subject=subject, kind=kind)
    for ended in died:
        transaction.record(ended)
    return len(died)
