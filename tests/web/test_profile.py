"""Who is asking: GET /api/auth/me, the first page and the account page."""

import dataclasses

import pytest

from authsvc.config import Config
from authsvc.events import OPERATOR
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import ME, composed, log_in, problem


async def test_a_bearer_is_told_who_it_is(client: Client) -> None:
    account = await make.user(client)
    response = await client.get(ME, headers=make.bearer(await make.access_token(client)))
    assert (response.status, response.content_type, await response.json()) == (200, "application/json", account)
    assert response.headers["Cache-Control"] == "no-store"


async def test_head_answers_as_get_does_without_the_body(client: Client) -> None:
    """HTTP-05."""
    await make.user(client)
    headers = make.bearer(await make.access_token(client)) | {"X-Request-Id": "same"}
    got, head = await client.get(ME, headers=headers), await client.head(ME, headers=headers)
    assert (head.status, await head.read()) == (200, b"")
    assert head.headers.keys() == got.headers.keys()
    assert head.headers["Content-Length"] == got.headers["Content-Length"]
    assert (await client.head(ME)).status == 401
    assert (await client.head("/login")).status == 200


async def test_the_token_of_a_deleted_account_is_not_good(client: Client, database: Database) -> None:
    """TOK-23 (ASVS 7.4.2)."""
    await make.user(client)
    headers = make.bearer(await make.access_token(client))
    await log_in(client)
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute("delete from sessions")
        await transaction.connection.execute("delete from users")
    response = await client.get(ME, headers=headers)
    await problem(response, 401, "invalid_token")
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    account = await client.get("/account", allow_redirects=False)
    assert (account.status, account.headers["Location"]) == (303, "/login?next=%2Faccount")


async def test_an_expired_token_is_not_good_and_an_expired_session_leads_a_browser_to_the_login(
    client: Client, clock: FrozenClock
) -> None:
    await make.user(client)
    headers = make.bearer(await make.access_token(client))
    await log_in(client)
    assert (await client.get("/account", allow_redirects=False)).status == 200
    clock.advance(604_801)
    response = await client.get(ME, headers=headers)
    await problem(response, 401, "invalid_token")
    assert response.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    account = await client.get("/account", allow_redirects=False)
    assert (account.status, account.headers["Location"]) == (303, "/login?next=%2Faccount")
    assert "Create account" in await (await client.get("/")).text()


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_account_page_leads_strangers_to_the_login_and_back(client: Client, method: str) -> None:
    response = await client.request(method, "/account", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (303, "/login?next=%2Faccount")


async def test_the_first_page_knows_whether_somebody_is_logged_in(client: Client) -> None:
    assert '<a href="/login"' in await (await client.get("/")).text()
    await make.user(client)
    await log_in(client)
    page = await (await client.get("/")).text()
    assert '<a href="/account"' in page
    assert '<a href="/login"' not in page


async def test_without_its_database_the_account_page_says_so_to_people(
    config: Config, clock: FrozenClock, client: Client, serve: Serve
) -> None:
    await make.user(client)
    token = await make.access_token(client)
    elsewhere = dataclasses.replace(
        config.database, url=type(config.database.url)("postgresql://127.0.0.1:1/none?sslmode=disable")
    )
    broken = await serve(await composed(dataclasses.replace(config, database=elsewhere), clock))
    page = await broken.get("/account", headers={"Cookie": f"access_token={token}"})
    assert (page.status, page.content_type, page.headers["Retry-After"]) == (503, "text/html", "1")
    assert "cannot reach its database" in await page.text()
    login = await broken.get("/login", headers={"Cookie": f"access_token={token}"})
    assert login.status == 200
    await problem(await broken.get(ME, headers=make.bearer(token)), 503, "temporarily_unavailable")
