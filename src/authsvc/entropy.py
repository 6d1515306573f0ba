"""New ids and opaque secrets. Everything that needs chance has an `Entropy` field, so that a test can repeat it."""

import os
from typing import Protocol
from uuid import UUID, uuid4


class Entropy(Protocol):
    """A source of values that nobody can guess."""

    def new_id(self) -> UUID:
        """Return a random UUID (RFC 9562, version 4: 122 random bits)."""

    def token_bytes(self, size: int) -> bytes:
        """Return `size` random bytes."""


class SystemEntropy:
    """The operating system's random generator."""

    def new_id(self) -> UUID:
        """Return a random UUID (RFC 9562, version 4: 122 random bits)."""
        return uuid4()

    def token_bytes(self, size: int) -> bytes:
        """Return `size` random bytes."""
        return os.urandom(size)
