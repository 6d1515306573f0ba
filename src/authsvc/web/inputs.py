"""The inputs of the doors: each field is read by the rule of the ground floor that owns it."""

from dataclasses import dataclass

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


def new_credentials(policy: PasswordPolicy) -> Shape[Credentials]:
    """Return the shape for somebody who chooses a password."""
    schema = {"type": "string", "minLength": policy.min_length, "maxLength": policy.max_length, "format": "password"}
    return Shape(Credentials, {"email": EMAIL, "password": Input(policy.read_new, schema)})


def credentials(policy: PasswordPolicy) -> Shape[Credentials]:
    """Return the shape for somebody who has one: its least length may have been another then."""
    schema = {"type": "string", "maxLength": policy.max_length, "format": "password"}
    return Shape(Credentials, {"email": EMAIL, "password": Input(policy.read, schema)})
