"""A real Chromium, and the composed service on a port of its own; every page that a test opens is watched."""

import dataclasses
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, ConsoleMessage, Page, Request, async_playwright, expect

from authsvc.app import Service, compose
from authsvc.config import Config
from drills.ports import free_ports
from tests.conftest import FrozenClock
from tests.witness import Witness

ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)
NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_MS = 20_000
expect.set_options(timeout=PATIENCE_MS)

Visit = Callable[..., Awaitable[Page]]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of the browser: AUTHSVC_CHROMIUM, or the machine's."""
    environ = os.environ  # noqa: TID251 - these two are the tests', not the service's
    found = (shutil.which(name) for name in (environ.get("AUTHSVC_CHROMIUM", ""), *NAMES) if name)
    path = next((path for path in found if path), None)
    if path is not None:
        return path
    advice = "There is no Chromium: run tests/install-browser, or name one in AUTHSVC_CHROMIUM."
    if environ.get("CI") == "true":
        pytest.fail(advice)
    pytest.skip(advice)


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    arguments = [*ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        await browser.close()


@pytest.fixture
def site(config: Config, clock: FrozenClock) -> tuple[int, str, Service]:
    """Return a free port, the origin there, and the service composed for it."""
    (port,) = free_ports(1)
    origin = f"http://127.0.0.1:{port}"
    http = dataclasses.replace(config.http, port=port, public_url=origin)
    return port, origin, compose(dataclasses.replace(config, http=http), clock=clock)


@pytest.fixture
async def origin(
    site: tuple[int, str, Service], aiohttp_server: Callable[..., Awaitable[TestServer]]
) -> AsyncIterator[str]:
    """Serve the service at the origin it believes to be at; every answer is held against its description."""
    port, origin, service = site
    witness = Witness(service.public)
    await aiohttp_server(service.public, port=port, auto_decompress=False)
    yield origin
    assert not witness.faults


@pytest.fixture
async def visit(browser: Browser, origin: str) -> AsyncIterator[Visit]:
    """Open a new browser context at a path; what a visitor must never meet there is a fault of the test.

    That is an error on the console, among them every violation of the content security policy; an exception of the
    script; a request to another origin. Chromium also logs each answer of 400 and over, which tests ask for.
    """
    faults: list[str] = []

    def console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith("Failed to load resource"):
            faults.append(f"{message.type}: {message.text}")

    def request(sent: Request) -> None:
        if not sent.url.startswith(f"{origin}/"):
            faults.append(f"a request to {sent.url}")

    async def open_at(path: str, **options: Any) -> Page:
        context = await browser.new_context(base_url=origin, **options)
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        context.on("console", console)
        context.on("request", request)
        context.on("weberror", lambda error: faults.append(f"exception: {error.error}"))
        await page.goto(path)
        return page

    yield open_at
    assert not faults
