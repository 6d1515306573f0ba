"""The composition: Config in, two applications out. Every wire is visible here, in order."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog
from aiohttp import web

from authsvc import key_sets, resources
from authsvc.clock import Clock, SystemClock
from authsvc.config import Config
from authsvc.entropy import Entropy, SystemEntropy
from authsvc.events import Event
from authsvc.flows.login import Login
from authsvc.flows.profile import Profile
from authsvc.flows.readiness import ReadinessCheck
from authsvc.flows.register import Register
from authsvc.metrics import Metrics
from authsvc.password_policy import PasswordPolicy
from authsvc.passwords import Passwords
from authsvc.signing import AccessTokenIssuer, AccessTokenReader
from authsvc.store.database import Database
from authsvc.web import routes
from authsvc.web.cookies import Cookies
from authsvc.web.docs import DocsDoor
from authsvc.web.form_tokens import FormTokens
from authsvc.web.forms import Forms
from authsvc.web.guard import Guard
from authsvc.web.health import AdminDoor
from authsvc.web.keys import KeysDoor
from authsvc.web.login import LoginDoor
from authsvc.web.logout import LogoutDoor
from authsvc.web.middleware import observe, refuse_cross_site
from authsvc.web.pages import Pages
from authsvc.web.problems import Problems, handle_refusals
from authsvc.web.profile import ProfileDoor
from authsvc.web.reading import MAX_BODY_BYTES
from authsvc.web.register import RegisterDoor


@dataclass(frozen=True)
class Service:
    """The composed service. The public application owns the pool and the hashing threads."""

    public: web.Application
    admin: web.Application
    readiness: ReadinessCheck


def compose(config: Config, *, clock: Clock | None = None, entropy: Entropy | None = None) -> Service:
    """Return the service that `config` describes.

    Raises:
        ValueError: the keys cannot be used (`Config.read` with `check_keys` has said so before).
    """
    clock, entropy = clock or SystemClock(), entropy or SystemEntropy()
    http, tokens = config.http, config.tokens
    keys = key_sets.load_keys(tokens)

    metrics = Metrics()
    database = Database(config.database, observers=[metrics.event, _log_event])
    passwords = Passwords(
        config.passwords.profile,
        threads=config.passwords.threads,
        queue_seconds=config.passwords.queue_seconds,
        observe=metrics.hash,
    )
    policy = PasswordPolicy(config.passwords.min_length, config.passwords.max_length, resources.common_passwords())
    issuer = AccessTokenIssuer(
        keys.signing, tokens.issuer, tokens.audience, tokens.lifetime_seconds, clock=clock, entropy=entropy
    )
    reader = AccessTokenReader(keys.verification, issuer=tokens.issuer, audience=tokens.audience, clock=clock)

    register = Register(database, passwords, policy, clock, entropy)
    login = Login(database, passwords, issuer, clock, entropy)
    profile = Profile(database)
    readiness = ReadinessCheck(database)

    cookies = Cookies.of(http.public_url)
    guard = Guard(reader, cookies.access_token)
    form_tokens = FormTokens(key_sets.derived_keys(tokens, b"form token"), cookies.form_nonce, guard, entropy)
    pages = Pages()
    forms = Forms(pages, form_tokens)
    table = [
        *RegisterDoor(register, forms).routes(),
        *LoginDoor(login, policy, cookies.access_token, forms).routes(),
        *ProfileDoor(profile, pages, form_tokens).routes(),
        *LogoutDoor(cookies.access_token, form_tokens).routes(),
        *KeysDoor(keys.published(), tokens.issuer, http.public_url).routes(),
        *pages.routes(),
    ]
    docs = DocsDoor(tuple(table), http.public_url, pages)
    table += docs.routes()

    public = web.Application(
        middlewares=[
            observe(metrics, entropy, http.public_url),
            handle_refusals(Problems(http.public_url), pages),
            refuse_cross_site(http.public_url),
            guard.middleware(),
        ],
        client_max_size=MAX_BODY_BYTES,
    )
    pages.install(public)
    routes.install(public, table)
    metrics.gauge("authsvc_password_hashes_pending", "Password hashes that run or wait.", lambda: passwords.pending)
    metrics.gauge("authsvc_database_connections", "Open connections.", lambda: database.connections()[0])
    metrics.gauge("authsvc_database_connections_idle", "Idle connections.", lambda: database.connections()[1])

    async def lifetime(_app: web.Application) -> AsyncIterator[None]:
        await database.open()
        yield
        await passwords.close()
        await database.close()

    public.on_startup.append(docs.render)
    public.cleanup_ctx.append(lifetime)
    return Service(public, AdminDoor(readiness, metrics).application(), readiness)


def _log_event(event: Event) -> None:
    structlog.get_logger().info("event", tag=event.tag, **vars(event))
