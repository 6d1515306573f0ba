"""The cookies: their attributes, and which ones are believed."""

import re

from authsvc.config import Config
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import CREDENTIALS, LOGIN, ME, Wire, composed, form, https, problem, send


async def test_where_people_come_by_https_the_cookies_are_secure_and_of_this_host_alone(
    config: Config, clock: FrozenClock, serve: Serve
) -> None:
    """FRM-06 (ASVS 3.3.1)."""
    client = await serve(await composed(https(config), clock))
    await make.user(client)
    page = await client.get("/login")
    nonce = page.cookies["__Host-form_nonce"]
    fields = await form(client, "/login", {"Cookie": f"__Host-form_nonce={nonce.value}"})
    sent = await send(client, "/login", fields | CREDENTIALS, Cookie=f"__Host-form_nonce={nonce.value}")
    assert sent.status == 303
    token = sent.cookies["__Host-access_token"]
    delivered = await client.post(LOGIN, json=CREDENTIALS, headers={"Token-Delivery": "cookie"})
    delivered_cookies = [delivered.cookies[f"__Host-{name}_token"] for name in ("access", "refresh")]
    for morsel in (nonce, token, sent.cookies["__Host-refresh_token"], *delivered_cookies):
        assert morsel["secure"]
        assert morsel["httponly"]
        assert (morsel["samesite"], morsel["path"], morsel["domain"]) == ("Lax", "/", "")
    assert nonce["max-age"] == ""
    assert 855 <= int(token["max-age"]) <= 900
    me = await client.get(ME, headers={"Cookie": f"__Host-access_token={token.value}"})
    assert me.status == 200
    plain = await client.get(ME, headers={"Cookie": f"access_token={token.value}"})
    await problem(plain, 401, "missing_credentials")


async def test_on_localhost_without_tls_they_are_the_same_without_prefix_and_secure(client: Client) -> None:
    await make.user(client)
    sent = await send(client, "/login", await form(client, "/login") | CREDENTIALS)
    morsel = sent.cookies["access_token"]
    assert not morsel["secure"]
    assert morsel["httponly"]
    assert (morsel["samesite"], morsel["path"], morsel["domain"]) == ("Lax", "/", "")


COOKIES = [
    ("access_token={token}", None),
    ("a=b; access_token={token};c", None),
    ("access_token={token}; access_token={token}", "missing_credentials"),
    ("access_token=; access_token={token}", "missing_credentials"),
    ("access_token=x;\taccess_token={token}", "missing_credentials"),
    ("access_token", "missing_credentials"),
    ("access_token=", "missing_credentials"),
    ("=access_token={token}", "missing_credentials"),
    ("Access_Token={token}", "missing_credentials"),
    ("\u2000access_token={token}", "missing_credentials"),
    ("\u00a0access_token={token}", "missing_credentials"),
    ("access_token\u3000={token}", "missing_credentials"),
    ("$Version=1, access_token={token}", "missing_credentials"),
    ('a="; access_token={token}; b="', None),
    ('access_token="{token}"', "invalid_token"),
    ("access_token=" + "x" * 4097, "invalid_token"),
    ("access_token=\udcff", "invalid_token"),
]


async def test_a_cookie_is_believed_where_it_is_there_once_by_its_exact_name(
    client: Client,
) -> None:
    """FRM-05, SES-08: a browser lets a sibling host set U+2000 and `__Host-…`, whose name for it has no prefix."""
    await make.user(client)
    token = await make.access_token(client)
    wire = Wire(client.server.port)
    for cookie, code in COOKIES:
        header = f"Cookie: {cookie.format(token=token)}"
        status, answer = await wire.get(ME, header)
        assert status == (200 if code is None else 401), cookie
        assert code is None or f'"code":"{code}"' in answer, cookie
        assert (await wire.get("/login", header))[0] == 200, cookie


NONCES = ["", "x", "\udcff" * 32, '"' + "a" * 30 + '"', "a" * 5000, "\u00e9" * 16, "a b", "\\073"]


async def test_a_nonce_that_is_none_of_ours_is_replaced_and_never_sent_back(client: Client) -> None:
    wire = Wire(client.server.port)
    for nonce in NONCES:
        status, answer = await wire.get("/login", f"Cookie: form_nonce={nonce}")
        assert status == 200, nonce
        assert re.search(r"\r\nSet-Cookie: form_nonce=[A-Za-z0-9_-]{32};", answer), nonce
