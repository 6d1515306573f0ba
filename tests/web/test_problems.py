"""What holds for every answer: problem documents, request ids, security headers, methods and paths."""

import re
from collections.abc import Awaitable, Callable
from io import StringIO
from typing import Any

import pytest
from aiohttp import ClientResponse

from authsvc.app import Service
from authsvc.config import Config
from authsvc.events import OPERATOR
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import CREDENTIALS, LOGIN, ME, PUBLIC_URL, REGISTER, Wire, composed, https, problem

MEMBERS = {"type", "title", "status", "detail", "code", "instance"}
PAGE = {"Accept": "text/html,*/*;q=0.8"}
JSON_BODY = {"Content-Type": "application/json"}
ANSWERS: list[tuple[str, str, dict[str, Any], int]] = [
    ("GET", "/", {}, 200),
    ("GET", "/login", {}, 200),
    ("GET", "/account", {}, 303),
    ("GET", "/api/docs", {}, 200),
    ("GET", "/static/app.css", {}, 200),
    ("GET", "/.well-known/jwks.json", {}, 200),
    ("GET", ME, {}, 401),
    ("POST", LOGIN, {"json": {}, "headers": {"Origin": "https://evil.example"}}, 403),
    ("POST", "/logout", {"data": {"x": "y"}}, 303),
    ("POST", "/login", {"data": {"x": "y"}}, 403),
    ("GET", "/nothing", {"headers": PAGE}, 404),
    ("GET", "/nothing", {}, 404),
    ("PUT", ME, {}, 405),
    ("POST", LOGIN, {"data": b"{}", "headers": JSON_BODY}, 422),
    ("POST", LOGIN, {"data": b"{", "headers": JSON_BODY}, 400),
    ("POST", LOGIN, {"data": b" " * 16_385, "headers": JSON_BODY}, 413),
    ("POST", LOGIN, {}, 415),
]


async def test_a_problem_says_what_is_wrong_and_where_that_is_described(client: Client) -> None:
    response = await client.get(ME, headers={"X-Request-Id": "a-1.B_2"})
    document = await problem(response, 401, "missing_credentials")
    assert document.keys() == MEMBERS
    assert document["type"] == "http://127.0.0.1:8080/api/docs#problem-missing_credentials"
    assert document["instance"] == "urn:authsvc:request:a-1.B_2"
    assert document["title"]
    assert document["detail"]
    faulty = await problem(await client.post(LOGIN, json={}), 422, "invalid_input")
    assert faulty.keys() == MEMBERS | {"errors"}


async def test_a_problem_of_a_service_reached_by_https_names_its_address(
    config: Config, clock: FrozenClock, serve: Serve
) -> None:
    client = await serve(await composed(https(config), clock))
    document = await problem(await client.get(ME), 401, "missing_credentials")
    assert document["type"].startswith(f"{PUBLIC_URL}/api/docs#")


async def test_the_unforeseen_is_recorded_and_told_without_a_word_of_what_it_was(
    service: Service, database: Database, aiohttp_client: Callable[..., Awaitable[Client]], log: StringIO
) -> None:
    """LGX-03, LGX-06: a constraint of another name, whose violation quotes the address, and which nobody expects."""
    client = await aiohttp_client(service.public)  # unwitnessed: a 500 is always a fault
    await make.user(client)
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute("alter table users rename constraint users_email_key to other")
    document = await problem(await client.post(REGISTER, json=CREDENTIALS), 500, "internal_error")
    assert document["detail"] == "Something went wrong here. It was recorded under the request id."
    recorded = next(line for line in log.getvalue().splitlines() if '"unforeseen"' in line)
    assert "UniqueViolationError" in recorded
    assert document["instance"].rpartition(":")[2] in recorded


@pytest.mark.parametrize("secure", [False, True])
async def test_every_answer_carries_the_security_headers(
    config: Config, clock: FrozenClock, serve: Serve, *, secure: bool
) -> None:
    """FRM-10, HTTP-17, HTTP-19, HTTP-20, ASVS 3.4: HSTS where, and only where, people come by https."""
    client = await serve(await composed(https(config) if secure else config, clock))
    for method, path, more, status in ANSWERS:
        response = await client.request(method, path, allow_redirects=False, **more)
        assert response.status == status, path
        _look_at(response, secure=secure)


def _look_at(response: ClientResponse, *, secure: bool) -> None:
    headers = response.headers
    assert headers.get("Strict-Transport-Security") == ("max-age=31536000; includeSubDomains" if secure else None)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    is_page = response.content_type == "text/html"
    assert headers.getall("Referrer-Policy") == ["same-origin" if is_page else "no-referrer"]
    assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers.getall("Server") == ["authsvc"]
    csp = headers["Content-Security-Policy"]
    assert csp.startswith("default-src 'none'; ")
    # Neither falls back to default-src; object-src does (ASVS 3.4.3).
    assert {"frame-ancestors 'none'", "base-uri 'none'"} <= set(csp.split("; "))
    assert "unsafe" not in csp
    kept = response.url.path.startswith("/.well-known/")
    assert headers["Cache-Control"].startswith("public, max-age=" if kept else "no-store")
    assert len(headers.getall("X-Request-Id")) == 1


async def test_a_request_id_that_is_plain_is_kept(client: Client) -> None:
    for given in ("0", "a" * 128, "01JD-x_y.Z"):
        response = await client.get("/", headers={"X-Request-Id": given})
        assert response.headers["X-Request-Id"] == given


async def test_any_other_request_id_is_replaced(client: Client, log: StringIO) -> None:
    seen = set()
    for given in ("", "a" * 129, "a b", 'a"', "<b>", "\u00e9", "\u0661", "\udcff"):
        _status, answer = await Wire(client.server.port).get("/", f"X-Request-Id: {given}")
        made = re.findall(r"\r\nX-Request-I[dD]: (.*)\r\n", answer)[0]
        assert made.replace("-", "").isalnum()
        assert made != given
        assert made in log.getvalue()
        seen.add(made)
    assert len(seen) == 8


@pytest.mark.parametrize(
    "method, path, allowed",
    [
        ("GET", LOGIN, "POST"),
        ("PUT", ME, "DELETE, GET, HEAD"),
        ("OPTIONS", ME, "DELETE, GET, HEAD"),
        ("TRACE", "/login", "GET, HEAD, POST"),
        ("PATCH", "/login", "GET, HEAD, POST"),
        ("HEAD", "/logout", "POST"),
    ],
)
async def test_another_method_is_answered_with_those_there_are(
    client: Client, method: str, path: str, allowed: str
) -> None:
    """HTTP-04."""
    response = await client.request(method, path, headers={"X-HTTP-Method-Override": "GET"})
    assert (response.status, response.headers["Allow"]) == (405, allowed)
    assert method in ("HEAD", "TRACE") or (await response.json())["code"] == "method_not_allowed"


async def test_a_program_gets_a_problem_for_an_unknown_path_and_a_person_a_page(client: Client) -> None:
    """HTTP-21: and the API answers in JSON whatever is asked for."""
    await problem(await client.get("/nothing"), 404, "not_found")
    await problem(await client.get("/nothing", headers={"Accept": "*/*"}), 404, "not_found")
    await problem(await client.get("/api/nothing", headers=PAGE), 404, "not_found")
    await problem(await client.get("/.well-known/nothing", headers=PAGE), 404, "not_found")
    await problem(await client.get(ME, headers=PAGE), 401, "missing_credentials")
    await problem(await client.post(LOGIN, json={}, headers=PAGE), 422, "invalid_input")
    page = await client.get("/nothing", headers=PAGE)
    assert (page.status, page.content_type) == (404, "text/html")
    assert page.headers["X-Request-Id"] in await page.text()


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_the_public_port_answers_no_probe_and_no_scrape(client: Client, path: str) -> None:
    """MET-03 (ASVS 13.4.5)."""
    await problem(await client.get(path), 404, "not_found")


async def test_nothing_is_shared_with_other_origins(client: Client) -> None:
    """MW-09 (ASVS 3.4.2): no answer carries a CORS header, least of all the one to a preflight."""
    await make.user(client)
    headers = make.bearer(await make.access_token(client))
    for origin in ("https://evil.example", "null", "http://127.0.0.1:8080"):
        asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        for response in (
            await client.get(ME, headers=headers | asked),
            await client.options(LOGIN, headers=asked),
            await client.post(LOGIN, json={}, headers=asked),
        ):
            assert not [name for name in response.headers if name.lower().startswith("access-control-")]
