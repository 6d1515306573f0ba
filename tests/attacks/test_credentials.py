"""Attacks on the guard: what is sent as a bearer credential, and round it. All of it is 401."""

import pytest

from tests import make
from tests.conftest import Client
from tests.make import EMAIL
from tests.web.helpers import ME, Wire, problem

GOOD, NONE, REQUEST, TOKEN = None, "Bearer", 'Bearer error="invalid_request"', 'Bearer error="invalid_token"'
HEADERS: list[tuple[list[str], str | None]] = [
    ([], NONE),
    (["Bearer {token}"], GOOD),
    (["bearer {token}"], GOOD),
    (["BEARER  {token}"], GOOD),
    (["Bearer"], REQUEST),
    (["Bearer "], REQUEST),
    (["Bearer {token} {token}"], REQUEST),
    (["Bearer {token}, Bearer {token}"], REQUEST),
    (["Bearer {token},x"], REQUEST),
    (["Bearer {token}", "Bearer {token}"], REQUEST),
    (["Bearer {token}", "Basic YTpi"], REQUEST),
    (["Token {token}"], NONE),
    (["Basic YTpi"], NONE),
    (["Bearer\t{token}"], NONE),
    (["Bearer\u00a0{token}"], NONE),
    (["{token}"], NONE),
    ([""], NONE),
    (["Bearer x"], TOKEN),
    (["Bearer {token}x"], TOKEN),
    (["Bearer {token}\udcff"], TOKEN),
    (["Bearer a.b.c\udcff"], TOKEN),
    (["Bearer {token}\u0661"], TOKEN),
    (["Bearer ..."], TOKEN),
    (["Bearer " + "[" * 2700], TOKEN),
    (["Bearer " + "x" * 4097], TOKEN),
    (["Bearer " + "x" * 8000], TOKEN),
]
CODES = {NONE: "missing_credentials", REQUEST: "invalid_request", TOKEN: "invalid_token"}


async def test_anything_but_one_good_bearer_is_401_with_the_code_of_rfc_6750_and_no_hint(client: Client) -> None:
    """MW-01, MW-02, MW-03, TOK-10, TOK-11, TOK-13 (RFC 6750 §3, RFC 9110 §11.1)."""
    await make.user(client)
    token = await make.access_token(client)
    wire = Wire(client.server.port)
    for headers, challenge in HEADERS:
        sent = [f"Authorization: {each.format(token=token)}" for each in headers]
        status, answer = await wire.get(ME, *sent)
        if challenge is None:
            assert (status, EMAIL in answer) == (200, True), headers
        else:
            assert status == 401, headers
            assert f"\r\nWWW-Authenticate: {challenge}\r\n" in answer, headers
            assert f'"code":"{CODES[challenge]}"' in answer, headers


async def test_a_token_in_the_query_or_the_body_is_not_looked_at(client: Client) -> None:
    """MW-04 (RFC 6750 §2.3, CWE-598)."""
    await make.user(client)
    token = await make.access_token(client)
    await problem(await client.get(ME, params={"access_token": token}), 401, "missing_credentials")
    await problem(await client.request("GET", ME, data={"access_token": token}), 401, "missing_credentials")


async def test_where_there_is_a_bearer_the_cookie_is_not_looked_at(client: Client) -> None:
    """MW-08 (CWE-287): neither to mend a bad bearer nor to be somebody else."""
    ada, bob = await make.user(client), await make.user(client, "bob@example.com")
    tokens = {name: await make.access_token(client, name) for name in (EMAIL, "bob@example.com")}
    cookie = {"Cookie": f"access_token={tokens[EMAIL]}"}
    assert await (await client.get(ME, headers=cookie)).json() == ada
    both = await client.get(ME, headers=cookie | make.bearer(tokens["bob@example.com"]))
    assert await both.json() == bob
    await problem(await client.get(ME, headers=cookie | make.bearer("x.y.z")), 401, "invalid_token")
    await problem(await client.get(ME, headers=cookie | {"Authorization": "Bearer"}), 401, "invalid_request")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
async def test_no_spelling_of_a_closed_path_opens_it(client: Client, method: str) -> None:
    """MW-06 (CWE-647)."""
    wire = Wire(client.server.port)
    spellings = ("", "/", "//", ";x", "%00", "%2f", "%2f..%2fme", "/.", "?x", "#x", "%20", ".json")
    paths = [f"{ME}{end}" for end in spellings]
    paths += ["//api/auth/me", "/api//auth/me", "/api/auth/%6de", "/API/auth/me", "/api/./auth/me", "/x/../api/auth/me"]
    for path in paths:
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        status = (await wire.exchange(head.encode())).split()[1]
        assert status in (b"400", b"401", b"404", b"405"), path
