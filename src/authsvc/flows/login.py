"""Log in: an address and a password open a session, and become its first pair of tokens."""

from dataclasses import dataclass
from typing import NoReturn
from uuid import UUID

from authsvc import password_checks
from authsvc.clock import Clock
from authsvc.emails import EmailAddress
from authsvc.entropy import Entropy
from authsvc.events import (
    EndedByLogin,
    LoginFailed,
    LoginOfDisabledUser,
    LoginSucceeded,
    Origin,
    PasswordRehashed,
)
from authsvc.limits import Attempt, Limits
from authsvc.password_policy import Password
from authsvc.passwords import Passwords
from authsvc.refresh_tokens import InvalidRefreshTokenError
from authsvc.refusals import AccountDisabled, Busy, DatabaseUnavailable, InvalidCredentials
from authsvc.session_tokens import SessionTokens, TokenPair
from authsvc.store import credentials, sessions, users
from authsvc.store.credentials import Credential
from authsvc.store.database import Database, Transaction

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
    limits: Limits
    tokens: SessionTokens
    clock: Clock
    entropy: Entropy

    async def __call__(
        self, email: EmailAddress, password: Password, origin: Origin, *, replaces: str | None = None
    ) -> TokenPair:
        """Return the first tokens of a new session of the account with this address.

        Where they take the place of the refresh token `replaces` in a browser, its session ends, whosever it was
        (ASVS 7.2.4). A text that is no refresh token of ours does nothing.

        Raises:
            InvalidCredentials: no such account, or not its password: the same answer after the same work.
            AccountDisabled: the right password of an account that an operator has closed.
            RateLimited: too many attempts, for this account or from this origin: nothing was looked up or hashed.
            Busy: too many passwords wait to be hashed.
            DatabaseUnavailable: the database does not answer.
        """
        self.passwords.refuse_when_busy()
        attempt, replaced = await self.limits.password_check(email, origin), self._session_of(replaces)
        for _try in range(ATTEMPTS):
            credential = await self._verified(email, password, attempt, origin)
            new_hash = await self._renewed_hash(password, credential, origin)
            pair = await self._open(credential, new_hash, origin, replaced)
            if pair is not None:
                return pair
            # Between the look and the lock the hash was replaced, or the account disabled or deleted: look again. What
            # was taken has been given back.
            attempt = Attempt()
        raise Busy

    def mark(self, email: EmailAddress) -> str:
        """Return by what a browser that has logged in to this account is known from then on, for KNOWN_SECONDS."""
        return self.limits.mark(email)

    def _session_of(self, refresh_token: str | None) -> UUID | None:
        try:
            return None if refresh_token is None else self.tokens.refresh_tokens.read(refresh_token).session_id
        except InvalidRefreshTokenError:
            return None

    async def _verified(self, email: EmailAddress, password: Password, attempt: Attempt, origin: Origin) -> Credential:
        try:
            async with self.database.read() as connection:
                credential = await credentials.by_email(connection, email)
        except DatabaseUnavailable:
            await self.limits.unanswered(attempt, origin)
            raise
        # No connection is held through the hash: a pool held there would be a rate limit nobody chose.
        is_right = await password_checks.matches(
            self.database,
            self.passwords,
            self.limits,
            password,
            credential.password_hash if credential else None,
            failed=LoginFailed(credential.subject if credential else None),
            attempt=attempt,
            origin=origin,
        )
        if credential is None or not is_right:
            raise InvalidCredentials
        if credential.disabled_at is not None:
            await self._refuse_disabled(credential.subject, origin)
        await self.limits.succeeded(attempt)
        return credential

    async def _refuse_disabled(self, subject: UUID, origin: Origin) -> NoReturn:
        async with self.database.transaction(origin) as transaction:
            is_held = await users.hold(transaction.connection, subject)
            transaction.record(LoginOfDisabledUser(subject) if is_held else LoginFailed(None))
        raise AccountDisabled if is_held else InvalidCredentials

    async def _renewed_hash(self, password: Password, credential: Credential, origin: Origin) -> str | None:
        if credential.password_hash is None or not self.passwords.needs_rehash(password, credential.password_hash):
            return None
        try:
            return await self.passwords.hash(password, origin.waits)
        except Busy:  # the password is right whether or not its hash can be renewed just now
            return None

    async def _open(
        self, credential: Credential, new_hash: str | None, origin: Origin, replaced: UUID | None
    ) -> TokenPair | None:
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
            await self._end_others(transaction, subject, session_id, others, replaced)
        return self.tokens.issue(subject, session_id, FIRST, expires_at, now)

    async def _end_others(
        self, transaction: Transaction, subject: UUID, opened: UUID, others: int, replaced: UUID | None
    ) -> None:
        if replaced is not None:
            # Before the oldest: who waits here for somebody holds no session that another could wait for.
            ended = await sessions.end(transaction.connection, session_id=replaced, kind=EndedByLogin)
            if ended is not None:
                transaction.record(ended)
        most = self.tokens.settings.per_user
        if others >= most:
            for evicted in await sessions.end_oldest(
                transaction.connection, subject=subject, opened=opened, others=most - 1
            ):
                transaction.record(evicted)
