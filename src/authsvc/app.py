"""The composition: Config in, two applications out. Every wire is visible here, in order."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from authsvc import key_sets, logs, machine, measures, resources
from authsvc.breached_passwords import BreachedPasswords
from authsvc.clock import Clock, SystemClock
from authsvc.config import Config, ConfigError
from authsvc.entropy import Entropy, SystemEntropy
from authsvc.events import BreachCheckFailed, Event
from authsvc.flows.activity import Activity
from authsvc.flows.change_password import ChangePassword
from authsvc.flows.clients import ClientCheck
from authsvc.flows.database_watch import DatabaseWatch
from authsvc.flows.delete_user import DeleteUser
from authsvc.flows.export_user import ExportUser
from authsvc.flows.introspect import Introspect
from authsvc.flows.login import Login
from authsvc.flows.profile import Profile
from authsvc.flows.readiness import ReadinessCheck
from authsvc.flows.refresh import Refresh
from authsvc.flows.register import Register
from authsvc.flows.revoke import Revoke
from authsvc.flows.session_check import SessionCheck
from authsvc.flows.sessions import Sessions
from authsvc.key_sets import KeySet
from authsvc.limits import Limits
from authsvc.metrics import Metrics
from authsvc.password_policy import CommonPasswords, PasswordPolicy, service_names
from authsvc.passwords import Passwords, choose_threads
from authsvc.refresh_tokens import RefreshTokens
from authsvc.revocations import PAGE, Page, Position, Revocations
from authsvc.runtime import Runtime
from authsvc.session_tokens import SessionTokens
from authsvc.signing import AccessTokenIssuer, AccessTokenReader
from authsvc.store import migrations
from authsvc.store import sessions as session_store
from authsvc.store.database import Database
from authsvc.web import routes, verify
from authsvc.web.activity import ActivityDoor
from authsvc.web.change_password import ChangePasswordDoor
from authsvc.web.cookies import Cookies
from authsvc.web.delete_user import DeleteUserDoor
from authsvc.web.docs import DocsDoor
from authsvc.web.export_user import ExportUserDoor
from authsvc.web.farewell import Farewell
from authsvc.web.form_tokens import FormTokens
from authsvc.web.forms import Forms
from authsvc.web.guard import Guard
from authsvc.web.health import AdminDoor
from authsvc.web.introspect import IntrospectDoor
from authsvc.web.keys import KeysDoor
from authsvc.web.login import LoginDoor
from authsvc.web.logout import LogoutDoor
from authsvc.web.middleware import observe
from authsvc.web.origins import ORIGINS, Origins
from authsvc.web.pages import Pages
from authsvc.web.problems import Problems, handle_refusals
from authsvc.web.profile import ProfileDoor
from authsvc.web.reading import MAX_BODY_BYTES
from authsvc.web.refresh import RefreshDoor
from authsvc.web.register import RegisterDoor
from authsvc.web.revoke import RevokeDoor
from authsvc.web.routes import Route
from authsvc.web.same_site import SameSite
from authsvc.web.sessions import SessionsDoor
from authsvc.web.spans import traced

if TYPE_CHECKING:
    from authsvc.tracing import Tracing


@dataclass(frozen=True)
class Service:
    """The composed service. The public application owns the pool and the hashing threads."""

    public: web.Application
    admin: web.Application
    readiness: ReadinessCheck
    metrics: Metrics


def compose(config: Config, *, clock: Clock | None = None, entropy: Entropy | None = None) -> Service:
    """Return the service that `config` describes.

    Raises:
        ValueError: the keys cannot be used (`Config.read` with `check_keys` has said so before).
        ConfigError: the hashes do not fit into the memory.
    """
    rooms = _Rooms.of(config, clock or SystemClock(), entropy or SystemEntropy())
    http, metrics = config.http, rooms.metrics
    flows = _Flows.of(rooms)
    cookies, pages = Cookies.of(http.public_url), Pages()
    guard = Guard(rooms.reader, flows.session_check, flows.refresh, cookies, SameSite(http.public_url))
    table = _doors(config, rooms, flows, cookies, pages)
    docs = DocsDoor(tuple(table), http.public_url, pages)
    table += docs.routes()
    for route in table:
        metrics.route(route.method, route.path, [answer.status for answer in route.answers])

    public = web.Application(client_max_size=MAX_BODY_BYTES)
    public[ORIGINS] = Origins(http.trusted_proxies, cookies.known_browser)
    pages.install(public)
    around = [
        observe(metrics, rooms.entropy, http.public_url, logs.RequestLog(config.logging.sample_2xx)),
        *([traced(rooms.tracing)] if rooms.tracing else []),
        handle_refusals(Problems(http.public_url), pages),
        guard.around,
    ]
    routes.install(public, table, around)
    public.on_startup.append(docs.render)
    public.cleanup_ctx.append(rooms.lifetime)
    readiness = ReadinessCheck(rooms.database)
    return Service(public, AdminDoor(readiness, metrics).application(), readiness, metrics)


@dataclass(frozen=True)
class _Rooms:
    """The first floor: one door to each outside thing."""

    clock: Clock
    entropy: Entropy
    metrics: Metrics
    database: Database
    follower: Database
    watch: DatabaseWatch
    runtime: Runtime
    revocations: Revocations
    passwords: Passwords
    limits: Limits
    policy: PasswordPolicy
    breached: BreachedPasswords
    keys: KeySet
    reader: AccessTokenReader
    tokens: SessionTokens
    tracing: "Tracing | None"

    @classmethod
    def of(cls, config: Config, clock: Clock, entropy: Entropy) -> Self:
        tokens, sessions, hashing = config.tokens, config.sessions, config.passwords
        keys, metrics = key_sets.load_keys(tokens), Metrics()
        # A connection of its own: who follows must not stand in line behind what the others wait for.
        follower = Database(dataclasses.replace(config.database, pool_size=1))
        revocations = Revocations(partial(_look, follower), clock, sessions.poll_seconds, sessions.stale_seconds)
        tracing = make_tracing(config)
        database = Database(
            config.database,
            [metrics.event, _log_event, revocations.observe],
            clock,
            trace=tracing.queried if tracing else None,
        )
        passwords = Passwords(
            hashing.profile,
            threads=choose_threads(config, machine.memory_limit()),
            queue_seconds=hashing.queue_seconds,
            refusal_seconds=hashing.refusal_seconds,
            trace=tracing.hashed if tracing else None,
        )
        limits = Limits(database, config.limits, derived_keys(config, b"limits"), clock, observe=metrics.limit)
        policy = password_policy(config)
        failed = partial(database.publish, BreachCheckFailed())
        url = hashing.breached_url
        breached = BreachedPasswords(url.reveal() if url else None, hashing.breached_seconds, failed)
        issuer = AccessTokenIssuer(
            keys.signing, tokens.issuer, tokens.audience, tokens.lifetime_seconds, clock=clock, entropy=entropy
        )
        reader = AccessTokenReader(
            keys.verification,
            issuer=tokens.issuer,
            audience=tokens.audience,
            clock=clock,
            cache_bytes=tokens.cache_bytes,
        )
        pairs = SessionTokens(issuer, RefreshTokens(refresh_keys(config)), sessions, clock)
        rooms = cls(
            clock,
            entropy,
            metrics,
            database,
            follower,
            DatabaseWatch(database, migrations.shipped()),
            Runtime(),
            revocations,
            passwords,
            limits,
            policy,
            breached,
            keys,
            reader,
            tokens=pairs,
            tracing=tracing,
        )
        rooms.measure(config.database.capacity_bytes)
        return rooms

    def measure(self, capacity_bytes: int) -> None:
        metrics, pools = self.metrics, (self.database, self.follower)
        measures.measure_passwords(metrics, self.passwords)
        measures.measure_tokens(metrics, self.reader, self.revocations)
        measures.measure_database(metrics, self.database, pools, self.watch, capacity_bytes)
        measures.measure_process(metrics, self.runtime)

    async def lifetime(self, _app: web.Application) -> AsyncIterator[None]:
        await self.database.open()
        await self.follower.open()
        await self.breached.open()
        # What it has not read by then would be too old anyway: it reads on while it serves, and the database decides.
        with suppress(TimeoutError):
            async with asyncio.timeout(self.revocations.stale_seconds):
                await self.revocations.refresh()
        loop = asyncio.get_running_loop()
        background = [loop.create_task(self.revocations.follow()), loop.create_task(self.watch.watch())]
        self.runtime.start()
        yield
        self.runtime.stop()
        for each in background:
            each.cancel()
        await asyncio.wait(background)
        await self.follower.close()
        await self.breached.close()
        await self.passwords.close()
        await asyncio.gather(self.database.close(), *([self.tracing.close()] if self.tracing else []))


@dataclass(frozen=True)
class _Flows:
    """What several doors, or the guard, use."""

    refresh: Refresh
    sessions: Sessions
    session_check: SessionCheck
    profile: Profile

    @classmethod
    def of(cls, rooms: _Rooms) -> Self:
        database, tokens, clock = rooms.database, rooms.tokens, rooms.clock
        return cls(
            Refresh(database, tokens, clock),
            Sessions(database, tokens, clock),
            SessionCheck(rooms.revocations, database, tokens, clock),
            Profile(database),
        )


def _doors(config: Config, rooms: _Rooms, flows: _Flows, cookies: Cookies, pages: Pages) -> list[Route]:
    """Return every route, but for those that describe them."""
    database, passwords, limits, policy, clock, entropy = (
        rooms.database,
        rooms.passwords,
        rooms.limits,
        rooms.policy,
        rooms.clock,
        rooms.entropy,
    )
    issuer, public_url = config.tokens.issuer, config.http.public_url
    form_tokens = FormTokens(derived_keys(config, b"form token"), cookies.form_nonce, entropy)
    forms, client_check = Forms(pages, form_tokens), ClientCheck(database)
    farewell = Farewell(cookies, rooms.reader, rooms.tokens.refresh_tokens)
    register = Register(database, passwords, limits, policy, rooms.breached, clock, entropy)
    login = Login(database, passwords, limits, rooms.tokens, clock, entropy)
    change_password = ChangePassword(database, passwords, limits, policy, rooms.breached, clock)
    introspect = Introspect(rooms.reader, flows.session_check.ask, rooms.tokens, database, clock)
    revoke = Revoke(rooms.reader, rooms.tokens.refresh_tokens, database)
    return [
        *RegisterDoor(register, forms).routes(),
        *LoginDoor(login, policy, cookies, forms).routes(),
        *RefreshDoor(flows.refresh, cookies).routes(),
        *SessionsDoor(flows.sessions, forms).routes(),
        *LogoutDoor(flows.sessions, farewell, form_tokens).routes(),
        *ProfileDoor(flows.profile, flows.sessions, forms).routes(),
        *ChangePasswordDoor(change_password, flows.profile, policy, forms).routes(),
        *ActivityDoor(Activity(database), forms).routes(),
        *ExportUserDoor(ExportUser(database)).routes(),
        *DeleteUserDoor(DeleteUser(database, passwords, limits), flows.profile, policy, farewell, forms).routes(),
        *verify.routes(),
        *IntrospectDoor(client_check, introspect).routes(),
        *RevokeDoor(client_check, revoke).routes(),
        *KeysDoor(rooms.keys.published(), issuer, public_url).routes(),
        *pages.routes(),
    ]


async def _look(database: Database, after: Position) -> Page:
    async with database.read() as connection:
        return await session_store.revocations_since(connection, after, most=PAGE)


def password_policy(config: Config) -> PasswordPolicy:
    """Return which passwords are accepted."""
    settings, host = config.passwords, urlsplit(config.http.public_url).hostname or ""
    common = CommonPasswords(resources.common_passwords())
    return PasswordPolicy(settings.min_length, settings.max_length, common, service_names(host))


def refresh_keys(config: Config) -> list[bytes]:
    """Return the secrets that refresh tokens are made with: the first makes them, all check them."""
    secret = config.sessions.refresh_secret
    if secret is None:
        return key_sets.refresh_secrets(config.tokens)
    return [part.encode() for part in secret.reveal().split()]


def derived_keys(config: Config, purpose: bytes) -> list[bytes]:
    """Return the keys of what shall outlive the signing keys as refresh tokens do: limits, known browsers, forms."""
    return key_sets.derived_keys(refresh_keys(config), purpose)


def make_tracing(config: Config) -> "Tracing | None":
    """Return what makes spans, or None where none are asked for: then nothing of OpenTelemetry is loaded.

    Raises:
        ConfigError: it is not installed, or cannot use its own variables.
    """
    if config.tracing.traces == "off":
        return None
    try:
        from authsvc.tracing import Tracing  # noqa: PLC0415 - only here, and only now

        return Tracing()
    except ImportError:
        fault = "OpenTelemetry is not installed: pip install 'authsvc[otel]', or set it to off."
    except ValueError:
        fault = "OpenTelemetry cannot use one of its own variables: look at those that begin with OTEL_BSP_."
    raise ConfigError([f"AUTHSVC_TRACES is otlp, and {fault}"])


def _log_event(event: Event) -> None:
    if not event.quiet:
        structlog.get_logger().info("event", message=event.tag, tag=event.tag, **vars(event))
