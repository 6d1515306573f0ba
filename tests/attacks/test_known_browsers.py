"""Browsers that logged in before: no stranger keeps their owner out, and none is a way around the limits."""

import json
from collections.abc import Callable
from functools import partial

import pytest

from authsvc.limits import KNOWN_SECONDS
from tests import make
from tests.attacks.test_limits import BURST, OWNER, config, from_anywhere, guess, statuses, use_up
from tests.conftest import Client, FrozenClock
from tests.make import EMAIL, PASSWORD
from tests.web.helpers import CREDENTIALS, LOGIN, Wire

__all__ = ["config"]  # the fixture: production's limits


@pytest.mark.parametrize("mark", ["\udcff.x", "x.\udcff", "é.é", ".", "a.b.c", "x" * 4000], ids=ascii)
async def test_a_cookie_of_no_browser_of_ours_is_as_if_it_were_not_there(client: Client, mark: str) -> None:
    """SES-08, TOK-11 (CWE-248): a byte beyond ASCII arrives as a lone surrogate."""
    await make.user(client)
    body = json.dumps(CREDENTIALS)
    head = [f"POST {LOGIN} HTTP/1.1", "Host: authsvc", "Connection: close", "Content-Type: application/json"]
    lines = [*head, f"Content-Length: {len(body)}", f"Cookie: known_browser={mark}", "", body]
    answer = await Wire(client.server.port).exchange("\r\n".join(lines).encode("utf-8", "surrogateescape"))
    assert answer.startswith(b"HTTP/1.1 200 ")


async def browser_of(client: Client, email: str = EMAIL) -> str:
    """Log in with a browser; return the cookie by which it is known from then on."""
    headers = {"Token-Delivery": "cookie", "X-Forwarded-For": OWNER}
    response = await client.post(LOGIN, json={"email": email, "password": PASSWORD}, headers=headers)
    assert response.status == 204
    morsel = response.cookies["known_browser"]
    assert morsel["httponly"]
    client.session.cookie_jar.clear()
    return f"known_browser={morsel.value}"


async def test_a_stranger_who_keeps_guessing_does_not_keep_the_owner_out_of_his_own_browser(
    client: Client, clock: FrozenClock
) -> None:
    """LGN-11: ASVS 6.1.1."""
    await make.user(client)
    cookie, anywhere = await browser_of(client), from_anywhere()
    for _ in range(30):
        answer = await guess(client, address=anywhere())
        clock.advance(int(answer.headers.get("Retry-After", 0)))
    assert (await guess(client, address=anywhere())).status in (401, 429)
    assert (await guess(client, password=PASSWORD, address=OWNER)).status == 429
    answer = await guess(client, password=PASSWORD, address=OWNER, Cookie=cookie)
    assert answer.status == 200
    # And that gave the strangers nothing back.
    assert (await guess(client, address=anywhere())).status == 429


@pytest.mark.parametrize(
    "forge",
    [
        lambda own, _other: own[:-1] + ("A" if own[-1] != "A" else "B"),
        lambda own, _other: own.replace("=", "=9", 1),
        lambda _own, other: other,
        lambda _own, _other: "known_browser=.",
        lambda own, _other: own + "é",
    ],
    ids=["another MAC", "another time", "that of another account", "none", "not ASCII"],
)
async def test_nobody_makes_himself_a_known_browser(forge: Callable[[str, str], str], client: Client) -> None:
    """LGN-11 (ASVS 6.1.1): each made-up one would be a fresh count."""
    await make.user(client)
    await make.user(client, "mallory@example.com")
    forged = forge(await browser_of(client), await browser_of(client, "mallory@example.com"))
    await use_up(client)
    assert (await guess(client, Cookie=forged)).status == 429


async def test_a_browser_that_is_known_is_limited_like_everybody(client: Client) -> None:
    """LGN-11 (ASVS 6.1.1): a cookie may be stolen."""
    await make.user(client)
    known = partial(guess, client, Cookie=await browser_of(client))
    assert await statuses(*(known() for _ in range(BURST + 1))) == [401] * BURST + [429]


async def test_who_collected_many_marks_has_no_more_guesses_than_with_one(client: Client, clock: FrozenClock) -> None:
    """LGN-06 (CWE-307): each right login gives one, and they outlive a change of the password."""
    await make.user(client)
    marks = []
    for _ in range(BURST + 1):
        marks.append(await browser_of(client))
        clock.advance(1)
    answers = [(await guess(client, Cookie=mark)).status for mark in marks]
    assert answers == [401] * BURST + [429]


async def test_a_browser_is_known_for_a_year(client: Client, clock: FrozenClock) -> None:
    """LGN-11 (ASVS 6.1.1): what a cookie says of its own end binds nobody who stole it."""
    await make.user(client)
    cookie = await browser_of(client)
    clock.advance(KNOWN_SECONDS)
    await use_up(client)
    assert (await guess(client, Cookie=cookie)).status == 429
