"""The main job in a real browser, with the script and without."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Visit
from tests.browser.steps import EMAIL, PASSWORD, fill, log_in, register, send

ONWARD = {
    "/account%3Ffrom%3Dmail": "/account?from=mail",
    "//evil.example/": "/account",
    "https://evil.example/": "/account",
    "/%5Cevil.example": "/account",
}
BOTH = pytest.mark.parametrize("javascript", [True, False], ids=["with the script", "without it"])


@BOTH
async def test_a_visitor_registers_logs_in_sees_the_account_and_logs_out(visit: Visit, *, javascript: bool) -> None:
    page = await visit("/", java_script_enabled=javascript)
    await page.locator("#main").get_by_role("link", name="Create account").click()
    await register(page)
    await log_in(page)
    await expect(page).to_have_url(re.compile("/account$"))
    await expect(page.locator("#account-email")).to_have_text(EMAIL)
    me = await page.context.request.get("/api/auth/me")
    await expect(page.locator("#account-subject")).to_have_text((await me.json())["id"])
    await page.get_by_role("button", name="Log out").click()
    await expect(page).to_have_url(re.compile("/login$"))
    await page.go_back()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    assert EMAIL not in await page.content()
    assert (await page.context.request.get("/api/auth/me")).status == 401


@BOTH
async def test_a_login_leads_on_to_a_path_of_this_site_alone(visit: Visit, *, javascript: bool) -> None:
    """FRM-08 (ASVS 3.7.2): no open redirect."""
    page = await visit("/login?next=/api/docs", java_script_enabled=javascript)
    await page.get_by_role("link", name="Create an account").click()
    await register(page)
    await log_in(page)
    await expect(page).to_have_url(re.compile("/api/docs$"))
    for given, reached in ONWARD.items():
        await page.context.clear_cookies()
        await page.goto(f"/login?next={given}")
        await log_in(page)
        await expect(page).to_have_url(re.compile(f"^http://127[^/]+{re.escape(reached)}$"))


@BOTH
async def test_a_page_that_needs_a_login_is_reached_after_it(visit: Visit, *, javascript: bool) -> None:
    page = await visit("/register", java_script_enabled=javascript)
    await register(page)
    await page.goto("/account")
    await log_in(page)
    await expect(page).to_have_url(re.compile("/account$"))


async def test_the_token_is_where_no_script_can_read_it(visit: Visit) -> None:
    page = await visit("/register")
    await register(page)
    await log_in(page)
    await expect(page.locator("#account-email")).to_have_text(EMAIL)
    cookies = {cookie["name"]: cookie for cookie in await page.context.cookies()}
    assert cookies.keys() == {"access_token", "refresh_token", "form_nonce", "known_browser"}
    for cookie in cookies.values():
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Lax", "/")
        assert cookie["domain"] == "127.0.0.1"
    assert await page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
    assert await page.evaluate("indexedDB.databases()") == []
    assert await page.evaluate("caches.keys()") == []


@pytest.mark.parametrize(
    "path, given, field, said",
    [
        ("/login", (EMAIL, "wrong horse battery"), "#password", "The e-mail address or the password is wrong."),
        ("/register", (EMAIL, PASSWORD), "#email", "An account with this e-mail address exists already."),
        ("/register", ("new@example.com", "password1"), "#password", "common"),
    ],
    ids=["wrong password", "address in use", "common password"],
)
async def test_without_the_script_the_form_comes_back_with_what_was_typed(
    visit: Visit, path: str, given: tuple[str, str], field: str, said: str
) -> None:
    page = await visit("/register", java_script_enabled=False)
    await register(page)
    await page.goto(path)
    await fill(page, *given)
    await send(page)
    await expect(page.locator("#form-alert p, .field-error:not([hidden])")).to_contain_text(said)
    await expect(page.locator("#email")).to_have_value(given[0])
    await expect(page.locator("#password")).to_have_value("")
    assert await page.locator(f"{field}[autofocus]").count() == 1
    assert given[1] not in await page.content()


async def test_markup_that_was_typed_is_text_on_the_page_that_comes_back(visit: Visit) -> None:
    """FRM-11, ASVS 1.2.1: with the script on, so that whatever slipped through would run."""
    page = await visit("/login")
    for typed in (
        '"><script>window.ran = 1</script>',
        "x' autofocus onfocus='window.ran = 1",
        '"><img src=x onerror="ran=1">',
    ):
        await page.goto("/login")
        await fill(page, typed, "typed battery")
        async with page.expect_navigation():
            # Past the checks of the page's own script, as a submit without it.
            await page.evaluate("HTMLFormElement.prototype.submit.call(document.querySelector('main form'))")
        await expect(page.locator("#email")).to_have_value(typed)
        assert await page.evaluate("window.ran") is None
        assert await page.locator("main img[src=x], main script").count() == 0
        assert "typed battery" not in await page.content()
