"""Change the password: who is logged in gives the current one, and every other session ends."""

from dataclasses import dataclass
from uuid import UUID

from authsvc.breached_passwords import BreachedPasswords
from authsvc.clock import Clock
from authsvc.events import EndedByPasswordChange, Origin, PasswordChanged, PasswordChangeFailed
from authsvc.limits import Limits
from authsvc.password_policy import InvalidPasswordError, Password, PasswordPolicy
from authsvc.passwords import Passwords
from authsvc.reauthentication import reauthenticate
from authsvc.refusals import Busy, FieldFault, InvalidInput, InvalidToken
from authsvc.store import credentials, sessions
from authsvc.store.credentials import Credential
from authsvc.store.database import Database

ATTEMPTS = 3


@dataclass(frozen=True)
class ChangePassword:
    """Replaces the password of an account."""

    database: Database
    passwords: Passwords
    limits: Limits
    policy: PasswordPolicy
    breached: BreachedPasswords
    clock: Clock

    async def change(self, subject: UUID, session_id: UUID, current: Password, new: Password, origin: Origin) -> None:
        """Replace the `current` password by the `new` one, and end every session but the one that asks.

        Raises:
            InvalidCredentials: it is not the current password.
            InvalidInput: the new password is the address, or is known from breaches (field `new_password`).
            InvalidToken: the session that asks has ended, or the account exists no more.
            RateLimited: too many attempts, for this account or from this origin.
            Busy: too many passwords wait to be hashed.
            DatabaseUnavailable: the database does not answer.
        """
        new_hash = None
        for _attempt in range(ATTEMPTS):
            failed = PasswordChangeFailed(subject, session_id)
            credential = await reauthenticate(
                self.database, self.passwords, current, failed, origin, limits=self.limits
            )
            if new_hash is None:
                self._refuse_address(credential, new)
                await self.breached.refuse(new, "new_password")
                new_hash = await self.passwords.hash(new, origin.waits)
            if await self._replace(credential, new_hash, session_id, origin):
                return
            # Between the look and the lock the hash was replaced: by that of another password, or a login's rehash.
        raise Busy

    def _refuse_address(self, credential: Credential, new: Password) -> None:
        try:
            self.policy.refuse_address(new, credential.email)
        except InvalidPasswordError as error:
            raise InvalidInput([FieldFault("new_password", error.code, error.message)]) from None

    async def _replace(self, credential: Credential, new_hash: str, session_id: UUID, origin: Origin) -> bool:
        subject = credential.subject
        async with self.database.transaction(origin) as transaction:
            # First the hash, then the sessions: a login at the same time either waits and finds another hash, or has
            # opened its session before, and that is ended here.
            if not await credentials.replace_password_hash(
                transaction.connection,
                subject=subject,
                old_hash=credential.password_hash or "",
                new_hash=new_hash,
                now=self.clock.now(),
            ):
                return False
            transaction.record(PasswordChanged(subject, session_id))
            for ended in await sessions.end_all(
                transaction.connection, subject=subject, kind=EndedByPasswordChange, kept=session_id
            ):
                transaction.record(ended)
            if not await sessions.hold(transaction.connection, session_id=session_id, subject=subject):
                raise InvalidToken
        return True
