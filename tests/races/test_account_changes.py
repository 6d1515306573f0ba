"""A login that is just opening its session, while the password changes, or the account is disabled or deleted."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from authsvc.config import Config
from authsvc.events import OPERATOR
from authsvc.flows.delete_user import delete_as_operator
from authsvc.flows.users import Users
from authsvc.store import credentials, sessions
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client, FrozenClock
from tests.races.conftest import until_somebody_waits

LATE = UUID(int=7)
Act = Callable[[Client, str, Database, Config], Coroutine[Any, Any, None]]


async def change(client: Client, token: str, _database: Database, _config: Config) -> None:
    body = {"current_password": make.PASSWORD, "new_password": "another correct horse battery"}
    assert (await client.post("/api/auth/password", json=body, headers=make.bearer(token))).status == 204


async def disable(_client: Client, token: str, database: Database, config: Config) -> None:
    subject = await only_user(database)
    assert await Users(database, config.sessions, FrozenClock()).disable(subject) == 1 + bool(token)


async def delete(client: Client, token: str, _database: Database, _config: Config) -> None:
    body = {"password": make.PASSWORD}
    assert (await client.delete("/api/auth/me", json=body, headers=make.bearer(token))).status == 204


async def delete_by_operator(_client: Client, _token: str, database: Database, _config: Config) -> None:
    assert await delete_as_operator(database, await only_user(database))


async def only_user(database: Database) -> UUID:
    async with database.read() as connection:
        return UUID(str(await connection.fetchval("select public_id from users")))


@pytest.mark.parametrize("act", [change, disable, delete, delete_by_operator])
async def test_a_session_that_was_being_opened_ends_with_the_others(
    act: Act, client: Client, database: Database, config: Config
) -> None:
    """RST-19 (CWE-362): whoever ends the sessions waits for the login first, and only then looks which there are."""
    await make.user(client)
    token = await make.access_token(client)
    subject, now = await only_user(database), FrozenClock().now()
    async with database.read() as connection:
        credential = await credentials.by_subject(connection, subject)
    assert credential is not None
    async with database.transaction(OPERATOR) as login:
        assert await sessions.open_session(
            login.connection,
            session_id=LATE,
            subject=subject,
            password_hash=credential.password_hash or "",
            now=now,
            expires_at=now + timedelta(days=1),
            access_until=now + timedelta(hours=1),
            origin=OPERATOR,
            authentication_methods=["pwd"],
        )
        acting = asyncio.get_running_loop().create_task(act(client, token, database, config))
        await until_somebody_waits(database)
    await acting
    async with database.read() as connection:
        assert await connection.fetchval("select count(*) from sessions where id = $1", LATE) == 0
        assert await connection.fetchval("select count(*) from revocations where session_id = $1", LATE) == 1
