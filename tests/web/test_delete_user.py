"""Deleting one's account: DELETE /api/auth/me."""

import asyncio

from aiohttp import ClientResponse

from authsvc.config import Config
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import CREDENTIALS, ME, composed, form, log_in, problem

AGENT = {"User-Agent": "Browser of Ada"}


async def delete(client: Client, token: str, password: str = make.PASSWORD) -> ClientResponse:
    return await client.delete(ME, json={"password": password}, headers=make.bearer(token) | AGENT)


async def test_the_account_is_gone_with_its_sessions_and_its_journal(client: Client, database: Database) -> None:
    """SES-06, LGX-10 (ASVS 7.4.2)"""
    user = await make.user(client)
    other, mine = await make.access_token(client), await make.access_token(client)
    response = await delete(client, mine)
    assert response.status == 204
    for token in (other, mine):
        for path in (ME, "/api/auth/sessions"):
            await problem(await client.get(path, headers=make.bearer(token)), 401, "invalid_token")
    await problem(await client.post("/api/auth/login", json=CREDENTIALS), 401, "invalid_credentials")
    async with database.read() as connection:
        assert await connection.fetchval("select count(*) from users") == 0
        assert await connection.fetchval("select count(*) from sessions") == 0
        assert await connection.fetchval("select count(*) from revocations") == 2
        about = await connection.fetch(
            "select event, session_id, address, agent from journal where subject = $1", user["id"]
        )
    assert [tuple(row) for row in about] == [("user:delete:success", None, None, None)]


async def test_what_belongs_to_others_stays(client: Client) -> None:
    await make.user(client)
    await make.user(client, "grace@example.com")
    grace = await make.access_token(client, "grace@example.com")
    assert (await delete(client, await make.access_token(client))).status == 204
    export = await (await client.get(f"{ME}/export", headers=make.bearer(grace))).json()
    assert export["user"]["email"] == "grace@example.com"
    assert len(export["sessions"]) == 1
    assert [entry["event"] for entry in export["activity"]] == ["session:login:success", "user:register:success"]


async def test_the_address_is_free_again_for_another_account(client: Client) -> None:
    """SES-06 (ASVS 10.3.3)"""
    before = await make.user(client)
    token = await make.access_token(client)
    await delete(client, token)
    after = await make.user(client)
    assert after["id"] != before["id"]
    await problem(await client.get(ME, headers=make.bearer(token)), 401, "invalid_token")
    page = await client.get("/api/auth/activity", headers=make.bearer(await make.access_token(client)))
    assert [entry["event"] for entry in (await page.json())["activity"]] == [
        "session:login:success",
        "user:register:success",
    ]


async def test_a_wrong_password_deletes_nothing_and_is_recorded(client: Client) -> None:
    await make.user(client)
    token = await make.access_token(client)
    await problem(await delete(client, token, "not the password"), 401, "invalid_credentials")
    page = await (await client.get("/api/auth/activity", headers=make.bearer(token))).json()
    assert page["activity"][0]["event"] == "user:delete:failure"
    assert page["activity"][0]["agent"] == AGENT["User-Agent"]


async def test_a_session_that_another_instance_ended_cannot_delete(
    client: Client, config: Config, clock: FrozenClock, serve: Serve
) -> None:
    await make.user(client)
    token = await make.access_token(client)
    elsewhere = await serve(await composed(config, clock))
    assert (await elsewhere.post("/api/auth/logout", headers=make.bearer(token))).status == 204
    await problem(await delete(client, token), 401, "invalid_token")
    await make.access_token(client)


async def test_another_instance_knows_the_tokens_of_the_deleted_as_dead(
    client: Client, config: Config, clock: FrozenClock, serve: Serve
) -> None:
    """TOK-23 (ASVS 7.4.2): though it has not looked yet."""
    await make.user(client)
    elsewhere = await serve(await composed(config, clock))
    token = await make.access_token(client)
    assert (await elsewhere.get(ME, headers=make.bearer(token))).status == 200
    assert (await delete(client, token)).status == 204
    for path in (ME, f"{ME}/export"):
        await problem(await elsewhere.get(path, headers=make.bearer(token)), 401, "invalid_token")
    await problem(await delete(elsewhere, token), 401, "invalid_token")


async def test_logins_at_the_same_moment_leave_nothing(client: Client, database: Database) -> None:
    for _ in range(5):
        await make.user(client)
        token = await make.access_token(client)
        deleted, *logins = await asyncio.gather(
            delete(client, token), *(client.post("/api/auth/login", json=CREDENTIALS) for _ in range(6))
        )
        assert deleted.status == 204
        assert {login.status for login in logins} <= {200, 401}
        async with database.read() as connection:
            assert await connection.fetchval("select count(*) from sessions") == 0
            assert await connection.fetchval("select count(*) from users") == 0


async def test_by_cookies_too_the_password_is_asked_for(client: Client) -> None:
    await make.user(client)
    await log_in(client)
    await form(client, "/account")
    refusal = await problem(await client.delete(ME), 415, "unsupported_media_type")
    assert "That is application/json, in UTF-8." in refusal["detail"]
    refused = await client.delete(ME, json={"password": make.PASSWORD}, headers={"Sec-Fetch-Site": "cross-site"})
    await problem(refused, 403, "cross_site_request")
    assert (await client.delete(ME, json={"password": make.PASSWORD})).status == 204
