"""What the script adds: feedback while typing, and answers that throw nothing away."""

import asyncio

from playwright.async_api import Page, Route, expect

from tests.browser.conftest import Visit
from tests.browser.steps import EMAIL, PASSWORD, fill, log_in, register, send

COUNTED = [
    ("", "0 / 8", "short"),
    ("horse", "5 / 8", "short"),
    ("horse 🐎", "7 / 8", "short"),
    ("horse 🐎🐎", "✓ 8", "enough"),
    ("h" * 257, "257 / 256", "over"),
]


async def _expect_kept(page: Page, email: str, password: str) -> None:
    await expect(page.locator("#email")).to_have_value(email)
    await expect(page.locator("#password")).to_have_value(password)


async def test_an_address_is_judged_when_it_is_left_and_forgiven_as_soon_as_it_is_whole(visit: Visit) -> None:
    page = await visit("/register")
    email, error = page.get_by_label("E-mail address"), page.locator("#email-error")
    await email.press_sequentially("ada@example")
    await expect(error).to_be_hidden()
    await email.press("Tab")
    await expect(error).to_have_text("Enter a whole address, such as name@example.org.")
    await expect(email).to_have_attribute("aria-invalid", "true")
    await expect(email).to_have_accessible_description("Enter a whole address, such as name@example.org.")
    await email.press_sequentially(".com")
    await expect(error).to_be_hidden()
    assert await email.get_attribute("aria-invalid") is None


async def test_the_counter_counts_characters_as_the_server_does(visit: Visit) -> None:
    page = await visit("/register")
    for typed, counted, state in COUNTED:
        await page.get_by_label("Password", exact=True).fill(typed)
        await expect(page.locator("[data-counter]")).to_have_text(counted)
        await expect(page.locator("[data-meter]")).to_have_attribute("data-state", state)


async def test_a_password_can_be_shown_and_is_covered_again(visit: Visit) -> None:
    page = await visit("/login")
    await fill(page, password="wrong horse battery")
    password = page.locator("#password")
    await password.focus()
    await page.get_by_role("button", name="Show password").click()
    await expect(password).to_have_attribute("type", "text")
    await expect(password).to_be_focused()
    await expect(page.get_by_role("button", name="Hide password")).to_have_attribute("aria-pressed", "true")
    await send(page)
    await expect(page.locator("#form-alert")).to_contain_text("wrong")
    await expect(password).to_have_attribute("type", "password")


async def test_what_cannot_be_right_is_not_sent_and_the_first_field_at_fault_is_focused(visit: Visit) -> None:
    page = await visit("/register")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.resource_type))
    await fill(page, "ada", "short")
    await send(page)
    await expect(page.locator("#email-error")).to_be_visible()
    await expect(page.locator("#password-error")).to_have_text("Too short: 5 of at least 8 characters.")
    await expect(page.locator("#email")).to_be_focused()
    await page.locator("#email").fill(EMAIL)
    await send(page)
    await expect(page.locator("#email-error")).to_be_hidden()
    await expect(page.locator("#password")).to_be_focused()
    assert "fetch" not in sent


async def test_a_refusal_of_the_server_stands_beside_its_field(visit: Visit) -> None:
    page = await visit("/register")
    await fill(page, EMAIL, "password1")
    await send(page)
    await expect(page.locator("#password-error")).to_contain_text("common")
    await expect(page.locator("#password")).to_be_focused()
    await expect(page.locator("#password")).to_have_attribute("aria-invalid", "true")
    await _expect_kept(page, EMAIL, "password1")


async def test_an_address_in_use_is_said_beside_it_with_the_way_to_the_login(visit: Visit) -> None:
    page = await visit("/register?next=/api/docs")
    await register(page)
    await page.goto("/register?next=/api/docs")
    await fill(page)
    await send(page)
    await expect(page.locator("#email-error")).to_contain_text("exists already")
    await expect(page.locator("#email")).to_be_focused()
    await _expect_kept(page, EMAIL, PASSWORD)
    await page.get_by_role("link", name="Log in instead").click()
    await log_in(page)
    assert page.url.endswith("/api/docs")


async def test_a_wrong_password_is_said_above_the_form_and_ready_to_be_typed_over(visit: Visit) -> None:
    page = await visit("/login")
    await fill(page)
    await send(page)
    await expect(page.get_by_role("alert")).to_have_text("The e-mail address or the password is wrong.")
    await expect(page.locator("#password")).to_be_focused()
    await _expect_kept(page, EMAIL, PASSWORD)
    selected = await page.locator("#password").evaluate("field => field.selectionEnd - field.selectionStart")
    assert selected == len(PASSWORD)


async def test_offline_nothing_is_lost_and_it_can_be_sent_again(visit: Visit) -> None:
    page = await visit("/register")
    await page.context.set_offline(True)
    await fill(page)
    await send(page)
    await expect(page.get_by_role("alert")).to_contain_text("We could not reach the server.")
    await _expect_kept(page, EMAIL, PASSWORD)
    await page.context.set_offline(False)
    await register(page)


async def test_an_answer_that_is_no_problem_document_is_explained_all_the_same(visit: Visit) -> None:
    page = await visit("/login")
    await page.route("**/api/auth/login", lambda route: route.fulfill(status=502, body="<h1>Bad Gateway</h1>"))
    await fill(page)
    await send(page)
    await expect(page.get_by_role("alert")).to_contain_text("The server could not do this.")
    await _expect_kept(page, EMAIL, PASSWORD)


async def test_a_field_that_is_named_as_what_every_object_has_is_no_field_of_the_form(visit: Visit) -> None:
    """ASVS 15.3.6, CWE-1321: what a server or somebody between says is no key into a prototype."""
    page = await visit("/login")
    names = ("__proto__", "constructor", "toString")
    errors = [{"field": name, "message": "polluted"} for name in names]
    problem = {"status": 422, "detail": "Mend the fields that are named.", "errors": errors}
    await page.route(
        "**/api/auth/login",
        lambda route: route.fulfill(status=422, json=problem, content_type="application/problem+json"),
    )
    await fill(page)
    await send(page)
    await expect(page.get_by_role("alert")).to_have_text("Mend the fields that are named.")
    assert await page.evaluate("Object.keys(Object.prototype).concat(Object.keys(Object))") == []
    await _expect_kept(page, EMAIL, PASSWORD)


async def test_while_it_is_sent_the_button_says_so_and_sends_nothing_twice(visit: Visit) -> None:
    """FRM-12: a double submit."""
    page = await visit("/register")
    arrived, released, seen = asyncio.Event(), asyncio.Event(), []

    async def hold(route: Route) -> None:
        seen.append(route.request.url)
        arrived.set()
        await released.wait()
        await route.continue_()

    await page.route("**/api/auth/register", hold)
    await fill(page)
    await send(page)
    await arrived.wait()
    button = page.locator("[data-submit]")
    await expect(button).to_have_text("Creating account…")
    await expect(button).to_have_attribute("aria-busy", "true")
    await button.click()
    await page.locator("#password").press("Enter")
    released.set()
    await expect(page.get_by_role("status").first).to_have_text("Your account is ready. Log in.")
    assert len(seen) == 1


async def test_a_form_that_a_page_answers_is_checked_before_it_is_sent(visit: Visit) -> None:
    page = await visit("/register")
    await register(page)
    await log_in(page)
    await page.goto("/account/password")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    await page.get_by_label("New password", exact=True).fill("horse")
    await page.get_by_role("button", name="Show new password").click()
    await expect(page.locator("[data-counter]")).to_have_text("5 / 8")
    await send(page)
    await expect(page.locator("#current_password-error")).to_have_text("Enter a password.")
    await expect(page.locator("#new_password-error")).to_have_text("Too short: 5 of at least 8 characters.")
    await expect(page.locator("#current_password")).to_be_focused()
    await expect(page.locator("#current_password")).to_have_attribute("type", "password")
    await expect(page.locator("#new_password")).to_have_attribute("type", "text")
    assert "POST" not in sent
    await page.get_by_label("Current password", exact=True).fill(PASSWORD)
    await page.get_by_label("New password", exact=True).fill(f"{PASSWORD}!")
    await send(page)
    await expect(page.locator("#form-notice")).to_contain_text("Your password is changed")
    assert sent.count("POST") == 1
