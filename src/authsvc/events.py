"""What can happen, one frozen dataclass each. `tag` is its name everywhere: `subject:action:outcome`."""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True)
class Event:
    """Something that happened. Its fields hold no secret and no address, so that it can be logged as it is."""

    tag: ClassVar[str]


@dataclass(frozen=True)
class UserRegistered(Event):
    """An account was opened."""

    tag: ClassVar[str] = "user:register:success"
    subject: UUID


@dataclass(frozen=True)
class LoginSucceeded(Event):
    """Somebody logged in."""

    tag: ClassVar[str] = "session:login:success"
    subject: UUID
    session_id: UUID


@dataclass(frozen=True)
class LoginFailed(Event):
    """A login was refused; `subject` is None where no account has the address."""

    tag: ClassVar[str] = "session:login:failure"
    subject: UUID | None


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


KINDS: tuple[type[Event], ...] = (UserRegistered, LoginSucceeded, LoginFailed, PasswordRehashed, UnsupportedHashMet)
