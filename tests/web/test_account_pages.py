"""The account page: where somebody is logged in, and the buttons that end it."""

import base64
import html
import re
from uuid import UUID

import pytest
from aiohttp import ClientResponse

from tests import make
from tests.conftest import Client, FrozenClock
from tests.web.helpers import CREDENTIALS, ME, form, log_in, send

SESSIONS = "/api/auth/sessions"
END, END_OTHERS = "/account/sessions/end", "/account/sessions/end-others"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0"
ACCESS_IS_OVER = 900 + 31


async def _logged_in_twice(client: Client) -> str:
    """Log the browser in, after another one elsewhere; return the access token of that."""
    await make.user(client)
    elsewhere = await client.post("/api/auth/login", json=CREDENTIALS, headers={"User-Agent": FIREFOX})
    await log_in(client)
    return str((await elsewhere.json())["access_token"])


async def _text(response: ClientResponse) -> str:
    """Return what a page says, without its markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", await response.text())).split())


async def _page(client: Client, path: str = "/account") -> str:
    return await _text(await client.get(path))


def _led_to(response: ClientResponse) -> tuple[int, str | None]:
    return response.status, response.headers.get("Location")


def _session_of(refresh_token: str) -> UUID:
    return UUID(bytes=base64.urlsafe_b64decode(refresh_token)[1:17])


async def test_the_account_page_says_where_somebody_is_logged_in(client: Client) -> None:
    await _logged_in_twice(client)
    page = await _page(client)
    assert "Firefox on Windows Logged in 22 Nov 2026, 12:00 UTC , from 127.0.0.1 Last used 22 Nov 2026" in page
    assert page.count("This browser") == 1
    assert page.index("This browser") < page.index("Firefox on Windows")


async def test_nobody_is_offered_to_log_out_elsewhere_who_is_logged_in_here_alone(client: Client) -> None:
    await make.user(client)
    await log_in(client)
    assert "everywhere else" not in await _page(client)


async def test_a_button_ends_the_session_beside_it_and_no_other(client: Client) -> None:
    elsewhere = await _logged_in_twice(client)
    sent = await send(client, END, await form(client, "/account"))
    assert _led_to(sent) == (303, "/account?notice=session_ended")
    assert (await client.get(ME, headers=make.bearer(elsewhere))).status == 401
    page = await _page(client, sent.headers["Location"])
    assert "That browser is logged out." in page
    assert "Firefox" not in page


async def test_every_other_session_is_ended_and_this_one_stays(client: Client) -> None:
    elsewhere = await _logged_in_twice(client)
    sent = await send(client, END_OTHERS, await form(client, "/account"))
    assert _led_to(sent) == (303, "/account?notice=others_ended")
    assert (await client.get(ME, headers=make.bearer(elsewhere))).status == 401
    assert "Every other browser is logged out." in await _page(client, sent.headers["Location"])


@pytest.mark.parametrize("path", [END, END_OTHERS])
async def test_without_the_token_of_the_form_no_session_is_ended(client: Client, path: str) -> None:
    """FRM-01."""
    elsewhere = await _logged_in_twice(client)
    fields = await form(client, "/account")
    for token in ("", fields["form_token"][::-1]):
        refused = await send(client, path, fields | {"form_token": token})
        assert (refused.status, refused.content_type) == (403, "text/html")
    assert (await client.get(ME, headers=make.bearer(elsewhere))).status == 200


async def test_a_session_of_somebody_else_is_as_one_that_does_not_exist(client: Client) -> None:
    """SQL-07."""
    await make.user(client, "grace@example.com")
    theirs = make.bearer(await make.access_token(client, "grace@example.com"))
    listed = await (await client.get(SESSIONS, headers=theirs)).json()
    await _logged_in_twice(client)
    fields = await form(client, "/account")
    said = []
    for session_id in (listed["sessions"][0]["id"], str(UUID(int=0)), "none"):
        refused = await send(client, END, fields | {"session_id": session_id}, X_Request_Id="same")
        assert (refused.status, refused.content_type) == (404, "text/html")
        said.append(await refused.text())
    assert said[0] == said[1] == said[2]
    assert "You have no session with this id." in said[0]
    assert (await client.get(ME, headers=theirs)).status == 200


async def test_a_notice_is_one_of_ours_or_none(client: Client) -> None:
    await make.user(client)
    assert "Send us your password" not in await _page(client, "/login?notice=Send+us+your+password")
    await log_in(client)
    assert 'id="form-notice"' not in await (await client.get("/account?notice=registered")).text()


async def test_a_button_still_works_when_the_access_token_has_expired(client: Client, clock: FrozenClock) -> None:
    await _logged_in_twice(client)
    fields = await form(client, "/account")
    clock.advance(ACCESS_IS_OVER)
    sent = await send(client, END, fields)
    assert _led_to(sent) == (303, "/account?notice=session_ended")
    assert {name: bool(cookie.value) for name, cookie in sent.cookies.items()} == {
        "access_token": True,
        "refresh_token": True,
    }
    clock.advance(ACCESS_IS_OVER)
    assert "Your account" in await _page(client)


async def test_a_login_and_a_logout_outdo_the_renewal_on_the_way_to_them(client: Client, clock: FrozenClock) -> None:
    await make.user(client)
    await log_in(client)
    before = client.session.cookie_jar.filter_cookies(client.make_url("/"))["refresh_token"].value
    fields = await form(client, "/login") | CREDENTIALS
    clock.advance(ACCESS_IS_OVER)
    sent = await send(client, "/login", fields)
    assert sent.status == 303
    assert _session_of(sent.cookies["refresh_token"].value) != _session_of(before)
    fields = await form(client, "/account")
    clock.advance(ACCESS_IS_OVER)
    sent = await send(client, "/logout", fields)
    assert {name: cookie.value for name, cookie in sent.cookies.items()} == {"access_token": "", "refresh_token": ""}


async def test_who_was_logged_out_elsewhere_is_led_to_the_login_and_told(client: Client) -> None:
    elsewhere = make.bearer(await _logged_in_twice(client))
    fields = await form(client, "/account")
    listed = (await (await client.get(SESSIONS, headers=elsewhere)).json())["sessions"]
    here = next(session["id"] for session in listed if not session["current"])
    assert (await client.delete(f"{SESSIONS}/{here}", headers=elsewhere)).status == 204
    sent = await send(client, END, fields)
    assert _led_to(sent) == (303, "/login?notice=logged_out")
    login = await client.get(sent.headers["Location"])
    assert "You are no longer logged in, and nothing was changed." in await login.text()
    assert {name: login.cookies[name].value for name in ("access_token", "refresh_token")} == {
        "access_token": "",
        "refresh_token": "",
    }
