"""What can happen, one frozen dataclass each. `tag` is its name everywhere: `subject:action:outcome`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar
from uuid import UUID


def _always() -> bool:
    return True


@dataclass(frozen=True)
class Origin:
    """Where a request came from: the network address, and the User-Agent, shortened.

    `waits` tells, from any thread, whether somebody there still waits for the answer.
    """

    address: str | None = None
    agent: str | None = None
    browser: str | None = field(default=None, repr=False)
    """What a browser says it was given when it logged in before (limits.py can tell). Kept nowhere."""
    waits: Callable[[], bool] = field(default=_always, compare=False, repr=False)


OPERATOR = Origin()
"""Somebody at the command line."""


@dataclass(frozen=True)
class Event:
    """Something that happened. Its fields hold no secret and no address, so that it can be logged as it is.

    A `quiet` one is counted and not logged: it happens all day, and the line of its request says as much.
    """

    tag: ClassVar[str]
    quiet: ClassVar[bool] = False


@dataclass(frozen=True)
class UserRegistered(Event):
    """An account was opened."""

    tag: ClassVar[str] = "user:register:success"
    subject: UUID


@dataclass(frozen=True)
class RegistrationOfTakenAddress(Event):
    """No account was opened, since there is one with this address. Its owner did nothing: it is in no journal."""

    tag: ClassVar[str] = "user:register:taken"
    quiet: ClassVar[bool] = True


@dataclass(frozen=True)
class RegistrationFailed(Event):
    """No account was opened, since its password would be the address, or is known from breaches."""

    tag: ClassVar[str] = "user:register:failure"
    quiet: ClassVar[bool] = True


@dataclass(frozen=True)
class UserImported(Event):
    """An operator opened an account with the hash that it had elsewhere."""

    tag: ClassVar[str] = "user:import:success"
    subject: UUID


@dataclass(frozen=True)
class UserDisabled(Event):
    """An operator closed an account for a while."""

    tag: ClassVar[str] = "user:disable:success"
    subject: UUID


@dataclass(frozen=True)
class UserEnabled(Event):
    """An operator opened a disabled account again."""

    tag: ClassVar[str] = "user:enable:success"
    subject: UUID


@dataclass(frozen=True)
class UserDeleted(Event):
    """An account was deleted, with what hung on it."""

    tag: ClassVar[str] = "user:delete:success"
    subject: UUID


@dataclass(frozen=True)
class UserDeletionFailed(Event):
    """Somebody who was logged in gave a wrong password for the deletion."""

    tag: ClassVar[str] = "user:delete:failure"
    subject: UUID
    session_id: UUID


@dataclass(frozen=True)
class LoginSucceeded(Event):
    """Somebody logged in, and a session was opened."""

    tag: ClassVar[str] = "session:login:success"
    subject: UUID
    session_id: UUID


@dataclass(frozen=True)
class LoginFailed(Event):
    """A login was refused; `subject` is None where no account has the address."""

    tag: ClassVar[str] = "session:login:failure"
    subject: UUID | None


@dataclass(frozen=True)
class PasswordChecksSlowed(Event):
    """So many wrong passwords were given for an account that each further attempt has to wait, longer and longer."""

    tag: ClassVar[str] = "credential:verify:slowed"
    subject: UUID


@dataclass(frozen=True)
class LimitsUnavailable(Event):
    """An attempt went ahead that the limits could not count: AUTHSVC_LIMITS_UNAVAILABLE says so."""

    tag: ClassVar[str] = "limits:check:unavailable"


@dataclass(frozen=True)
class LoginOfDisabledUser(Event):
    """A login with the right password was refused, since the account is disabled."""

    tag: ClassVar[str] = "session:login:disabled"
    subject: UUID


@dataclass(frozen=True)
class SessionRefreshed(Event):
    """A session was renewed."""

    tag: ClassVar[str] = "session:refresh:success"
    quiet: ClassVar[bool] = True
    subject: UUID
    session_id: UUID


@dataclass(frozen=True)
class RefreshFailed(Event):
    """A refresh token was refused: malformed, forged, expired, or of a session that has ended."""

    tag: ClassVar[str] = "session:refresh:failure"


@dataclass(frozen=True)
class RefreshTokenReused(Event):
    """A refresh token came again after its successor had been used: two hold it, and its session was ended."""

    tag: ClassVar[str] = "session:refresh:reuse"
    subject: UUID
    session_id: UUID


@dataclass(frozen=True)
class SessionEnded(Event):
    """A session was ended; no access token of it is good after `access_until` anyway. The kinds of it say why."""

    subject: UUID
    session_id: UUID
    access_until: datetime


@dataclass(frozen=True)
class EndedByLogout(SessionEnded):
    """Its owner ended it: there, from another session, or with all of them."""

    tag: ClassVar[str] = "session:end:logout"


@dataclass(frozen=True)
class EndedByRevocation(SessionEnded):
    """An operator ended it, or a service that holds a token of it (RFC 7009)."""

    tag: ClassVar[str] = "session:end:revoked"


@dataclass(frozen=True)
class EndedByLogin(SessionEnded):
    """Its browser logged in again, and holds another session from then on."""

    tag: ClassVar[str] = "session:end:replaced"


@dataclass(frozen=True)
class EndedByReuse(SessionEnded):
    """A refresh token of it came again after its successor had been used."""

    tag: ClassVar[str] = "session:end:reused"


@dataclass(frozen=True)
class EndedByEviction(SessionEnded):
    """A login made it one too many; it was the one used longest ago."""

    tag: ClassVar[str] = "session:end:evicted"


@dataclass(frozen=True)
class EndedByPasswordChange(SessionEnded):
    """The password was changed from another session."""

    tag: ClassVar[str] = "session:end:password_changed"


@dataclass(frozen=True)
class EndedByDisabling(SessionEnded):
    """An operator closed its account for a while."""

    tag: ClassVar[str] = "session:end:disabled"


@dataclass(frozen=True)
class EndedByDeletion(SessionEnded):
    """Its account was deleted."""

    tag: ClassVar[str] = "session:end:deleted"


@dataclass(frozen=True)
class PasswordChanged(Event):
    """Somebody changed the password."""

    tag: ClassVar[str] = "credential:change:success"
    subject: UUID
    session_id: UUID


@dataclass(frozen=True)
class PasswordChangeFailed(Event):
    """Somebody who was logged in gave a wrong current password."""

    tag: ClassVar[str] = "credential:change:failure"
    subject: UUID
    session_id: UUID


@dataclass(frozen=True)
class PasswordRehashed(Event):
    """A stored hash was replaced by one of the current parameters."""

    tag: ClassVar[str] = "credential:rehash:success"
    subject: UUID


@dataclass(frozen=True)
class UnsupportedHashMet(Event):
    """A stored hash cannot be verified: unknown scheme, broken, or parameters beyond the bound."""

    tag: ClassVar[str] = "credential:verify:unsupported"
    subject: UUID


@dataclass(frozen=True)
class BreachCheckFailed(Event):
    """A new password could not be looked up among the breached ones, and was taken without."""

    tag: ClassVar[str] = "credential:breach_check:failure"
    quiet: ClassVar[bool] = True


@dataclass(frozen=True)
class ClientCreated(Event):
    """An operator gave a service a credential."""

    tag: ClassVar[str] = "client:create:success"
    client_id: UUID


@dataclass(frozen=True)
class ClientDeleted(Event):
    """An operator took the credential of a service back."""

    tag: ClassVar[str] = "client:delete:success"
    client_id: UUID


@dataclass(frozen=True)
class ClientRefused(Event):
    """Somebody asked as a service whose credential is not good."""

    tag: ClassVar[str] = "client:authenticate:failure"


KINDS: tuple[type[Event], ...] = tuple(
    kind for kind in (*Event.__subclasses__(), *SessionEnded.__subclasses__()) if "tag" in vars(kind)
)
"""All of them."""
