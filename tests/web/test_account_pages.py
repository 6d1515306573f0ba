"""The pages of the account: where it is logged in, its password, what happened, and its end."""

import base64
import html
import re
from urllib.parse import quote
from uuid import UUID

import pytest
from aiohttp import ClientResponse

from authsvc.events import OPERATOR
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client, FrozenClock
from tests.web.helpers import CREDENTIALS, ME, form, log_in, send

SESSIONS = "/api/auth/sessions"
END, END_OTHERS = "/account/sessions/end", "/account/sessions/end-others"
PASSWORD, DELETE = "/account/password", "/account/delete"
ANOTHER = "another horse, another staple"
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


async def test_a_button_of_a_page_that_was_open_for_a_while_says_that_the_session_has_ended(client: Client) -> None:
    """FRM-12: pressed in two tabs, or after that browser was logged out elsewhere."""
    await _logged_in_twice(client)
    fields = await form(client, "/account")
    assert _led_to(await send(client, END, fields)) == (303, "/account?notice=session_ended")
    assert _led_to(await send(client, END, fields)) == (303, "/account?notice=session_gone")


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
    """SQL-07 (ASVS 8.2.2)."""
    await make.user(client, "grace@example.com")
    theirs = make.bearer(await make.access_token(client, "grace@example.com"))
    listed = await (await client.get(SESSIONS, headers=theirs)).json()
    await _logged_in_twice(client)
    fields = await form(client, "/account")
    for session_id in (listed["sessions"][0]["id"], str(UUID(int=0)), "none"):
        sent = await send(client, END, fields | {"session_id": session_id})
        assert _led_to(sent) == (303, "/account?notice=session_gone")
    assert "That browser was logged out already." in await _page(client, "/account?notice=session_gone")
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


async def test_a_password_is_changed_by_the_form_and_the_others_are_logged_out(client: Client) -> None:
    elsewhere = await _logged_in_twice(client)
    given = {"current_password": make.PASSWORD, "new_password": ANOTHER}
    sent = await send(client, PASSWORD, await form(client, PASSWORD) | given)
    assert _led_to(sent) == (303, "/account?notice=password_changed")
    assert "Your password is changed" in await _page(client, sent.headers["Location"])
    assert (await client.get(ME, headers=make.bearer(elsewhere))).status == 401
    await make.access_token(client, password=ANOTHER)


@pytest.mark.parametrize(
    "given, field, said",
    [
        ({"current_password": "wrong horse"}, "current_password", "This is not your password."),
        ({"new_password": "short"}, "new_password", "Use at least 8 characters."),
        ({"new_password": make.EMAIL}, "new_password", "must not be the e-mail address"),
    ],
    ids=["wrong password", "too short", "the address"],
)
async def test_a_refused_change_is_explained_beside_its_field_and_shows_no_password(
    client: Client, given: dict[str, str], field: str, said: str
) -> None:
    await make.user(client)
    await log_in(client)
    fields = await form(client, PASSWORD) | {"current_password": make.PASSWORD, "new_password": ANOTHER}
    refused = await send(client, PASSWORD, fields | given)
    text = html.unescape(await refused.text())
    assert (refused.status, text.count("autofocus"), text.count('aria-invalid="true"')) == (422, 1, 1)
    assert re.search(rf'<p id="{field}-error"\s+class="field-error">[^<]*{said}', text)
    assert not [secret for secret in (make.PASSWORD, ANOTHER, "wrong horse") if secret in text]


async def test_an_account_is_deleted_by_the_form_and_its_cookies_are_cleared(client: Client) -> None:
    elsewhere = await _logged_in_twice(client)
    fields = await form(client, DELETE)
    refused = await send(client, DELETE, fields | {"password": "wrong horse"})
    assert (refused.status, set(refused.cookies)) == (422, {"form_nonce"})
    sent = await send(client, DELETE, fields | {"password": make.PASSWORD})
    assert _led_to(sent) == (303, "/login?notice=account_deleted")
    assert {name: cookie.value for name, cookie in sent.cookies.items()} == {"access_token": "", "refresh_token": ""}
    assert sent.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert (await client.get(ME, headers=make.bearer(elsewhere))).status == 401
    assert "Your account is deleted" in await _page(client, sent.headers["Location"])


@pytest.mark.parametrize("path", [PASSWORD, DELETE])
async def test_a_form_of_another_browser_changes_and_deletes_nothing(client: Client, path: str) -> None:
    """FRM-01: the form comes back, with a token that is good."""
    await make.user(client)
    await log_in(client)
    given = (
        {"password": make.PASSWORD} if path == DELETE else {"current_password": make.PASSWORD, "new_password": ANOTHER}
    )
    refused = await send(client, path, given | {"form_token": "none"})
    assert refused.status == 403
    assert "This page was open for too long" in await refused.text()
    assert await make.access_token(client)


async def test_what_happened_is_told_in_words_and_a_stranger_s_address_is_with_it(client: Client) -> None:
    await _logged_in_twice(client)
    await client.post(
        "/api/auth/login", json=CREDENTIALS | {"password": "wrong horse"}, headers={"User-Agent": "curl/8"}
    )
    page = await _page(client, "/account/activity")
    assert "Wrong password 22 Nov 2026, 12:00 UTC , from 127.0.0.1, curl Logged in 22 Nov" in page
    assert "Logged in 22 Nov 2026, 12:00 UTC , from 127.0.0.1, Firefox on Windows Account created" in page


async def test_what_another_version_of_the_service_recorded_does_not_break_the_page(
    client: Client, database: Database
) -> None:
    account = await make.user(client)
    await log_in(client)
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute(
            "insert into journal (recorded_at, event, subject) values (now(), 'moon:land:success', $1)", account["id"]
        )
    assert "moon:land:success" in await _page(client, "/account/activity")


@pytest.mark.parametrize("path", ["/account", PASSWORD, DELETE, "/account/activity"])
async def test_no_page_of_the_account_is_kept_anywhere(client: Client, path: str) -> None:
    """FRM-13 (ASVS 14.3.2)."""
    await make.user(client)
    await log_in(client)
    response = await client.get(path)
    assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
    client.session.cookie_jar.clear()
    stranger = await client.get(path, allow_redirects=False)
    assert _led_to(stranger) == (303, f"/login?next={quote(path, safe='')}")
