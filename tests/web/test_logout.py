"""Logging out: the form in the header of the pages, and what becomes of the cookies beside a bearer."""

from collections.abc import Mapping
from typing import Any

import pytest

from authsvc.app import Service
from authsvc.web.routes import ROUTES
from tests import make
from tests.conftest import Client, FrozenClock
from tests.web.helpers import ME, form, log_in, problem, send

LOGOUT = '<form method="post" action="/logout">'


async def test_logging_out_makes_the_browser_forget_its_token(client: Client) -> None:
    await make.user(client)
    await log_in(client)
    sent = await send(client, "/logout", await form(client, "/account"))
    assert (sent.status, sent.headers["Location"]) == (303, "/login")
    for name in ("access_token", "refresh_token"):
        assert (sent.cookies[name].value, sent.cookies[name]["max-age"]) == ("", "0")
    assert sent.headers["Clear-Site-Data"] == '"cache", "storage"'
    await problem(await client.get(ME), 401, "missing_credentials")


async def test_who_is_logged_in_can_log_out_on_every_page(client: Client, service: Service) -> None:
    """ASVS 7.4.4. The reference is one page for everybody."""
    await make.user(client)
    table = service.public[ROUTES].values()
    paths = {route.path for route in table if route.page and route.method == "GET"} - {"/api/docs"}
    assert {"/", "/account", "/account/activity"} < paths
    for path in sorted(paths):
        assert LOGOUT not in await (await client.get(path)).text(), path
        await log_in(client)
        assert LOGOUT in await (await client.get(path)).text(), path
        await send(client, "/logout", await form(client, path))
        await problem(await client.get(ME), 401, "missing_credentials")


async def test_a_page_that_is_the_same_for_everybody_takes_nobody_for_a_stranger(client: Client) -> None:
    await make.user(client)
    await log_in(client)
    for answer in (
        await client.get("/api/docs"),
        await client.get("/nothing", headers={"Accept": "text/html"}),
        await send(client, "/logout", {}),
    ):
        header = (await answer.text()).partition("</nav>")[0]
        assert (header.count('href="/account"'), header.count('href="/login"')) == (1, 0), answer.url


async def test_a_link_or_an_image_logs_nobody_out(client: Client) -> None:
    """SES-03 (ASVS 3.5.3, 10.6.2)."""
    await make.user(client)
    await log_in(client)
    response = await client.get("/logout", headers={"Accept": "text/html"})
    assert (response.status, response.headers["Allow"], response.content_type) == (405, "POST", "text/html")
    refused = await send(client, "/logout", {})
    assert (refused.status, refused.content_type) == (403, "text/html")
    assert (await client.get(ME)).status == 200


async def test_who_was_logged_out_by_time_may_still_log_out(client: Client, clock: FrozenClock) -> None:
    await make.user(client)
    await log_in(client)
    fields = await form(client, "/account")
    clock.advance(604_801)
    sent = await send(client, "/logout", fields)
    assert (sent.status, sent.headers["Location"]) == (303, "/login")


ACTS = {
    "logout": ("POST", "/api/auth/logout", {}),
    "logout-all": ("POST", "/api/auth/logout-all", {}),
    "deletion": ("DELETE", ME, {"password": make.PASSWORD}),
}
WHOSE = {
    "this session": {"logout", "logout-all", "deletion"},
    "another session of the account": {"logout-all", "deletion"},
    "somebody else": set[str](),
}


def cookie(pair: Mapping[str, Any], *names: str) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={pair[name]}" for name in names)}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("whose", WHOSE)
async def test_a_bearer_clears_the_cookies_beside_it_only_where_their_session_ended(
    whose: str, act: str, client: Client
) -> None:
    """MW-08: else whoever logs out a program would log out the browser that it runs in, of another session."""
    await make.user(client)
    await make.user(client, "eve@example.com")
    mine = await make.tokens(client)
    held = mine
    if whose != "this session":
        held = await make.tokens(client, make.EMAIL if "account" in whose else "eve@example.com")
    method, path, body = ACTS[act]
    headers = make.bearer(mine["access_token"]) | cookie(held, "access_token", "refresh_token")
    sent = await client.request(method, path, json=body, headers=headers)
    assert sent.status == 204
    is_cleared = act in WHOSE[whose]
    assert {name: morsel["max-age"] for name, morsel in sent.cookies.items()} == (
        {"access_token": "0", "refresh_token": "0"} if is_cleared else {}
    )
    assert ("Clear-Site-Data" in sent.headers) == is_cleared
    still = await client.get(ME, headers=cookie(held, "access_token"))
    assert still.status == (401 if is_cleared else 200)


@pytest.mark.parametrize("act", ACTS)
async def test_a_browser_that_holds_only_the_refresh_token_of_what_ended_forgets_it(act: str, client: Client) -> None:
    """Its access token has expired."""
    await make.user(client)
    mine = await make.tokens(client)
    method, path, body = ACTS[act]
    headers = make.bearer(mine["access_token"]) | cookie(mine, "refresh_token")
    sent = await client.request(method, path, json=body, headers=headers)
    assert (sent.status, sent.cookies["refresh_token"]["max-age"]) == (204, "0")


@pytest.mark.parametrize("act", ACTS)
async def test_a_browser_that_asks_by_its_cookie_forgets_it(act: str, client: Client) -> None:
    await make.user(client)
    await log_in(client)
    method, path, body = ACTS[act]
    sent = await client.request(method, path, json=body)
    assert sent.status == 204
    assert {name: morsel["max-age"] for name, morsel in sent.cookies.items()} == {
        "access_token": "0",
        "refresh_token": "0",
    }


@pytest.mark.parametrize("cookies", ["access_token=x; refresh_token=y", "access_token=", ""])
async def test_where_the_cookies_are_no_tokens_there_is_nothing_to_forget(cookies: str, client: Client) -> None:
    await make.user(client)
    headers = make.bearer(await make.access_token(client)) | {"Cookie": cookies}
    sent = await client.post("/api/auth/logout", headers=headers)
    assert (sent.status, len(sent.cookies)) == (204, 0)


async def test_who_keeps_the_session_that_asks_keeps_the_cookies(client: Client) -> None:
    await make.user(client)
    await log_in(client)
    sent = await client.post("/api/auth/logout-all", json={"keep_current": True})
    assert (sent.status, len(sent.cookies)) == (204, 0)
