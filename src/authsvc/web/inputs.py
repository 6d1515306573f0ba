"""The inputs of the doors: each field is read by the rule of the ground floor that owns it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authsvc import emails
from authsvc.emails import EmailAddress
from authsvc.password_policy import Password, PasswordPolicy
from authsvc.web.reading import Input, Shape

EMAIL = Input(emails.parse, {"type": "string", "format": "email", "maxLength": emails.MAX_LENGTH})


@dataclass(frozen=True)
class Credentials:
    """An address and a password: what registering and logging in both ask for."""

    email: EmailAddress
    password: Password


@dataclass(frozen=True)
class PasswordChange:
    """The password that somebody has, and the one that shall follow."""

    current_password: Password
    new_password: Password


@dataclass(frozen=True)
class PasswordAgain:
    """The password of who is logged in already."""

    password: Password


def new_credentials(policy: PasswordPolicy) -> Shape[Credentials]:
    """Return the shape for somebody who chooses a password."""
    return Shape(Credentials, {"email": EMAIL, "password": _new_password(policy)})


def credentials(policy: PasswordPolicy) -> Shape[Credentials]:
    """Return the shape for somebody who has one."""
    return Shape(Credentials, {"email": EMAIL, "password": _password(policy)})


def password_change(policy: PasswordPolicy) -> Shape[PasswordChange]:
    """Return the shape for somebody who has one and chooses another."""
    return Shape(PasswordChange, {"current_password": _password(policy), "new_password": _new_password(policy)})


def password_again(policy: PasswordPolicy) -> Shape[PasswordAgain]:
    """Return the shape for somebody who is asked for it again."""
    return Shape(PasswordAgain, {"password": _password(policy)})


def whole_number(low: int, high: int, description: str, default: int | None) -> Input:
    """Return the input for a whole number of a query, with a default."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(high)) and low <= int(text) <= high):
            raise _NumberError(f"This must be a whole number from {low} to {high}.")
        return int(text)

    schema: Mapping[str, Any] = {"type": "integer", "minimum": low, "maximum": high, "description": description}
    return Input(parse, schema if default is None else {**schema, "default": default}, default=default)


class _NumberError(ValueError):
    code = "invalid_number"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


def _new_password(policy: PasswordPolicy) -> Input:
    schema = {"type": "string", "minLength": policy.min_length, "maxLength": policy.max_length, "format": "password"}
    return Input(policy.read_new, schema)


def _password(policy: PasswordPolicy) -> Input:
    """Without a least length: it may have been another when the password was chosen."""
    return Input(policy.read, {"type": "string", "maxLength": policy.max_length, "format": "password"})
