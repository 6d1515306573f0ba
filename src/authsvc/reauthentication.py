"""The password asked again: before what a stolen access token alone must not do."""

from authsvc import password_checks
from authsvc.events import Origin, PasswordChangeFailed, UserDeletionFailed
from authsvc.limits import Limits
from authsvc.password_policy import Password
from authsvc.passwords import Passwords
from authsvc.refusals import InvalidCredentials, InvalidToken
from authsvc.store import credentials
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
    passwords.refuse_when_busy()
    async with database.read() as connection:
        credential = await credentials.by_subject(connection, failed.subject)
    if credential is None:
        raise InvalidToken
    attempt = await limits.password_check(credential.email, origin)
    if not await password_checks.matches(
        database, passwords, limits, password, credential.password_hash, failed=failed, attempt=attempt, origin=origin
    ):
        raise InvalidCredentials
    await limits.succeeded(attempt)
    return credential
