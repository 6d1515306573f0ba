"""The password asked again: before what a stolen access token alone must not do."""

from uuid import UUID

from authsvc.events import Origin, PasswordChangeFailed, PasswordChecksSlowed, UnsupportedHashMet, UserDeletionFailed
from authsvc.limits import Limits
from authsvc.password_policy import Password
from authsvc.passwords import Passwords, Verdict
from authsvc.refusals import InvalidCredentials, InvalidToken
from authsvc.store import credentials, users
from authsvc.store.credentials import Credential
from authsvc.store.database import Database


async def reauthenticate(
    database: Database,
    passwords: Passwords,
    password: Password,
    failed: PasswordChangeFailed | UserDeletionFailed,
    origin: Origin,
    *,
    limits: Limits,
) -> Credential:
    """Return the credential that the password was verified with, of the account that `failed` names.

    Raises:
        InvalidToken: the account exists no more.
        InvalidCredentials: it is not the password; `failed` is recorded.
        RateLimited: too many attempts, for this account or from this origin; nothing was hashed.
        Busy: too many passwords wait to be hashed.
        DatabaseUnavailable: the database does not answer.
    """
    subject: UUID = failed.subject
    passwords.refuse_when_busy()
    async with database.read() as connection:
        credential = await credentials.by_subject(connection, subject)
    if credential is None:
        raise InvalidToken
    attempt = await limits.password_check(credential.email, origin)
    verdict = await passwords.verify(password, credential.password_hash, origin.waits)
    if verdict is Verdict.UNSUPPORTED:
        database.publish(UnsupportedHashMet(subject))
    if verdict is not Verdict.MATCH:
        async with database.transaction(origin) as transaction:
            if not await users.hold(transaction.connection, subject):
                raise InvalidToken
            transaction.record(failed)
            if attempt.slowed:
                transaction.record(PasswordChecksSlowed(subject))
        raise InvalidCredentials
    await limits.succeeded(attempt)
    return credential
