"""Passwords known from breaches, asked of a k-anonymity range endpoint (the protocol of Pwned Passwords).

Five of the forty digits of the password's SHA-1 leave this process, and are logged nowhere. Without a good answer in
time the password is taken: who runs the endpoint must not decide whether people can register.
"""

import hashlib
import re
from collections.abc import Callable

import aiohttp
import structlog

from authsvc.password_policy import Password
from authsvc.refusals import FieldFault, InvalidInput

PREFIX_DIGITS = 5
MAX_BYTES = 1_048_576
"""Twenty times what the endpoint of the whole world's breaches answers."""
CONNECTIONS = 32

# A count of 0 is padding, which hides from the network how many there are.
_LINE = re.compile(r"(?P<suffix>[0-9A-F]{35}):(?P<count>\d{1,18})", re.ASCII | re.IGNORECASE)


class BreachedPasswords:
    """Looks new passwords up, between `open` and `close`; without a `url` it knows none."""

    _session: aiohttp.ClientSession | None = None

    def __init__(self, url: str | None, seconds: float, failed: Callable[[], None] = lambda: None) -> None:
        """`failed` hears of each look-up without a good answer within `seconds`."""
        self._url = url
        self._seconds = seconds
        self._failed = failed

    async def open(self) -> None:
        """Make the pool of connections; nothing is asked yet."""
        if self._url is None:
            return
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=CONNECTIONS),
            timeout=aiohttp.ClientTimeout(total=self._seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Bounded as it is sent: nothing is unpacked.
            auto_decompress=False,
            headers={"User-Agent": "authsvc", "Accept-Encoding": "identity", "Add-Padding": "true"},
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def refuse(self, password: Password, field: str) -> None:
        """Refuse a password that is known from breaches.

        Raises:
            InvalidInput: it is (`password_breached`), in this field.
        """
        if self._session is None:
            return
        digest = hashlib.sha1(password.normalized.encode(), usedforsecurity=False).hexdigest().upper()
        prefix, suffix = digest[:PREFIX_DIGITS], digest[PREFIX_DIGITS:]
        try:
            breached = suffix in await _suffixes(self._session, f"{self._url}/{prefix}")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # Not its text, which may name the address with the prefix in it.
            structlog.get_logger().warning("breach_check_failed", reason=type(error).__name__)
            self._failed()
            return
        if breached:
            raise InvalidInput(
                [FieldFault(field, "password_breached", "This password is known from a breach of another service.")]
            )


async def _suffixes(session: aiohttp.ClientSession, url: str) -> set[str]:
    async with session.get(url, allow_redirects=False) as response:
        if response.status != 200:  # noqa: PLR2004 - HTTP's own number
            raise ValueError("another status than 200")
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_BYTES:
                raise ValueError("an answer beyond the bound")
    return suffixes_in(bytes(body))


def suffixes_in(answer: bytes) -> set[str]:
    """Return the suffixes that were met at least once, in upper case.

    Raises:
        ValueError: a line is none of the protocol's.
    """
    matches = [_LINE.fullmatch(line) for line in answer.decode("ascii").split()]
    return {match["suffix"].upper() for match in map(_good, matches) if int(match["count"]) > 0}


def _good(match: re.Match[str] | None) -> re.Match[str]:
    if match is None:
        raise ValueError("a line that is no suffix and count")
    return match
