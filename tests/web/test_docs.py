"""The API's description: /api/openapi.json and /api/docs."""

import html
import itertools
import json
import re
import shlex
from typing import Any
from urllib.parse import urlsplit

import pytest

from authsvc.config import Config
from authsvc.web import problems
from tests import make
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


async def test_what_the_document_marks_as_code_is_code_on_the_page(client: Client) -> None:
    page = await (await client.get("/api/docs")).text()
    assert "<code>RateLimit-Policy</code> That limit: <code>q</code> are granted" in page
    assert "`" not in page


async def test_every_example_of_the_reference_is_understood(client: Client) -> None:
    """With a token where it asks for one. The refresh token and the session of two examples do not exist."""
    page = await (await client.get("/api/docs")).text()
    examples = re.findall(r'<pre class="curl".*?</pre>', page, re.DOTALL)
    asked = [_request(html.unescape(re.sub(r"<[^>]+>", "", each))) for each in examples if "{path}" not in each]
    assert len(asked) > 20
    for number, (method, path, headers, body) in enumerate(asked):
        token = ""
        if "$TOKEN" in "".join(headers.values()):
            await make.user(client, email := f"ada{number}@example.com")
            token = await make.access_token(client, email)
        filled = {name: value.replace("$TOKEN", token) for name, value in headers.items()}
        answer = await client.request(method, path, headers=filled, json=body, allow_redirects=False)
        known = {"/.well-known/change-password": 303, "/api/auth/refresh": 400, "/api/auth/sessions/{session_id}": 404}
        assert answer.status in (200, 201, 204, known.get(path)), (path, await answer.text())


def _request(example: str) -> tuple[str, str, dict[str, str], Any]:
    """Return method, path, the one header, and JSON of a line for curl."""
    words = shlex.split(example)
    given = dict(itertools.pairwise(words))
    headers = dict([given["--header"].split(": ")]) if "--header" in given else {}
    if "--cookie" in given:
        headers["Cookie"] = given["--cookie"]
    path = urlsplit(next(word for word in words if word.startswith("http"))).path
    return given.get("--request", "GET"), path, headers, json.loads(given.get("--json", "null"))


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
