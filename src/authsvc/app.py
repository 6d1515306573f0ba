"""The composition: Config in, two applications out. Every wire is visible here, in order."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import structlog
from aiohttp import web

from authsvc import resources, signing
from authsvc.clock import Clock, SystemClock
from authsvc.config import Config
from authsvc.entropy import Entropy, SystemEntropy
from authsvc.events import Event
from authsvc.flows.activity import Activity
from authsvc.flows.change_password import ChangePassword
from authsvc.flows.delete_user import DeleteUser
from authsvc.flows.export_user import ExportUser
from authsvc.flows.login import Login
from authsvc.flows.profile import Profile
from authsvc.flows.readiness import ReadinessCheck
from authsvc.flows.refresh import Refresh
from authsvc.flows.register import Register
from authsvc.flows.session_check import SessionCheck
from authsvc.flows.sessions import Sessions
from authsvc.metrics import Metrics
from authsvc.password_policy import PasswordPolicy
from authsvc.passwords import Passwords
from authsvc.refresh_tokens import RefreshTokens
from authsvc.revocations import Revocations
from authsvc.session_tokens import SessionTokens
from authsvc.signing import AccessTokenIssuer, AccessTokenReader
from authsvc.store import sessions as session_store
from authsvc.store.database import Database
from authsvc.web import routes
from authsvc.web.activity import ActivityDoor
from authsvc.web.change_password import ChangePasswordDoor
from authsvc.web.cookies import Cookies
from authsvc.web.delete_user import DeleteUserDoor
from authsvc.web.docs import DocsDoor
from authsvc.web.export_user import ExportUserDoor
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
from authsvc.web.refresh import RefreshDoor
from authsvc.web.register import RegisterDoor
from authsvc.web.sessions import SessionsDoor


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
    keys = signing.load_keys(tokens)

    metrics = Metrics()
    revocations = Revocations(
        lambda transaction_id: _look(database, transaction_id),
        clock,
        config.sessions.poll_seconds,
        config.sessions.stale_seconds,
    )
    database = Database(config.database, [metrics.event, _log_event, revocations.observe], clock)
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
    reader = AccessTokenReader(
        keys.verification,
        issuer=tokens.issuer,
        audience=tokens.audience,
        clock=clock,
        cache_bytes=tokens.cache_bytes,
    )
    refresh_tokens = RefreshTokens(_refresh_keys(config))
    session_tokens = SessionTokens(issuer, refresh_tokens, config.sessions, clock)

    register = Register(database, passwords, policy, clock, entropy)
    login = Login(database, passwords, session_tokens, clock, entropy)
    refresh = Refresh(database, session_tokens, clock)
    sessions = Sessions(database, session_tokens, clock)
    session_check = SessionCheck(revocations, database, session_tokens, clock)
    profile = Profile(database)
    change_password = ChangePassword(database, passwords, policy, clock)
    delete_user = DeleteUser(database, passwords)
    readiness = ReadinessCheck(database)

    cookies = Cookies.of(http.public_url)
    guard = Guard(reader, session_check, refresh, cookies)
    form_tokens = FormTokens(signing.derived_keys(tokens, b"form token"), cookies.form_nonce, entropy)
    pages = Pages()
    forms = Forms(pages, form_tokens)
    table = [
        *RegisterDoor(register, forms).routes(),
        *LoginDoor(login, policy, cookies, forms).routes(),
        *RefreshDoor(refresh, cookies).routes(),
        *SessionsDoor(sessions).routes(),
        *LogoutDoor(sessions, cookies, form_tokens).routes(),
        *ProfileDoor(profile, pages, form_tokens).routes(),
        *ChangePasswordDoor(change_password, policy).routes(),
        *ActivityDoor(Activity(database)).routes(),
        *ExportUserDoor(ExportUser(database)).routes(),
        *DeleteUserDoor(delete_user, policy, cookies).routes(),
        *KeysDoor(keys.published()).routes(),
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
    metrics.gauge("authsvc_revocations", "Ended sessions known to this instance.", lambda: len(revocations))
    metrics.gauge(
        "authsvc_revocations_age_seconds", "Time since the database last said which sessions ended.", revocations.age
    )

    async def lifetime(_app: web.Application) -> AsyncIterator[None]:
        await database.open()
        await revocations.refresh()
        following = asyncio.get_running_loop().create_task(revocations.follow())
        yield
        following.cancel()
        await asyncio.wait([following])
        await passwords.close()
        await database.close()

    public.on_startup.append(docs.render)
    public.cleanup_ctx.append(lifetime)
    return Service(public, AdminDoor(readiness, metrics).application(), readiness)


async def _look(database: Database, transaction_id: int) -> tuple[list[tuple[UUID, datetime]], int]:
    async with database.read() as connection:
        died, next_transaction_id = await session_store.revocations_since(connection, transaction_id)
    return [(each.session_id, each.expires_at) for each in died], next_transaction_id


def _refresh_keys(config: Config) -> list[bytes]:
    secret = config.sessions.refresh_secret
    if secret is None:
        return signing.derived_keys(config.tokens, b"refresh token")
    return [part.encode() for part in secret.reveal().split()]


def _log_event(event: Event) -> None:
    structlog.get_logger().info("event", tag=event.tag, **vars(event))
