"""Log in: an address and a password become an access token."""

from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from authsvc.clock import Clock
from authsvc.emails import EmailAddress
from authsvc.entropy import Entropy
from authsvc.events import LoginFailed, LoginSucceeded, PasswordRehashed, UnsupportedHashMet
from authsvc.password_policy import Password
from authsvc.passwords import Passwords, Verdict
from authsvc.refusals import InvalidCredentials, Unavailable
from authsvc.signing import AccessToken, AccessTokenIssuer
from authsvc.store import credentials
from authsvc.store.database import Database


@dataclass(frozen=True)
class Login:
    """Verifies a password, and issues an access token with a new session id."""

    database: Database
    passwords: Passwords
    tokens: AccessTokenIssuer
    clock: Clock
    entropy: Entropy

    async def __call__(self, email: EmailAddress, password: Password) -> AccessToken:
        """Return an access token for the account with this address.

        Raises:
            InvalidCredentials: no such account, or not its password: the same answer after the same work.
            Busy: too many passwords wait to be hashed.
            DatabaseUnavailable: the database does not answer.
        """
        async with self.database.read() as connection:
            credential = await credentials.by_email(connection, email)
        # No connection is held through the hash: a pool held there would be a rate limit nobody chose.
        verdict = await self.passwords.verify(password, credential.password_hash if credential else None)
        if credential is not None and verdict is Verdict.UNSUPPORTED:
            self.database.publish(UnsupportedHashMet(credential.subject))
        if credential is None or credential.password_hash is None or verdict is not Verdict.MATCH:
            self.database.publish(LoginFailed(credential.subject if credential else None))
            raise InvalidCredentials
        if self.passwords.needs_rehash(credential.password_hash):
            # The password is right whether or not its hash can be renewed just now.
            with suppress(Unavailable):
                await self._rehash(credential.subject, password, credential.password_hash)
        session_id = self.entropy.new_id()
        self.database.publish(LoginSucceeded(credential.subject, session_id))
        return self.tokens.issue(credential.subject, session_id)

    async def _rehash(self, subject: UUID, password: Password, old_hash: str) -> None:
        new_hash = await self.passwords.hash(password)
        async with self.database.transaction() as transaction:
            if await credentials.replace_password_hash(
                transaction.connection, subject=subject, old_hash=old_hash, new_hash=new_hash, now=self.clock.now()
            ):
                transaction.record(PasswordRehashed(subject))
