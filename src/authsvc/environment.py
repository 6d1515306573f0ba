"""One environment variable: how a setting declares it, and how each kind of value is read.

A reader is a function from the variable's text to its value; it raises ValueError with the end of a sentence that
begins with the variable's name.
"""

import json
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from authsvc import addresses

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SSL_MODES = frozenset({"disable", "require", "verify-ca", "verify-full"})
"""Without `allow` and `prefer`: they look like TLS, and fall back to clear text."""
URL_PARAMETERS = frozenset({"host", "port", "user", "password", "passfile", "target_session_attrs"}) | {
    *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl", "sslnegotiation"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version"),
}
"""What both drivers understand. What asyncpg does not know it sends to the server, which then refuses every session."""
URL_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")

_RATE = re.compile(r"(\d{1,6})/(\d{1,6})", re.ASCII)
_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
# A project of a Workspace domain has that domain before a colon.
_GOOGLE_PROJECT = re.compile(r"([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", re.ASCII)
_ORIGIN = re.compile(r"https?://([a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\])(:\d{1,5})?/?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, repr=False)
class Secret:
    """A text that no log, page or traceback shows."""

    _text: str

    def reveal(self) -> str:
        """Return the text itself, for the library that needs it."""
        return self._text

    def __repr__(self) -> str:
        return "***"


@dataclass(frozen=True)
class DatabaseUrl(Secret):
    """A PostgreSQL URL; its repr shows all but the password."""

    def __repr__(self) -> str:
        parts = urlsplit(self._text)
        netloc = parts.netloc
        if parts.password is not None:
            user, _, host = netloc.rpartition("@")
            netloc = f"{user.partition(':')[0]}:***@{host}"
        # The libraries read a password from the query as well.
        query = [(name, "***" if "password" in name else value) for name, value in parse_qsl(parts.query)]
        return f"{parts.scheme}://{netloc}{parts.path}{'?' if query else ''}{urlencode(query, safe='*/')}"

    __str__ = __repr__


@dataclass(frozen=True)
class Argon2Profile:
    """Parameters of argon2id (RFC 9106 §3.1): memory in KiB, passes, lanes."""

    memory_kib: int
    passes: int
    lanes: int


PROFILES: Mapping[str, Argon2Profile] = MappingProxyType(
    {
        "owasp-19mib": Argon2Profile(19_456, 2, 1),
        "owasp-46mib": Argon2Profile(47_104, 1, 1),
        "rfc9106-64mib": Argon2Profile(65_536, 3, 4),
    }
)
"""OWASP's two first choices for argon2id, and the second recommended option of RFC 9106 §4."""


@dataclass(frozen=True)
class RateLimit:
    """As many at once as `burst`, and from then on as many in `seconds`, evenly."""

    burst: int
    seconds: int

    @property
    def interval(self) -> timedelta:
        """The time in which one comes back."""
        return timedelta(seconds=self.seconds / self.burst)

    def __str__(self) -> str:
        return f"{self.burst}/{self.seconds}"


@dataclass(frozen=True)
class TrustedProxies:
    """Who adds to X-Forwarded-For: as many proxies as `hops`, or those of `networks`."""

    text: str
    hops: int = 0
    networks: tuple[IPv4Network | IPv6Network, ...] = ()

    def include(self, address: IPv4Address | IPv6Address) -> bool:
        """Tell whether it is the address of one of `networks`."""
        return any(address in network for network in self.networks)

    def __str__(self) -> str:
        return self.text


PROXY_HOPS: Mapping[str, int] = MappingProxyType({"cloud-run": 1, "cloud-run-load-balancer": 2})
"""Platforms by name: Google's front end adds the client; its load balancer adds the client and then its own address."""


@dataclass(frozen=True)
class Setting:
    """One environment variable."""

    name: str
    parse: Callable[[str], object]
    default: str | None
    help: str
    secret: bool


@dataclass(frozen=True, repr=False)
class RangeUrl(Secret):
    """The URL of a range endpoint; its repr shows the host alone: some have a key in the path."""

    def __repr__(self) -> str:
        parts = urlsplit(self._text)
        return f"{parts.scheme}://{parts.netloc}/***"

    __str__ = __repr__


def variable(name: str, parse: Callable[[str], object], default: str | None, help_: str) -> Any:  # noqa: ANN401 - a dataclass field is typed by its annotation
    """Return a dataclass field that is read from the environment variable `name`."""
    secret = parse in (hmac_secret, hmac_secrets, jwk_set, database_url, range_url)
    return field(metadata={"setting": Setting(name, parse, default, help_, secret)})


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return the reader of a whole number."""
    most_digits = max(12, len(str(high)))  # far fewer than int() takes

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= most_digits and low <= int(text) <= high):
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Return the reader of a duration."""

    def parse(text: str) -> float:
        if not (_SECONDS.fullmatch(text) and low <= float(text) <= high):
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}")
        return float(text)

    return parse


def share(text: str) -> float:
    """Read a share of a whole.

    Raises:
        ValueError: it is no number from 0 to 1.
    """
    if not (_SECONDS.fullmatch(text) and float(text) <= 1):
        raise ValueError("must be a number from 0 (none) to 1 (all)")
    return float(text)


def rate_limit(text: str) -> RateLimit:
    """Read a limit: how many at once, and the seconds in which as many come back.

    Raises:
        ValueError: it is none.
    """
    match = _RATE.fullmatch(text)
    if match is None or not int(match[1]) or not int(match[2]):
        raise ValueError("must be how many at once, a slash, and the seconds in which as many come back, like 10/60")
    return RateLimit(int(match[1]), int(match[2]))


def trusted_proxies(text: str) -> TrustedProxies:
    """Read who is trusted to add to X-Forwarded-For.

    Raises:
        ValueError: it is neither a platform, nor a number of proxies, nor a list of networks.
    """
    if text in PROXY_HOPS:
        return TrustedProxies(text, PROXY_HOPS[text])
    if text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= 16:  # noqa: PLR2004 - more than anybody has in a row
        return TrustedProxies(text, int(text))
    try:
        networks = tuple(ip_network(part) for part in text.replace(",", " ").split())
    except ValueError:
        networks = ()
    if not networks:
        raise ValueError(
            f"must be one of {', '.join(PROXY_HOPS)}; or how many proxies stand in a row, from 1 to 16; or their"
            " networks, like 10.0.0.0/8, 2001:db8::/32"
        )
    if addresses.are_many(networks):
        raise ValueError(
            "must not trust that many addresses: any stranger among them could say where he comes from. Name networks"
            f" of /{addresses.LEAST_PREFIX[4]} or longer, of /{addresses.LEAST_PREFIX[6]} for IPv6"
            f" ({addresses.PRIVATE_IPV6} may be shorter)"
        )
    return TrustedProxies(text, networks=networks)


def one_of(*choices: str) -> Callable[[str], str]:
    """Return the reader of a closed choice."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of: {', '.join(choices)}")
        return text

    return parse


def google_project(text: str) -> str:
    """Read the id of a Google Cloud project.

    Raises:
        ValueError: it is not spelt like one.
    """
    if not _GOOGLE_PROJECT.fullmatch(text):
        raise ValueError("must be the id of a project, such as my-project-123, and not its name or number")
    return text


def printable(text: str) -> str:
    """Read a text without control characters.

    Raises:
        ValueError: it is empty, or has some.
    """
    if not text or not text.isprintable():
        raise ValueError("must be a printable text")
    return text


def path(text: str) -> Path:
    """Read a path."""
    return Path(printable(text))


def hmac_secret(text: str) -> Secret:
    """Read a shared secret (RFC 7518 §3.2).

    Raises:
        ValueError: it is too short, or no secret.
    """
    if len(text.encode()) < 32:  # noqa: PLR2004 - RFC 7518 §3.2: a key of the same size as the hash output
        raise ValueError("must have at least 32 bytes: make one with `openssl rand -base64 48`")
    # python-jose refuses these too, by an error that nobody expects (CVE-2024-33663 signed with public keys).
    if "BEGIN " in text or "ssh-" in text or "ecdsa-sha2-" in text:
        raise ValueError("must be a secret of its own and no key or certificate: anyone may know its public half")
    return Secret(text)


def hmac_secrets(text: str) -> Secret:
    """Read one secret or several, separated by spaces or line ends.

    Raises:
        ValueError: there is none, or one is too short.
    """
    parts = text.split()
    if not parts:
        raise ValueError("must hold a secret")
    for part in parts:
        hmac_secret(part)
    return Secret("\n".join(parts))


def jwk_set(text: str) -> Secret:
    """Read the outline of a private JWK set; its keys are looked into on a higher floor.

    Raises:
        ValueError: it is none.
    """
    try:
        keys = json.loads(text)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        keys = None
    if not (isinstance(keys, list) and keys and all(isinstance(key, dict) for key in keys)):
        raise ValueError('must be a private JWK set {"keys": […]}: make one with `authsvc keys generate`')
    return Secret(text)


def range_url(text: str) -> RangeUrl:
    """Read the URL of a range endpoint, to which the prefix of a hash is added as the last segment.

    Raises:
        ValueError: it is none, or is clear text beyond this machine.
    """
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.username is not None or parts.scheme not in ("http", "https") or "?" in text or "#" in text:
        raise ValueError("must be a URL like https://host/range, without a query")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ValueError("must be https: only on localhost may it be http")
    return RangeUrl(text.rstrip("/"))


def database_url(text: str) -> DatabaseUrl:
    """Read the URL of a PostgreSQL database.

    Raises:
        ValueError: it is none, or says nothing of how to secure the way to another machine.
    """
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a URL like postgresql://user:password@host:5432/name") from None
    # An @ in the path: the password holds a slash that is not percent-encoded.
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/") or "@" in parts.path:
        raise ValueError("must be a URL like postgresql://user:password@host:5432/name")
    # What is no UTF-8 becomes U+FFFD; the drivers would meet it at each connection, psycopg with a traceback.
    if not {"\0", "\ufffd"}.isdisjoint(unquote(text)):
        raise ValueError("has percent-encoded bytes that are no text: a % of a password is written %25")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(query.keys() - URL_PARAMETERS):
        raise ValueError(f"has a parameter that is none of {', '.join(sorted(URL_PARAMETERS))}: take {unknown[0]} out")
    mode = query.get("sslmode", "")
    # asyncpg's own default for TCP falls back to clear text and verifies nothing.
    is_local = all(map(_is_this_machine, f"{host or ''},{query.get('host', '')}".split(",")))
    if not is_local and mode not in SSL_MODES:
        raise ValueError(
            "must say how to secure the way to another machine: add ?sslmode=verify-full&sslrootcert=FILE"
            " (or require, verify-ca; or disable where the network itself is private and trusted)"
        )
    if mode.startswith("verify") and not query.get("sslrootcert"):
        raise ValueError(f"must name the authority that sslmode={mode} trusts: add sslrootcert=FILE")
    for name in URL_FILES:
        if file := query.get(name):
            _refuse_unreadable(name, Path(file))
    return DatabaseUrl(text)


def _refuse_unreadable(name: str, file: Path) -> None:
    """Asked at the start: the driver meets it at each connection, and says no more than that there is none."""
    try:
        if name in ("sslrootcert", "sslcrl"):
            ssl.create_default_context(cafile=file)
        file.read_bytes()
    except OSError as error:
        reason = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else error.strerror
        raise ValueError(f"names a file in {name} that cannot be used ({reason})") from None


def _is_this_machine(host: str) -> bool:
    # None, or a folder: PostgreSQL's Unix socket.
    return not host or host in LOOPBACK or unquote(host).startswith("/")


def origin(text: str) -> str:
    """Read an origin (RFC 6454), in the spelling that browsers send.

    Raises:
        ValueError: it is none, or is clear text beyond this machine.
    """
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not _ORIGIN.fullmatch(text):
        raise ValueError("must be an origin like https://auth.example.com")
    if parts.scheme == "http" and host not in LOOPBACK:
        raise ValueError("must be https: only on localhost may it be http, since the cookie of a login travels on it")
    # Browsers leave the default port out of the Origin they send.
    default = ":443" if parts.scheme == "https" else ":80"
    return f"{parts.scheme}://{parts.netloc}".lower().removesuffix(default)
