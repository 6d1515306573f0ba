"""What the operator's commands do: the same flows as the service, on a pool of their own."""

import asyncio
import fcntl
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import click

from authsvc import config as configuration
from authsvc import emails, import_files
from authsvc.app import password_policy
from authsvc.breached_passwords import BreachedPasswords
from authsvc.clock import SystemClock
from authsvc.config import Config, settings
from authsvc.emails import EmailAddress, InvalidEmailError
from authsvc.entropy import SystemEntropy
from authsvc.events import OPERATOR
from authsvc.flows.import_users import ImportResult, ImportUsers, RowFault
from authsvc.flows.register import Register, User
from authsvc.limits import Limits
from authsvc.password_policy import InvalidPasswordError, Password, PasswordPolicy
from authsvc.passwords import Passwords
from authsvc.refusals import DatabaseUnavailable, InvalidInput, Refusal
from authsvc.store.database import Database, limits
from authsvc.store.service_roles import ServiceRole

NAME_BYTES = 63
"""PostgreSQL shortens a longer name without a word, to that of another role perhaps."""


class OperationError(Exception):
    """The command could not do it; the message is one sentence that says why."""


def create_user(config: Config, email: str, password: str) -> User:
    """Open an account by the rules of the service, and return it.

    Raises:
        OperationError: the address or the password is refused, or the database does not answer.
    """
    if "\0" in password:  # the API refuses it in any text, so that nobody could log in
        raise OperationError("The password holds a NUL, which no text can have.")
    policy = password_policy(config)
    try:
        address, chosen = emails.parse(email), policy.read_new(password)
    except (InvalidEmailError, InvalidPasswordError) as error:
        raise OperationError(error.message) from None
    # Made before there is a loop: it takes a hash to make one.
    passwords = Passwords(config.passwords.profile, threads=1, queue_seconds=config.passwords.queue_seconds)
    return asyncio.run(_register(config, passwords, policy, address, chosen))


async def _register(
    config: Config, passwords: Passwords, policy: PasswordPolicy, email: EmailAddress, password: Password
) -> User:
    url = config.passwords.breached_url
    breached = BreachedPasswords(url.reveal() if url else None, config.passwords.breached_seconds)
    await breached.open()
    try:
        async with open_database(config) as database:
            clock, entropy = SystemClock(), SystemEntropy()
            limits = Limits.none(database, clock)
            register = Register(database, passwords, limits, policy, breached, clock, entropy)
            return await register(email, password, OPERATOR)
    finally:
        await breached.close()
        await passwords.close()


def service_role(name: str | None, password_file: Path | None, settings: configuration.Database) -> ServiceRole | None:
    """Return the role that `authsvc migrate` was told of, with its password; None where it was told of none.

    Behind a pooler its limits are the role's: a session of the service sets none there.

    Raises:
        OperationError: the file cannot be read, holds no password, or belongs to no role.
    """
    if name is None and password_file is None:
        return None
    if not name or "\0" in name or len(name.encode()) > NAME_BYTES:
        raise OperationError(f"A role has a name of 1 to {NAME_BYTES} bytes: give it with --service-role.")
    if password_file is None:
        return ServiceRole(name)
    try:
        password = password_file.read_text("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise OperationError(f"{password_file} cannot be read ({reason}).") from None
    if not password or "\0" in password:
        raise OperationError(f"{password_file} holds no password.")
    return ServiceRole(name, password, limits(settings) if settings.pooler == "transaction" else {})


async def import_users(config: Config, file: Path) -> ImportResult:
    """Import the users of `file`, with a progress bar; rows left out are named on standard error.

    Raises:
        OperationError: the file cannot be read, or the database does not answer.
    """
    async with open_database(config) as database:
        flow = ImportUsers(database, SystemClock(), SystemEntropy())
        try:
            size = file.stat().st_size  # noqa: ASYNC240 - a command of one user: nobody else waits for this loop
            with click.progressbar(length=size, label=f"Importing {file.name}") as bar:
                return await flow(import_files.read(file, bar.update), lambda fault: _report(file, fault))
        except import_files.ImportFileError as error:
            raise OperationError(f"{file}: {error}") from None
        except OSError as error:
            raise OperationError(f"{file} cannot be read ({error.strerror}).") from None


@dataclass(frozen=True)
class KeySource:
    """Where an operator's private JWK set is: in a file, or in a variable."""

    name: str
    file: Path | None
    _given: str = field(repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str], file: Path | None) -> Self:
        """Return the set in `file`, or the one that `serve` would take from `environ`.

        Raises:
            OperationError: there is none.
        """
        given, named = environ.get("AUTHSVC_JWT_KEYS"), environ.get("AUTHSVC_JWT_KEYS_FILE")
        if file is None and given and named:
            raise OperationError("AUTHSVC_JWT_KEYS and AUTHSVC_JWT_KEYS_FILE are both set: keep one, or name a file.")
        if file is None and given:
            return cls("AUTHSVC_JWT_KEYS", None, given)
        if file is None and not named:
            raise OperationError("There are no keys to rotate: name their file, or set AUTHSVC_JWT_KEYS_FILE.")
        path = file or Path(named or "")
        return cls(str(path), path, "")

    def read(self) -> str:
        """Return the set as it is now.

        Raises:
            OperationError: the file cannot be read.
        """
        if self.file is None:
            return self._given
        try:
            return self.file.read_text("utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise OperationError(f"{self.name} cannot be read ({reason}).") from None


@contextmanager
def alone_with(path: Path) -> Iterator[None]:
    """Wait until nobody else is alone with a file of the same folder, and be it meanwhile.

    The folder is locked and not the file, which is replaced: who waited for that would have the lock of one that is
    gone. The lock ends with the process, however that ends.

    Raises:
        OperationError: the folder cannot be opened or locked.
    """
    try:
        handle = os.open(path.resolve().parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise OperationError(f"{path} cannot be read ({error.strerror}).") from None
    try:
        _lock(handle, path)
        yield
    finally:
        os.close(handle)


def _lock(handle: int, path: Path) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        raise OperationError(
            f"The folder of {path} cannot be locked ({error.strerror}): write a new file with --output."
        ) from None


def token_lifetime(environ: Mapping[str, str]) -> int:
    """Return how many seconds an access token is good, as `serve` would read it from `environ`.

    Raises:
        OperationError: the setting cannot be used.
    """
    (setting,) = (setting for setting in settings() if setting.name == "AUTHSVC_ACCESS_TOKEN_SECONDS")
    try:
        return int(str(setting.parse(environ.get(setting.name) or setting.default or "")))
    except ValueError as error:
        raise OperationError(f"{setting.name} {error}.") from None


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner may read (mode 0600): whole, or not at all.

    Raises:
        FileExistsError: there is such a file already.
        OSError: it cannot be written.
    """
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        Path(draft).unlink()


def replace_private(path: Path, text: str) -> None:
    """Replace the file at `path` by another of the same owner, group and mode: whole, or not at all.

    Raises:
        OSError: it cannot be replaced, or not given to its owner; it is left as it was.
    """
    path = path.resolve()  # the file, not a link to it
    before = path.stat()
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            # The service must be able to read it still, also where root rotates.
            os.fchown(handle, before.st_uid, before.st_gid)
            os.fchmod(handle, stat.S_IMODE(before.st_mode))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _report(file: Path, fault: RowFault) -> None:
    # In a terminal the progress bar stands on this line; it is drawn again on the next.
    wipe = "\r\x1b[K" if sys.stdout.isatty() and sys.stderr.isatty() else ""
    click.echo(f"{wipe}{file}:{fault.line}: left out. {fault.reason}", err=True)


@asynccontextmanager
async def open_database(config: Config) -> AsyncIterator[Database]:
    """Lend a database; a refusal becomes an OperationError that says the same."""
    database = Database(config.database)
    await database.open()
    try:
        yield database
    except InvalidInput as refusal:
        raise OperationError(" ".join(fault.message for fault in refusal.faults)) from None
    except DatabaseUnavailable as refusal:
        raise OperationError(refusal.advice or refusal.detail) from None
    except Refusal as refusal:
        raise OperationError(refusal.detail) from None
    finally:
        await database.close()
