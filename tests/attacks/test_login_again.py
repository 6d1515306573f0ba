"""A second login in one browser: the session that its cookie was of ends, and none but that."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest
from aiohttp import ClientResponse

from tests import make
from tests.attacks.test_sessions import EVE, assert_alive, assert_over, claims_of, session_ids
from tests.conftest import Client
from tests.web.helpers import LOGIN, form, send

LogIn = Callable[[Client, str], Awaitable[ClientResponse]]


async def by_form(client: Client, email: str, password: str = make.PASSWORD) -> ClientResponse:
    return await send(client, "/login", await form(client, "/login") | {"email": email, "password": password})


async def by_script(client: Client, email: str, password: str = make.PASSWORD) -> ClientResponse:
    body = {"email": email, "password": password}
    return await client.post(LOGIN, json=body, headers={"Token-Delivery": "cookie"})


def held(client: Client) -> dict[str, str]:
    """Return the tokens that the browser holds."""
    jar = client.session.cookie_jar.filter_cookies(client.make_url("/"))
    return {name: jar[name].value for name in ("access_token", "refresh_token")}


def put(client: Client, refresh_token: str) -> None:
    client.session.cookie_jar.update_cookies({"refresh_token": refresh_token}, client.make_url("/"))


@pytest.mark.parametrize("log_in", [by_form, by_script])
@pytest.mark.parametrize("email", [make.EMAIL, EVE])
async def test_the_session_that_the_browser_held_ends_whosever_it_was(
    log_in: LogIn, email: str, client: Client
) -> None:
    """LGN-21, SES-01 (ASVS 7.2.4): another id, the old one is dead, and nothing of it is in the new one."""
    await make.user(client)
    await make.user(client, EVE)
    elsewhere = await make.tokens(client)
    await log_in(client, make.EMAIL)
    before = held(client)
    assert (await log_in(client, email)).status in (204, 303)
    after = held(client)
    await assert_over(client, before)
    assert claims_of(after)["sid"] != claims_of(before)["sid"]
    living = {claims_of(after)["sid"]} | ({claims_of(elsewhere)["sid"]} if email == make.EMAIL else set())
    assert set(await session_ids(client, after)) == living
    await assert_alive(client, after)
    await assert_alive(client, elsewhere)


@pytest.mark.parametrize("log_in", [by_form, by_script])
async def test_an_old_cookie_of_the_browsers_ends_its_session_too(log_in: LogIn, client: Client) -> None:
    """ASVS 7.2.4: the page has renewed meanwhile in another tab."""
    await make.user(client)
    await log_in(client, make.EMAIL)
    first = held(client)
    for _time in range(3):
        assert (await client.post("/api/auth/refresh", json={})).status == 204
    newest = held(client)
    put(client, first["refresh_token"])
    await log_in(client, make.EMAIL)
    await assert_over(client, newest)
    await assert_alive(client, held(client))


@pytest.mark.parametrize("log_in", [by_form, by_script])
async def test_who_does_not_get_in_ends_nothing(log_in: Any, client: Client) -> None:
    """CWE-613 turned round: a stranger logs nobody out."""
    await make.user(client)
    await log_in(client, make.EMAIL)
    refused = await log_in(client, make.EMAIL, "not this battery")
    assert refused.status == 401
    await assert_alive(client, held(client))


async def test_a_program_that_gets_its_tokens_in_the_answer_ends_nothing(client: Client) -> None:
    """ASVS 7.2.4: its tokens replace none, and the cookie beside them stays good."""
    await make.user(client)
    await by_form(client, make.EMAIL)
    await make.tokens(client)
    await assert_alive(client, held(client))


FORGERIES: dict[str, Callable[[bytes, UUID], bytes]] = {
    "grafted onto the session of somebody else": lambda data, other: data[:1] + other.bytes + data[17:],
    "without its last byte": lambda data, _other: data[:-1],
    "an id alone": lambda _data, other: other.bytes,
}


@pytest.mark.parametrize("log_in", [by_form, by_script])
@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_cookie_that_is_no_token_of_ours_ends_nobodys_session(
    log_in: LogIn, forge: Callable[[bytes, UUID], bytes], client: Client
) -> None:
    """CWE-345."""
    await make.user(client)
    await make.user(client, EVE)
    ada, eve = await make.tokens(client), await make.tokens(client, EVE)
    data = base64.urlsafe_b64decode(eve["refresh_token"])
    put(client, base64.urlsafe_b64encode(forge(data, UUID(claims_of(ada)["sid"]))).decode().rstrip("="))
    assert (await log_in(client, EVE)).status in (204, 303)
    await assert_alive(client, ada)
    await assert_alive(client, eve)


async def test_of_two_cookies_of_one_name_neither_ends_a_session(client: Client) -> None:
    """FRM-05 (RFC 6265 §8.6): a sibling host has tossed one in."""
    await make.user(client)
    ada, other = await make.tokens(client), await make.tokens(client)
    cookies = "; ".join(f"refresh_token={each['refresh_token']}" for each in (ada, other))
    body = {"email": make.EMAIL, "password": make.PASSWORD}
    sent = await client.post(LOGIN, json=body, headers={"Token-Delivery": "cookie", "Cookie": cookies})
    assert sent.status == 204
    await assert_alive(client, ada)
    await assert_alive(client, other)
