"""What counts as a password (NIST SP 800-63B-4 §3.1.1.2): bounded length, Unicode NFC, not a common one.

No composition rules, never trimmed, never cut. The default minimum of 8 is the second-factor figure of NIST; 15 is
what it asks of a password that is the only factor: set AUTHSVC_PASSWORD_MIN_LENGTH=15 for that.
"""

import unicodedata
from dataclasses import dataclass, field


class InvalidPasswordError(ValueError):
    """The password is refused. `code` and `message` are safe to show; neither holds the password."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, repr=False)
class Password:
    """A password as it was sent and in Unicode NFC; its repr shows neither."""

    raw: str
    normalized: str

    def __repr__(self) -> str:
        return "Password(***)"


@dataclass(frozen=True)
class PasswordPolicy:
    """Which passwords are accepted. Lengths are counted in code points."""

    min_length: int
    max_length: int
    common: frozenset[str] = field(repr=False)
    """Common passwords, in lower case."""

    def read(self, text: str) -> Password:
        """Return the password that somebody logs in with.

        Raises:
            InvalidPasswordError: it is longer than any password accepted here (`password_too_long`), or no text at all
                (`password_not_unicode`: lone surrogates, as a terminal makes of what is not UTF-8).
        """
        # Length first: NFC takes quadratic time (80,000 code points cost 4.9 s).
        if len(text) > self.max_length:
            raise InvalidPasswordError("password_too_long", f"A password has at most {self.max_length} characters.")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InvalidPasswordError("password_not_unicode", "A password must be Unicode text.")
        return Password(raw=text, normalized=unicodedata.normalize("NFC", text))

    def read_new(self, text: str) -> Password:
        """Return the password that somebody chose for an account.

        Raises:
            InvalidPasswordError: as in `read`, or it is too short (`password_too_short`) or a common one
                (`password_common`).
        """
        password = self.read(text)
        if len(password.normalized) < self.min_length:
            raise InvalidPasswordError("password_too_short", f"Use at least {self.min_length} characters.")
        if password.normalized.lower() in self.common or not password.normalized.strip():
            raise InvalidPasswordError(
                "password_common", "This password is on the list of common ones that attackers try first."
            )
        return password

    def refuse_address(self, password: Password, email: str) -> None:
        """Refuse a password that is the account's own address, or its local part.

        Raises:
            InvalidPasswordError: it is (`password_is_email`).
        """
        if password.normalized.lower() in {email, email.partition("@")[0]}:
            raise InvalidPasswordError(
                "password_is_email", "The password must not be the e-mail address, or the part before its @."
            )
