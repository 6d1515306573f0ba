"""Delete an account: with its sessions, and all that the journal says about it."""

from dataclasses import dataclass
from uuid import UUID

from authsvc.events import OPERATOR, EndedByDeletion, Origin, SessionEnded, UserDeleted, UserDeletionFailed
from authsvc.limits import Limits
from authsvc.password_policy import Password
from authsvc.passwords import Passwords
from authsvc.reauthentication import reauthenticate
from authsvc.refusals import Busy, InvalidToken
from authsvc.store import credentials, journal, sessions, users
from authsvc.store.credentials import Credential
from authsvc.store.database import Database, Transaction

ATTEMPTS = 3
NOWHERE = Origin()
"""Where the journal says that a deletion came from: of who wanted to be forgotten it keeps no address."""


@dataclass(frozen=True)
class DeleteUser:
    """Deletes accounts. The journal keeps one entry: that an account with this subject was deleted."""

    database: Database
    passwords: Passwords
    limits: Limits

    async def delete(self, subject: UUID, session_id: UUID, password: Password, origin: Origin) -> None:
        """Delete the account of who asks, and gives the password again.

        Raises:
            InvalidCredentials: it is not the password.
            InvalidToken: the session that asks has ended, or the account exists no more.
            RateLimited: too many attempts, for this account or from this origin.
            Busy: too many passwords wait to be hashed.
            DatabaseUnavailable: the database does not answer.
        """
        for _attempt in range(ATTEMPTS):
            failed = UserDeletionFailed(subject, session_id)
            credential = await reauthenticate(
                self.database, self.passwords, password, failed, origin, limits=self.limits
            )
            if await self._delete_verified(credential, session_id):
                return
            # Between the look and the lock the hash was replaced: by that of another password, or a login's rehash.
        raise Busy

    async def _delete_verified(self, verified: Credential, session_id: UUID) -> bool:
        subject = verified.subject
        async with self.database.transaction(NOWHERE) as transaction:
            present = await credentials.lock(transaction.connection, subject)
            if present is None:
                raise InvalidToken
            if present.password_hash != verified.password_hash:
                return False
            died = await _delete(transaction, subject)
            if session_id not in {each.session_id for each in died}:
                raise InvalidToken
        # Told, and not recorded: the journal keeps nothing of them.
        for each in died:
            self.database.publish(each)
        return True


async def delete_as_operator(database: Database, subject: UUID) -> bool:
    """Delete an account, without its password; return False where there is none any more.

    Raises:
        DatabaseUnavailable: the database does not answer.
    """
    async with database.transaction(OPERATOR) as transaction:
        if await credentials.lock(transaction.connection, subject) is None:
            return False
        await _delete(transaction, subject)
    return True


async def _delete(transaction: Transaction, subject: UUID) -> list[SessionEnded]:
    """Delete a locked account and what hangs on it; return its sessions."""
    died = await sessions.end_all(transaction.connection, subject=subject, kind=EndedByDeletion)
    await journal.forget(transaction.connection, subject)
    await users.delete(transaction.connection, subject)
    transaction.record(UserDeleted(subject))
    return died
