"""The account's own pages in real browsers, with the script and without."""

import asyncio
import re

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.steps import EMAIL, PASSWORD, fill, log_in, register, send
from tests.conftest import FrozenClock

BOTH = pytest.mark.parametrize("javascript", [True, False], ids=["with the script", "without it"])
ACCESS_IS_OVER = 900 + 31
ANOTHER = "another horse, another staple"
ON_ACCOUNT, ON_LOGIN = re.compile(r"/account(\?.*)?$"), re.compile(r"/login(\?.*)?$")


async def _two_browsers(visit: Visit, *, javascript: bool) -> tuple[Page, Page]:
    """Return two that are logged in to one account, both at its page."""
    one = await visit("/register", java_script_enabled=javascript)
    await register(one)
    await log_in(one)
    other = await visit("/login", java_script_enabled=javascript)
    await log_in(other)
    await one.reload()
    await expect(one.locator("#sessions > li")).to_have_count(2)
    return one, other


async def _expect_logged_out(page: Page) -> None:
    await page.reload()
    await expect(page).to_have_url(ON_LOGIN)
    assert {cookie["name"] for cookie in await page.context.cookies()} == {"form_nonce", "known_browser"}


async def _say(page: Page, notice: str) -> None:
    await expect(page.locator("#form-notice")).to_have_text(notice)


@BOTH
async def test_another_browser_is_logged_out_by_the_button_beside_it(visit: Visit, *, javascript: bool) -> None:
    one, other = await _two_browsers(visit, javascript=javascript)
    await expect(one.locator("#sessions > li").first).to_contain_text("This browser")
    await one.get_by_role("button", name="End Chrome on Linux").click()
    await _say(one, "That browser is logged out.")
    await expect(one.locator("#sessions > li")).to_have_count(1)
    await _expect_logged_out(other)


@BOTH
async def test_every_other_browser_is_logged_out_at_once(visit: Visit, *, javascript: bool) -> None:
    one, other = await _two_browsers(visit, javascript=javascript)
    third = await visit("/login", java_script_enabled=javascript)
    await log_in(third)
    await one.get_by_role("button", name="Log out everywhere else").click()
    await _say(one, "Every other browser is logged out.")
    await expect(one.get_by_role("button", name="Log out everywhere else")).to_have_count(0)
    for page in (other, third):
        await _expect_logged_out(page)


@BOTH
async def test_who_was_logged_out_elsewhere_is_told_when_a_form_is_sent(visit: Visit, *, javascript: bool) -> None:
    one, other = await _two_browsers(visit, javascript=javascript)
    await one.get_by_role("button", name="Log out everywhere else").click()
    await _say(one, "Every other browser is logged out.")
    await other.get_by_role("button", name="End Chrome on Linux").click()
    await _say(other, "You are no longer logged in, and nothing was changed. Log in, and try again.")
    await one.reload()
    await expect(one.locator("#account-email")).to_have_text(EMAIL)


@BOTH
async def test_the_password_is_changed_and_other_browsers_are_logged_out(visit: Visit, *, javascript: bool) -> None:
    one, other = await _two_browsers(visit, javascript=javascript)
    await one.get_by_role("link", name="Change password").click()
    await one.get_by_label("Current password", exact=True).fill("wrong horse battery")
    await one.get_by_label("New password", exact=True).fill(ANOTHER)
    await send(one)
    await expect(one.locator("#current_password-error")).to_have_text("This is not your password.")
    await expect(one.locator("#current_password")).to_be_focused()
    assert ANOTHER not in await one.content()
    await one.get_by_label("Current password", exact=True).fill(PASSWORD)
    await one.get_by_label("New password", exact=True).fill(ANOTHER)
    await send(one)
    await _say(one, "Your password is changed; every other browser was logged out.")
    await _expect_logged_out(other)
    await fill(other)
    await send(other)
    await expect(other.get_by_role("alert")).to_contain_text("wrong")
    await fill(other, password=ANOTHER)
    await send(other)
    await expect(other).to_have_url(ON_ACCOUNT)


@BOTH
async def test_an_account_is_deleted_with_the_password_alone(visit: Visit, *, javascript: bool) -> None:
    one, other = await _two_browsers(visit, javascript=javascript)
    await one.get_by_role("link", name="Delete your account").click()
    await expect(one.locator("#account-email")).to_have_text(EMAIL)
    await one.get_by_label("Password", exact=True).fill("wrong horse battery")
    await send(one)
    await expect(one.locator("#password-error")).to_have_text("This is not your password.")
    await one.get_by_label("Password", exact=True).fill(PASSWORD)
    await send(one)
    await _say(one, "Your account is deleted, and you are logged out everywhere.")
    assert {cookie["name"] for cookie in await one.context.cookies()} == {"form_nonce", "known_browser"}
    await _expect_logged_out(other)
    await fill(one)
    await send(one)
    await expect(one.get_by_role("alert")).to_contain_text("wrong")


@BOTH
async def test_what_happened_is_told_in_words(visit: Visit, *, javascript: bool) -> None:
    one, other = await _two_browsers(visit, javascript=javascript)
    await one.get_by_role("button", name="Log out everywhere else").click()
    await _say(one, "Every other browser is logged out.")
    await other.goto("/login")
    await fill(other, password="wrong horse battery")
    await send(other)
    await expect(other.get_by_role("alert")).to_contain_text("wrong")
    await one.get_by_role("link", name="Recent activity").click()
    told = await one.locator("#activity > li").all_inner_texts()
    sentences = [text.partition("\n")[0] for text in told]
    assert sentences == ["Wrong password", "Logged out", "Logged in", "Logged in", "Account created"]
    assert all("22 Nov 2026, 12:00 UTC, from 127.0.0.1, Chrome on Linux" in text for text in told)


@BOTH
async def test_a_page_that_was_open_for_long_still_works(visit: Visit, clock: FrozenClock, *, javascript: bool) -> None:
    one, other = await _two_browsers(visit, javascript=javascript)
    clock.advance(ACCESS_IS_OVER)
    await one.get_by_role("button", name="End Chrome on Linux").click()
    await _say(one, "That browser is logged out.")
    await one.get_by_role("link", name="Change password").click()
    await one.get_by_label("Current password", exact=True).fill(PASSWORD)
    await one.get_by_label("New password", exact=True).fill(ANOTHER)
    clock.advance(ACCESS_IS_OVER)
    await one.context.clear_cookies(name="access_token")  # as the browser does then
    await send(one)
    await _say(one, "Your password is changed; every other browser was logged out.")
    await _expect_logged_out(other)


async def test_tabs_that_renew_at_the_same_time_stay_logged_in(visit: Visit, clock: FrozenClock) -> None:
    one = await visit("/register")
    await register(one)
    await log_in(one)
    tabs = [one, *[await one.context.new_page() for _ in range(3)]]
    for _ in range(3):
        clock.advance(ACCESS_IS_OVER)
        await asyncio.gather(*(tab.goto("/account") for tab in tabs))
        for tab in tabs:
            await expect(tab.locator("#account-email")).to_have_text(EMAIL)
    await expect(one.locator("#sessions > li")).to_have_count(1)


@pytest.mark.parametrize("path", ["/account", "/account/activity", "/account/delete"])
async def test_after_a_logout_the_back_button_shows_nothing_private(visit: Visit, path: str) -> None:
    """FRM-13 (ASVS 14.3.1)."""
    page = await visit("/register")
    await register(page)
    await log_in(page)
    await page.goto(path)
    await page.goto("/account")
    await page.get_by_role("button", name="Log out").click()
    await expect(page).to_have_url(ON_LOGIN)
    for _ in range(2):
        await page.go_back()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
        assert EMAIL not in await page.content()
        assert "Logged in" not in await page.content()
