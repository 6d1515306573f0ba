"""What a visitor does."""

from playwright.async_api import Page, expect

EMAIL = "ada@example.com"
PASSWORD = "correct horse battery staple"


async def fill(page: Page, email: str = EMAIL, password: str = PASSWORD) -> None:
    """Type into the form of the page, as it is the same for both."""
    await page.get_by_label("E-mail address").fill(email)
    await page.get_by_label("Password", exact=True).fill(password)


async def send(page: Page) -> None:
    """Press the form's button."""
    await page.locator("[data-submit]").click()


async def register(page: Page) -> None:
    """From the registration form to the login."""
    await fill(page)
    await send(page)
    await expect(page.get_by_role("status").first).to_have_text("Your account is ready. Log in.")


async def log_in(page: Page) -> None:
    """From the login form to wherever it leads."""
    await fill(page)
    async with page.expect_navigation(url=lambda url: "/login" not in url.partition("?")[0]):
        await send(page)
