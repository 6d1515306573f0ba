"""Register: an address and a password become an account."""

from dataclasses import dataclass

from authsvc.breached_passwords import BreachedPasswords
from authsvc.clock import Clock
from authsvc.emails import EmailAddress
from authsvc.entropy import Entropy
from authsvc.events import Origin, RegistrationFailed, RegistrationOfTakenAddress, UserRegistered
from authsvc.limits import Limits
from authsvc.password_policy import InvalidPasswordError, Password, PasswordPolicy
from authsvc.passwords import Passwords
from authsvc.refusals import Busy, DatabaseUnavailable, EmailTaken, FieldFault, InvalidInput
from authsvc.store import users
from authsvc.store.database import Database
from authsvc.store.users import User

__all__ = ["Register", "User"]


@dataclass(frozen=True)
class Register:
    """Opens an account."""

    database: Database
    passwords: Passwords
    limits: Limits
    policy: PasswordPolicy
    breached: BreachedPasswords
    clock: Clock
    entropy: Entropy

    async def __call__(self, email: EmailAddress, password: Password, origin: Origin) -> User:
        """Return the new account.

        Raises:
            EmailTaken: an account with this address exists, or is opened at this moment.
            InvalidInput: the password is the address, or is known from breaches.
            RateLimited: too many accounts were opened from this origin.
            Busy: too many passwords wait to be hashed.
            DatabaseUnavailable: the database does not answer.
        """
        try:
            return await self._admitted(email, password, origin)
        except EmailTaken:
            self.database.publish(RegistrationOfTakenAddress())
            raise
        except InvalidInput:
            self.database.publish(RegistrationFailed())
            raise

    async def _admitted(self, email: EmailAddress, password: Password, origin: Origin) -> User:
        try:
            self.policy.refuse_address(password, email)
        except InvalidPasswordError as error:
            raise InvalidInput([FieldFault("password", error.code, error.message)]) from None
        self.passwords.refuse_when_busy()
        attempt = await self.limits.registration(origin)
        await self.breached.refuse(password, "password")
        try:
            return await self._open(email, await self.passwords.hash(password, origin.waits), origin)
        except (Busy, DatabaseUnavailable):
            await self.limits.unanswered(attempt, origin)
            raise

    async def _open(self, email: EmailAddress, password_hash: str, origin: Origin) -> User:
        async with self.database.transaction(origin) as transaction:
            user = await users.insert(
                transaction.connection,
                public_id=self.entropy.new_id(),
                email=email,
                password_hash=password_hash,
                now=self.clock.now(),
            )
            transaction.record(UserRegistered(user.public_id))
        return user
