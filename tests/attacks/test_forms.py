"""Attacks on the forms: posts from other sites, stolen and stale tokens, where a login leads, what a page echoes."""

import html
from urllib.parse import quote

import pytest
from aiohttp import FormData

from authsvc.config import Config
from authsvc.web.form_tokens import FIELD
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.make import EMAIL
from tests.web.helpers import CREDENTIALS, LOGIN, ME, PUBLIC_URL, composed, form, https, log_in, problem, send

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


async def test_a_form_without_its_token_or_with_another_does_nothing(client: Client) -> None:
    """FRM-01 (ASVS 3.5.1)."""
    await make.user(client)
    token = (await form(client, "/login"))[FIELD]
    edited = ("A" if token[0] != "A" else "B") + token[1:]
    for fields in ({}, {FIELD: ""}, {FIELD: edited}, {FIELD: token[:-1]}, {FIELD: token + "="}, {FIELD: "\u00e9" * 44}):
        refused = await send(client, "/login", CREDENTIALS | fields)
        assert (refused.status, "access_token" in refused.cookies) == (403, False), fields
        assert "This page was open for too long" in await refused.text()
    assert (await send(client, "/login", CREDENTIALS | {FIELD: token})).status == 303


async def test_the_token_of_another_browser_is_not_good_in_this_one(client: Client) -> None:
    """FRM-01, FRM-02 (CWE-352, ASVS 3.5.1): a login form that an attacker was shown does not log his victim in."""
    await make.user(client)
    stolen = (await form(client, "/login"))[FIELD]
    client.session.cookie_jar.clear()
    assert (await send(client, "/login", CREDENTIALS | {FIELD: stolen})).status == 403
    await form(client, "/login")
    assert (await send(client, "/login", CREDENTIALS | {FIELD: stolen})).status == 403


async def test_the_token_of_an_earlier_session_is_not_good_in_this_one(client: Client) -> None:
    """FRM-01, SES-10 (CWE-352): two tabs, and the form of the first is sent by who logged in in the second."""
    await make.user(client)
    before = (await form(client, "/login"))[FIELD]
    await log_in(client)
    first = (await form(client, "/account"))[FIELD]
    await send(client, "/login", {**(await form(client, "/login")), **CREDENTIALS})
    for token in (before, first):
        assert (await send(client, "/logout", {FIELD: token})).status == 403
    assert (await client.get(ME)).status == 200
    assert (await send(client, "/logout", await form(client, "/account"))).status == 303


async def test_the_same_form_can_be_sent_twice(client: Client) -> None:
    """FRM-12 (CWE-837): a double click, or the Back button."""
    await make.user(client)
    fields = await form(client, "/login") | CREDENTIALS | {"password": "wrong battery"}
    assert [(await send(client, "/login", fields)).status for _ in range(2)] == [401, 401]
    new = await form(client, "/register") | CREDENTIALS | {"email": "bob@example.com"}
    assert [(await send(client, "/register", new)).status for _ in range(2)] == [303, 409]


SITES: list[tuple[dict[str, str], bool]] = [
    ({}, True),
    ({"Sec-Fetch-Site": "same-origin"}, True),
    ({"Sec-Fetch-Site": "none"}, True),
    ({"Sec-Fetch-Site": "cross-site"}, False),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": ""}, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8080"}, False),
    ({"Origin": "http://127.0.0.1:8080"}, True),
    ({"Origin": "http://localhost:8080", "Host": "localhost:8080"}, True),
    ({"Origin": "https://localhost:8080", "Host": "localhost:8080"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": ""}, False),
    ({"Origin": "http://["}, False),
    ({"Origin": "https://evil.example"}, False),
    ({"Origin": "http://127.0.0.1:8081"}, False),
    ({"Origin": "http://127.0.0.1:8080.evil.example"}, False),
    ({"Origin": "http://127.0.0.1:8080 https://evil.example"}, False),
]


async def test_what_another_sites_page_sends_is_refused(client: Client) -> None:
    """FRM-02, FRM-03 (ASVS 3.5.1): in the API and in the forms, before anything is read."""
    await make.user(client)
    for headers, own in SITES:
        fields = await form(client, "/login") | CREDENTIALS
        page = await client.post("/login", data=fields, headers=headers, allow_redirects=False)
        assert page.status == (303 if own else 403), headers
        assert own or "This request came from another site" in await page.text()
        api = await client.post(LOGIN, json=CREDENTIALS, headers=headers)
        assert api.status == (200 if own else 403), headers
        assert own or await problem(api, 403, "cross_site_request")
        assert (await client.get("/login", headers=headers)).status == 200, "a link from elsewhere is no attack"


async def test_a_page_that_came_by_http_sends_nothing_to_the_site_by_https(
    config: Config, clock: FrozenClock, serve: Serve
) -> None:
    """FRM-03 (CWE-346): who sits on the wire can put a page under the http address of this host."""
    client = await serve(await composed(https(config), clock))
    await make.user(client)
    host = PUBLIC_URL.partition("//")[2]
    for origin, status in ((PUBLIC_URL, 200), (f"http://{host}", 403)):
        response = await client.post(LOGIN, json=CREDENTIALS, headers={"Origin": origin, "Host": host})
        assert response.status == status


ELSEWHERE = [
    "",
    "//evil.example",
    "/\\evil.example",
    "https:evil.example",
    "https://evil.example",
    "///evil.example",
    "/%09/evil.example",
    "/\t/evil.example",
    "\\\\evil.example",
    "/%5cevil.example",
    "/%2fevil.example",
    "/a/..//evil.example",
    "/./\\evil.example",
    "/../evil",
    "http://a@evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "http://a:99999",
    "http://[",
    "/ok\r\nSet-Cookie:x=y",
    "/ok%0d%0aSet-Cookie:x=y",
    "/ok\x00",
    "/ok\u2028",
    "/\uff0fevil.example",
    "/" + "a" * 10_000,
    "account",
    "?next=/",
    "/ space",
]


async def test_a_login_leads_to_a_path_of_this_site_and_nowhere_else(client: Client) -> None:
    """FRM-08, FRM-09 (ASVS 1.2.2, 3.7.2)."""
    await make.user(client)
    token = (await form(client, "/login"))[FIELD]
    for target in ELSEWHERE:
        if len(target) < 2000:
            asked = await form(client, f"/login?next={quote(target, safe='')}")
            assert asked["next"] == "/account", target
        sent = await send(client, "/login", CREDENTIALS | {FIELD: token, "next": target})
        assert (sent.status, sent.headers["Location"]) == (303, "/account"), target
        client.session.cookie_jar.clear(lambda morsel: morsel.key.endswith("_token"))
    for target in ("/", "/api/docs", "/x?a=b&c=%C3%A9", "/a@b:80", "/%zz"):
        sent = await send(client, "/login", CREDENTIALS | {FIELD: token, "next": target})
        assert (sent.status, sent.headers["Location"]) == (303, target)
        client.session.cookie_jar.clear(lambda morsel: morsel.key.endswith("_token"))


@pytest.mark.parametrize("path", ["/login", "/register"])
async def test_what_was_typed_is_shown_again_as_text(client: Client, path: str) -> None:
    """FRM-11 (ASVS 1.2.1, 1.3.7)."""
    for typed in ('"><script>alert(1)</script>', "' onfocus='alert(1)", "{{7*7}}", "</title><svg onload=x>", "\x00"):
        fields = await form(client, path) | {"email": typed, "password": "typed-secret"}
        response = await send(client, path, fields)
        page = await response.text()
        assert response.status == 422
        assert f'value="{html.escape(typed).replace("&quot;", "&#34;").replace("&#x27;", "&#39;")}"' in page
        assert "<script>alert" not in page
        assert "typed-secret" not in page


async def test_a_page_that_asked_for_a_problem_in_its_query_shows_none_of_it(client: Client) -> None:
    """CWE-451: nobody can have a page say what he likes."""
    page = await (await client.get("/<script>?<b>", headers={"Accept": "text/html"})).text()
    assert "<script>?" not in page
    assert "<b>" not in page


BODIES: dict[bytes, int] = {
    b"": 403,
    b"&" * 16_000: 400,
    b"email=%ff": 400,
    b"email=\xff": 400,
    b"email=a&email=b": 400,
    b"form_token=a&form_token=b": 400,
    b"email=a&%65mail=b": 400,
    b"&".join(b"f%d=" % number for number in range(33)): 400,
    b"&".join(b"f%d=" % number for number in range(1001)): 400,
    b"a" * 16_385: 413,
    b"email=%00&password=%ed%a0%80": 400,
    b"email": 403,
    b"=": 403,
}


@pytest.mark.parametrize("path", ["/login", "/register", "/logout"])
async def test_a_form_that_cannot_be_read_is_answered_with_a_page(client: Client, path: str) -> None:
    """HTTP-13, REG-22 (CWE-770, ASVS 15.3.7)."""
    await make.user(client)
    headers = {**FORM, "Cookie": f"access_token={await make.access_token(client)}"}
    for body, status in BODIES.items():
        response = await client.post(path, data=body, headers=headers)
        assert (response.status, response.content_type) == (status, "text/html"), body[:40]


async def test_only_an_url_encoded_form_in_utf_8_is_read_as_a_form(client: Client) -> None:
    """FRM-04, FRM-17 (ASVS 3.5.2): no multipart, and so no file where a password is expected."""
    upload = FormData()
    upload.add_field("email", EMAIL)
    upload.add_field("password", b"correct horse battery staple", filename="x")
    assert (await client.post("/login", data=upload)).status == 415
    for content_type in (
        "text/plain",
        "multipart/form-data",
        "application/json",
        f"{FORM['Content-Type']}; charset=utf-16",
    ):
        response = await client.post("/login", data=b"email=a", headers={"Content-Type": content_type})
        assert (response.status, response.content_type) == (415, "text/html")


async def test_a_method_in_a_field_or_a_header_is_not_obeyed(client: Client) -> None:
    """FRM-16 (ASVS 3.5.3)."""
    await make.user(client)
    fields = await form(client, "/login") | CREDENTIALS | {"_method": "DELETE"}
    assert (await send(client, "/login", fields)).status == 422
    overridden = await send(client, "/login", await form(client, "/login") | CREDENTIALS, X_HTTP_Method_Override="PUT")
    assert overridden.status == 303


async def test_pages_are_not_kept_after_a_logout_and_fields_are_named_for_password_managers(client: Client) -> None:
    """FRM-13, FRM-14 (ASVS 6.2.7)."""
    login, register = await client.get("/login"), await client.get("/register")
    assert login.headers["Cache-Control"] == "no-store"
    for page, new_or_current in ((await login.text(), "current"), (await register.text(), "new")):
        assert 'autocomplete="username"' in page
        assert f'autocomplete="{new_or_current}-password"' in page
        assert "onpaste" not in page
