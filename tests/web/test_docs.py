"""The API's description: /api/openapi.json and /api/docs."""

import re
from urllib.parse import urlsplit

import pytest

from authsvc.config import Config
from authsvc.web import problems
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import PUBLIC_URL, composed, https

ABSTRACT = {"unauthenticated", "forbidden"}
CODES = {kind.code for kind in problems.TABLE} - ABSTRACT


async def test_the_page_describes_every_problem_at_the_anchor_that_problems_point_to(client: Client) -> None:
    page = await (await client.get("/api/docs")).text()
    assert {code for code in CODES if f'id="problem-{code}"' not in page} == set()


@pytest.mark.parametrize("path", ["/", "/login", "/register", "/api/docs", "/nothing"])
async def test_pages_load_nothing_from_elsewhere_and_hold_no_inline_script_or_style(client: Client, path: str) -> None:
    """FRM-15, RST-10 (ASVS 1.2.3, 14.2.3)."""
    page = await (await client.get(path, headers={"Accept": "text/html"})).text()
    loaded = re.findall(r'<(?:script|img|link|iframe|source|object|embed)\b[^>]*?(?:src|href|data)="([^"]*)"', page)
    assert loaded
    assert [each for each in loaded if urlsplit(each).netloc] == []
    assert re.findall(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=|javascript:", page) == []


async def test_the_document_is_of_openapi_3_1_and_names_this_service(
    client: Client, config: Config, clock: FrozenClock, serve: Serve
) -> None:
    document = await (await client.get("/api/openapi.json")).json()
    assert document["openapi"].startswith("3.1.")
    assert document["servers"] == [{"url": "http://127.0.0.1:8080"}]
    assert document["components"]["securitySchemes"]["cookie"]["name"] == "access_token"
    assert {problem["code"] for problem in document["components"]["x-problems"]} == CODES
    secure = await serve(await composed(https(config), clock))
    document = await (await secure.get("/api/openapi.json")).json()
    assert document["servers"] == [{"url": PUBLIC_URL}]
    assert document["components"]["securitySchemes"]["cookie"]["name"] == "__Host-access_token"


async def test_static_files_are_kept_for_ever_under_the_address_that_the_pages_give(client: Client) -> None:
    page = await (await client.get("/login")).text()
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    types = {}
    for address in addresses:
        response = await client.get(address)
        assert (response.status, await response.read() != b"") == (200, True)
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        types[urlsplit(address).path] = response.headers["Content-Type"]
    assert types == {
        "/static/app.css": "text/css; charset=utf-8",
        "/static/app.js": "text/javascript; charset=utf-8",
        "/static/favicon.svg": "image/svg+xml; charset=utf-8",
    }


@pytest.mark.parametrize("query", ["", "?v=", "?v=0123456789abcdef", "?x=1"])
async def test_under_the_address_of_another_version_a_static_file_is_not_kept(client: Client, query: str) -> None:
    """While a version rolls out, a page of the new one may have its files from an instance of the old one."""
    response = await client.get(f"/static/app.css{query}")
    assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")


@pytest.mark.parametrize("path", ["/static/", "/static/..%2fapp.css", "/static/../routes.py", "/static/app.js.map"])
async def test_nothing_else_is_served_as_a_static_file(client: Client, path: str) -> None:
    assert (await client.get(path)).status == 404
