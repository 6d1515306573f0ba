"""What holds for each page: it fits a small phone, is usable by everyone, and loads nothing from elsewhere."""

from collections.abc import AsyncIterator
from typing import Literal

from playwright.async_api import Page, ViewportSize, expect

from tests.browser import checks
from tests.browser.conftest import Visit
from tests.browser.steps import EMAIL, PASSWORD, fill, log_in, register, send

PHONE = ViewportSize(width=320, height=640)
DESKTOP = ViewportSize(width=1280, height=800)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


async def _pages(page: Page) -> AsyncIterator[str]:
    """Lead through every page of the site, with and without errors, logged out and logged in."""
    for path in ("/", "/register", "/login", "/api/docs", "/nothing-here"):
        await page.goto(path)
        yield path
    await page.goto("/login")
    await fill(page)
    await send(page)
    await expect(page.get_by_role("alert")).to_contain_text("wrong")
    yield "/login, refused"
    await page.goto("/register")
    await fill(page, "ada", "short")
    await send(page)
    await expect(page.locator("#password-error")).to_be_visible()
    yield "/register, refused"
    await register(page)
    yield "/login, registered"
    await log_in(page)
    await page.context.request.post("/api/auth/login", data={"email": EMAIL, "password": PASSWORD})
    await page.goto("/account?notice=session_ended")
    await expect(page.locator("#sessions > li")).to_have_count(2)
    yield "/account"
    for path in ("/account/password", "/account/delete"):
        await page.goto(path)
        yield path
        for password in await page.locator("input[type=password]").all():
            await password.fill("wrong horse battery")
        await send(page)
        await expect(page.locator(".field-error:visible")).to_have_text("This is not your password.")
        yield f"{path}, refused"
    await page.goto("/account/activity")
    await expect(page.locator(".row-warning").first).to_be_visible()
    yield "/account/activity"
    await page.goto("/")
    yield "/, logged in"


async def test_every_page_fits_can_be_read_and_can_be_used_by_everyone(visit: Visit) -> None:
    page = await visit("/", reduced_motion="reduce")
    faults: list[str] = []
    async for where in _pages(page):
        for size in (PHONE, DESKTOP):
            await page.set_viewport_size(size)
            found = [await page.evaluate(checks.SCROLLS_SIDEWAYS), await page.evaluate(checks.STRUCTURE)]
            for scheme in SCHEMES:
                await page.emulate_media(color_scheme=scheme)
                found.append(await page.evaluate(checks.CONTRAST))
            faults += [f"{where}: {fault}" for each in found for fault in each]
    assert faults == []


async def test_text_twice_as_large_makes_no_page_scroll_sideways(visit: Visit) -> None:
    """WCAG 2.2, 1.4.4. Half the width at which the page is laid out for a desktop."""
    page = await visit("/", viewport={"width": 640, "height": 800})
    faults = []
    for path in ("/", "/register", "/login", "/api/docs", "/nothing-here"):
        await page.goto(path)
        await page.evaluate("document.documentElement.style.fontSize = '200%'")
        faults += await page.evaluate(checks.SCROLLS_SIDEWAYS)
    assert faults == []


async def test_the_reference_shows_every_operation_and_every_problem(visit: Visit) -> None:
    page = await visit("/api/docs")
    document = await (await page.context.request.get("/api/openapi.json")).json()
    described = [
        (operation["operationId"], verb.upper(), path, set(operation["responses"]))
        for path, item in document["paths"].items()
        for verb, operation in item.items()
    ]
    assert await page.locator(".operation").count() == len(described)
    for identifier, verb, path, statuses in described:
        section = page.locator(f"#operation-{identifier}")
        await expect(section.locator(".route")).to_have_text(f"{verb} {path}")
        assert set(await section.locator(".status").all_inner_texts()) == statuses
    assert await page.locator(".problem-entry .anchor").all_inner_texts() == [
        problem["code"] for problem in document["components"]["x-problems"]
    ]
    assert await page.locator(".schema .anchor").all_inner_texts() == list(document["components"]["schemas"])


async def test_the_reference_is_found_from_every_page_on_a_phone(visit: Visit) -> None:
    page = await visit("/login", viewport=PHONE)
    await page.get_by_role("link", name="API reference").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("authsvc")


async def test_the_form_is_used_with_the_keyboard_alone(visit: Visit) -> None:
    page = await visit("/register")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.locator("#email")).to_be_focused()
    await page.keyboard.type("ada@example.com")
    await page.keyboard.press("Tab")
    await page.keyboard.type("correct horse battery staple")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Show password")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status").first).to_have_text("Your account is ready. Log in.")
