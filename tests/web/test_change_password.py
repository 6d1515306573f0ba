"""Changing the password: POST /api/auth/password."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import argon2
import pytest
from aiohttp import ClientResponse

from authsvc.breached_passwords import BreachedPasswords
from authsvc.config import Config
from authsvc.events import OPERATOR
from authsvc.flows.change_password import ChangePassword
from authsvc.hash_queue import always
from authsvc.limits import Limits
from authsvc.password_policy import Password, PasswordPolicy
from authsvc.passwords import Passwords
from authsvc.store.database import Database
from tests import make
from tests.conftest import CHEAP, Client, FrozenClock, Serve
from tests.web.helpers import ME, composed, faults_of, problem

PATH = "/api/auth/password"
POLICY = PasswordPolicy(8, 256, frozenset())
NEW = "another correct horse battery"


async def pair(client: Client, password: str = make.PASSWORD) -> Any:
    response = await client.post("/api/auth/login", json={"email": make.EMAIL, "password": password})
    assert response.status == 200, await response.text()
    return await response.json()


async def change(client: Client, token: str, current: str = make.PASSWORD, new: str = NEW) -> ClientResponse:
    body = {"current_password": current, "new_password": new}
    return await client.post(PATH, json=body, headers=make.bearer(token))


async def events(client: Client, token: str) -> list[str]:
    answer = await (await client.get("/api/auth/activity", headers=make.bearer(token))).json()
    return [entry["event"] for entry in answer["activity"]]


async def test_the_new_password_is_good_and_the_old_one_is_not(client: Client) -> None:
    await make.user(client)
    token = await make.access_token(client)
    assert (await change(client, token)).status == 204
    refused = await client.post("/api/auth/login", json={"email": make.EMAIL, "password": make.PASSWORD})
    await problem(refused, 401, "invalid_credentials")
    await pair(client, NEW)
    assert (await events(client, token))[:3] == [
        "session:login:success",
        "session:login:failure",
        "credential:change:success",
    ]


async def test_a_password_manager_finds_the_form(client: Client) -> None:
    found = await client.get("/.well-known/change-password", allow_redirects=False)
    assert (found.status, found.headers["Location"]) == (303, "/account/password")
    unsure = await client.get("/.well-known/resource-that-should-not-exist-whose-status-code-should-not-be-200")
    assert unsure.status == 404


async def test_every_other_session_ends_and_the_one_that_asks_stays(client: Client) -> None:
    """REF-10, RST-19 (ASVS 7.4.3)"""
    await make.user(client)
    others = [await pair(client) for _ in range(3)]
    mine = await pair(client)
    assert (await change(client, mine["access_token"])).status == 204
    for other in others:
        await problem(await client.get(ME, headers=make.bearer(other["access_token"])), 401, "invalid_token")
        refreshed = await client.post("/api/auth/refresh", json={"refresh_token": other["refresh_token"]})
        await problem(refreshed, 400, "invalid_grant")
    assert (await client.get(ME, headers=make.bearer(mine["access_token"]))).status == 200
    assert (await client.post("/api/auth/refresh", json={"refresh_token": mine["refresh_token"]})).status == 200
    assert (await events(client, mine["access_token"]))[:4] == ["session:end:password_changed"] * 3 + [
        "credential:change:success"
    ]


async def test_a_wrong_current_password_changes_nothing_and_is_recorded(client: Client) -> None:
    """RST-18 (ASVS 6.2.3, 7.5.1)"""
    await make.user(client)
    other, mine = await pair(client), await make.access_token(client)
    await problem(await change(client, mine, current=NEW), 401, "invalid_credentials")
    assert (await client.get(ME, headers=make.bearer(other["access_token"]))).status == 200
    await pair(client)
    assert "credential:change:failure" in await events(client, mine)


@pytest.mark.parametrize(
    "new, code", [("short", "password_too_short"), ("password", "password_common"), (make.EMAIL, "password_is_email")]
)
async def test_a_new_password_is_held_against_the_policy(client: Client, new: str, code: str) -> None:
    await make.user(client)
    token = await make.access_token(client)
    document = await problem(await change(client, token, new=new), 422, "invalid_input")
    assert faults_of(document) == {("new_password", code)}
    await pair(client)


async def test_an_inherited_hash_is_the_current_password(client: Client, database: Database) -> None:
    await make.user(client)
    token = await make.access_token(client)
    inherited = argon2.PasswordHasher(1, 8, 1, type=argon2.Type.I)
    async with database.read() as connection:
        await connection.execute(
            "update users set password_hash = $1", await asyncio.to_thread(inherited.hash, make.PASSWORD)
        )
    assert (await change(client, token)).status == 204


async def test_an_account_without_a_password_or_with_a_broken_hash_has_none_to_give(
    client: Client, database: Database
) -> None:
    await make.user(client)
    token = await make.access_token(client)
    for stored in (None, "$argon2id$broken"):
        async with database.read() as connection:
            await connection.execute("update users set password_hash = $1", stored)
        await problem(await change(client, token), 401, "invalid_credentials")


async def test_a_session_that_another_instance_ended_cannot_change_it(
    client: Client, config: Config, clock: FrozenClock, serve: Serve
) -> None:
    """The token still passes here: what ended is not known yet."""
    await make.user(client)
    token = await make.access_token(client)
    elsewhere = await serve(await composed(config, clock))
    assert (await elsewhere.post("/api/auth/logout", headers=make.bearer(token))).status == 204
    await problem(await change(client, token), 401, "invalid_token")
    await pair(client)


class Overtaken(Passwords):
    """While the new password is hashed, somebody else replaces the stored hash."""

    stored: str | None = None
    database: Database

    async def hash(self, password: Password, wanted: Callable[[], bool] = always) -> str:
        hashed = await super().hash(password, wanted)
        if self.stored is None:
            self.stored = await super().hash(POLICY.read(make.PASSWORD))
            async with self.database.read() as connection:
                await connection.execute("update users set password_hash = $1", self.stored)
        return hashed


async def test_a_rehash_in_the_midst_of_a_change_is_no_wrong_password(client: Client, database: Database) -> None:
    """A login elsewhere renews the hash between look and lock: the password is still the right one."""
    user = await make.user(client)
    token = await make.access_token(client)
    [session] = (await (await client.get("/api/auth/sessions", headers=make.bearer(token))).json())["sessions"]
    passwords = await asyncio.to_thread(Overtaken, CHEAP, threads=1, queue_seconds=5)
    passwords.database = database
    clock = FrozenClock()
    limits = Limits.none(database, clock)
    await ChangePassword(database, passwords, limits, POLICY, BreachedPasswords(None, 1), clock).change(
        UUID(user["id"]), UUID(session["id"]), POLICY.read(make.PASSWORD), POLICY.read(NEW), OPERATOR
    )
    await passwords.close()
    assert passwords.stored is not None
    await pair(client, NEW)


async def test_logins_at_the_same_moment_leave_no_session_of_the_old_password(client: Client) -> None:
    """RST-19: each either comes before, and is ended, or finds another hash."""
    await make.user(client)
    password, next_password = make.PASSWORD, NEW
    for _ in range(5):
        token = (await pair(client, password))["access_token"]

        async def log_in(password: str = password) -> ClientResponse:
            return await client.post("/api/auth/login", json={"email": make.EMAIL, "password": password})

        changed, *logins = await asyncio.gather(
            change(client, token, password, next_password), *(log_in() for _ in range(8))
        )
        assert changed.status == 204
        for login in logins:
            if login.status == 200:
                opened = (await login.json())["access_token"]
                await problem(await client.get(ME, headers=make.bearer(opened)), 401, "invalid_token")
        password, next_password = next_password, password


async def test_of_two_changes_at_once_one_is_made(client: Client) -> None:
    """RST-19: one final state; the other gave what is no longer the current password, or its session has ended."""
    await make.user(client)
    wishes = {f"{NEW} {number}": await make.access_token(client) for number in range(4)}
    answers = await asyncio.gather(*(change(client, token, new=new) for new, token in wishes.items()))
    assert sorted(answer.status for answer in answers) == [204, 401, 401, 401]
    [winner] = [new for new, answer in zip(wishes, answers, strict=True) if answer.status == 204]
    await pair(client, winner)
