"""Refresh tokens: made and checked without the database, where only a number is kept.

A token is base64url(version ‖ session id ‖ counter ‖ HMAC-SHA-256 of these, cut to 128 bits): 39 bytes, 52
characters, one spelling. Junk dies here; a stolen database forges nothing, since the keys are not in it.
"""

import base64
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

VERSION = b"\x01"
MAX_COUNTER = 2**48 - 1
_COUNTER_BYTES = 6
_MAC_BYTES = 16
_BODY_BYTES = 1 + 16 + _COUNTER_BYTES
_SPELLING = re.compile(r"[A-Za-z0-9_-]{52}", re.ASCII)


class InvalidRefreshTokenError(Exception):
    """The text is no refresh token of ours."""


@dataclass(frozen=True)
class RefreshToken:
    """What a refresh token says: it is number `counter` of its session."""

    session_id: UUID
    counter: int


@dataclass(frozen=True)
class RefreshTokens:
    """Makes and reads refresh tokens. The first key makes them; every key is good for reading."""

    keys: Sequence[bytes] = field(repr=False)

    def make(self, token: RefreshToken) -> str:
        """Return the token as a text."""
        body = VERSION + token.session_id.bytes + token.counter.to_bytes(_COUNTER_BYTES, "big")
        return base64.urlsafe_b64encode(body + _mac(self.keys[0], body)).decode()

    def read(self, text: str) -> RefreshToken:
        """Return what a token of ours says.

        Raises:
            InvalidRefreshTokenError: it is none.
        """
        # 39 bytes fill 52 characters without spare bits: each token has one spelling.
        if not _SPELLING.fullmatch(text):
            raise InvalidRefreshTokenError
        data = base64.urlsafe_b64decode(text)
        body, mac = data[:_BODY_BYTES], data[_BODY_BYTES:]
        if not body.startswith(VERSION) or not any(hmac.compare_digest(_mac(key, body), mac) for key in self.keys):
            raise InvalidRefreshTokenError
        return RefreshToken(UUID(bytes=body[1:17]), int.from_bytes(body[17:], "big"))


def _mac(key: bytes, body: bytes) -> bytes:
    return hmac.digest(key, body, "sha256")[:_MAC_BYTES]
