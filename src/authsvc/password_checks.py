"""A password compared with that of an account, or of none: one way for every path that asks for one."""

from uuid import UUID

from authsvc.events import (
    LoginFailed,
    Origin,
    PasswordChangeFailed,
    PasswordChecksSlowed,
    UnsupportedHashMet,
    UserDeletionFailed,
)
from authsvc.limits import Attempt, Limits
from authsvc.password_policy import Password
from authsvc.passwords import Passwords, Verdict
from authsvc.refusals import Busy, InvalidToken
from authsvc.store import users
from authsvc.store.database import Database

Failed = LoginFailed | PasswordChangeFailed | UserDeletionFailed


async def matches(
    database: Database,
    passwords: Passwords,
    limits: Limits,
    password: Password,
    stored_hash: str | None,
    *,
    failed: Failed,
    attempt: Attempt,
    origin: Origin,
) -> bool:
    """Tell whether a password is that of the `stored_hash`; if not, record `failed`.

    It is recorded within the time that the refusal is held back, so that what is done for an account, and not for an
    address that has none, does not show.

    Raises:
        InvalidToken: the account of somebody who was logged in was deleted meanwhile.
        Busy: too many passwords wait to be hashed; nothing was compared, and who still waits has his slots back.
        DatabaseUnavailable: the failure cannot be recorded.
    """

    async def record(verdict: Verdict) -> None:
        subject: UUID | None = failed.subject
        if verdict is Verdict.UNSUPPORTED and subject is not None:
            database.publish(UnsupportedHashMet(subject))
        async with database.transaction(origin) as transaction:
            # Of an account that was deleted during the hash nothing is recorded.
            if await users.hold(transaction.connection, subject):
                transaction.record(failed)
                if subject is not None and attempt.slowed:
                    transaction.record(PasswordChecksSlowed(subject))
            elif isinstance(failed, LoginFailed):
                transaction.record(LoginFailed(None))
            else:
                raise InvalidToken

    try:
        return await passwords.verify(password, stored_hash, origin.waits, record) is Verdict.MATCH
    except Busy:
        await limits.unanswered(attempt, origin)
        raise
