"""What a page of another site can do to a visitor: nothing."""

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import Visit
from tests.browser.steps import log_in, register

FORMS = {
    "/login": "application/x-www-form-urlencoded",
    "/register": "application/x-www-form-urlencoded",
    "/logout": "application/x-www-form-urlencoded",
    "/account/sessions/end": "application/x-www-form-urlencoded",
    "/account/sessions/end-others": "application/x-www-form-urlencoded",
    "/account/password": "application/x-www-form-urlencoded",
    "/account/delete": "application/x-www-form-urlencoded",
    "/api/auth/login": "text/plain",
}
# Another host name of the same machine is another site.
FORM = """<!doctype html><form method="post" action="{origin}{path}" enctype="{kind}">
  <input name='{{"email": "eve@example.com", "password": "correct horse battery staple", "x": "' value='"}}'>
  <input name="email" value="eve@example.com"><input name="password" value="correct horse battery staple">
  <button>Go</button></form>"""
FRAME = """<!doctype html><iframe src="{origin}{path}"></iframe>"""


@pytest.fixture
async def elsewhere(origin: str, aiohttp_server: Callable[..., Awaitable[TestServer]]) -> str:
    """Serve the pages of another site; return its origin."""

    async def page(request: web.Request) -> web.Response:
        body = FRAME if request.path == "/frame" else FORM
        return web.Response(text=body.format(origin=origin, **request.query), content_type="text/html")

    app = web.Application()
    app.router.add_get("/form", page)
    app.router.add_get("/frame", page)
    server = await aiohttp_server(app)
    return f"http://localhost:{server.port}"


async def test_a_form_of_another_site_is_refused(browser: Browser, elsewhere: str) -> None:
    """FRM-02, FRM-03, FRM-04 (ASVS 3.3.2, 3.5.2): login CSRF."""
    page = await browser.new_page()
    for path, kind in FORMS.items():
        await page.goto(f"{elsewhere}/form?path={path}&kind={kind}")
        async with page.expect_response(f"**{path}") as answer:
            await page.get_by_role("button").click()
        assert (await answer.value).status == 403, path
    assert await page.context.cookies() == []


async def test_a_form_of_ours_names_our_origin(visit: Visit, origin: str) -> None:
    """Safari before 16.4 sends nothing else to tell by; below `no-referrer` every browser makes it `null`."""
    page = await visit("/register", java_script_enabled=False)
    for step in (register, log_in, _log_out):
        async with page.expect_request(lambda request: request.method == "POST") as sent:
            await step(page)
        headers = await (await sent.value).all_headers()
        assert headers["origin"] == origin, step


async def _log_out(page: Page) -> None:
    await page.get_by_role("button", name="Log out").click()


async def test_no_page_lets_itself_be_framed(browser: Browser, elsewhere: str) -> None:
    """FRM-10 (ASVS 3.4.6): clickjacking."""
    page = await browser.new_page()
    for path in ("/", "/login", "/account", "/nothing-here", "/api/docs"):
        async with page.expect_console_message(lambda message: "frame-ancestors 'none'" in message.text):
            await page.goto(f"{elsewhere}/frame?path={path}")
        await expect(page.frame_locator("iframe").locator("main")).to_have_count(0)
