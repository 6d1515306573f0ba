"""Log in: an address and a password open a session, and become its first pair of tokens."""

from dataclasses import dataclass
from typing import NoReturn

from authsvc.clock import Clock
from authsvc.emails import EmailAddress
from authsvc.entropy import Entropy
from authsvc.events import (
    LoginFailed,
    LoginOfDisabledUser,
    LoginSucceeded,
    Origin,
    PasswordRehashed,
    UnsupportedHashMet,
)
from authsvc.password_policy import Password
from authsvc.passwords import Passwords, Verdict
from authsvc.refusals import AccountDisabled, Busy, InvalidCredentials
from authsvc.session_tokens import SessionTokens, TokenPair
from authsvc.store import credentials, sessions
from authsvc.store.credentials import Credential
from authsvc.store.database import Database

ATTEMPTS = 3
FIRST = 1
"""The number of a session's first refresh token."""
METHODS = ("pwd",)
"""RFC 8176 §2."""


@dataclass(frozen=True)
class Login:
    """Verifies a password, and opens a session."""

    database: Database
    passwords: Passwords
    tokens: SessionTokens
    clock: Clock
    entropy: Entropy

    async def __call__(self, email: EmailAddress, password: Password, origin: Origin) -> TokenPair:
        """Return the first tokens of a new session of the account with this address.

        Raises:
            InvalidCredentials: no such account, or not its password: the same answer after the same work.
            AccountDisabled: the right password of an account that an operator has closed.
            Busy: too many passwords wait to be hashed.
            DatabaseUnavailable: the database does not answer.
        """
        for _attempt in range(ATTEMPTS):
            credential = await self._verified(email, password, origin)
            pair = await self._open(credential, await self._renewed_hash(password, credential, origin), origin)
            if pair is not None:
                return pair
            # Between the look and the lock the hash was replaced, or the account disabled or deleted: look again.
        raise Busy

    async def _verified(self, email: EmailAddress, password: Password, origin: Origin) -> Credential:
        self.passwords.refuse_when_busy()
        async with self.database.read() as connection:
            credential = await credentials.by_email(connection, email)
        # No connection is held through the hash: a pool held there would be a rate limit nobody chose.
        verdict = await self.passwords.verify(password, credential.password_hash if credential else None, origin.waits)
        if credential is None or verdict is not Verdict.MATCH:
            await self._fail(credential, verdict, origin)
        if credential.disabled_at is not None:
            async with self.database.transaction(origin) as transaction:
                transaction.record(LoginOfDisabledUser(credential.subject))
            raise AccountDisabled
        return credential

    async def _fail(self, credential: Credential | None, verdict: Verdict, origin: Origin) -> NoReturn:
        if credential is not None and verdict is Verdict.UNSUPPORTED:
            self.database.publish(UnsupportedHashMet(credential.subject))
        async with self.database.transaction(origin) as transaction:
            transaction.record(LoginFailed(credential.subject if credential else None))
        raise InvalidCredentials

    async def _renewed_hash(self, password: Password, credential: Credential, origin: Origin) -> str | None:
        if credential.password_hash is None or not self.passwords.needs_rehash(credential.password_hash):
            return None
        try:
            return await self.passwords.hash(password, origin.waits)
        except Busy:  # the password is right whether or not its hash can be renewed just now
            return None

    async def _open(self, credential: Credential, new_hash: str | None, origin: Origin) -> TokenPair | None:
        now, session_id, subject = self.clock.now(), self.entropy.new_id(), credential.subject
        password_hash, expires_at = credential.password_hash or "", self.tokens.expires_at(now)
        async with self.database.transaction(origin) as transaction:
            if new_hash is not None and await credentials.replace_password_hash(
                transaction.connection, subject=subject, old_hash=password_hash, new_hash=new_hash, now=now
            ):
                password_hash = new_hash
                transaction.record(PasswordRehashed(subject))
            others = await sessions.open_session(
                transaction.connection,
                session_id=session_id,
                subject=subject,
                password_hash=password_hash,
                now=now,
                expires_at=expires_at,
                access_until=self.tokens.access_until(now),
                origin=origin,
                authentication_methods=METHODS,
            )
            if others is None:
                return None
            transaction.record(LoginSucceeded(subject, session_id))
            if others >= self.tokens.settings.per_user:
                for ended in await sessions.end_oldest(
                    transaction.connection,
                    subject=subject,
                    opened=session_id,
                    others=self.tokens.settings.per_user - 1,
                ):
                    transaction.record(ended)
        return self.tokens.issue(subject, session_id, FIRST, expires_at)
