"""The Big List of Naughty Strings in every field, path, query and header that is read."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from yarl import URL

from authsvc.app import Service
from authsvc.store.database import Database
from authsvc.web.form_tokens import FIELD
from authsvc.web.routes import ROUTES, Route
from tests import make
from tests.conftest import Client
from tests.web.helpers import CREDENTIALS, Wire, form

FILE = Path(__file__).parents[1] / "vectors" / "blns" / "blns.json"
NAUGHTY: list[str] = json.loads(FILE.read_text("utf-8"))
# SQL-01, SQL-03, SQL-04, DOS-07 (CVE-2019-19844's letters among them).
OURS = [
    "' OR '1'='1", "'; DROP TABLE users;--", "\\'", "%27", "$1", "%(id)s", ":id", "{0}", "\0", "a\0b", "\ud800",
    "%", "_",
    str(2**63), "-1", "1e3", "١٢", "{6BA7B810-9DAD-11D1-80B4-00C04FD430C8}", "6BA7B8109DAD11D180B400C04FD430C8",
    "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8", "a" * 5000 + "!", "z\u0335\u0322" * 500, "\u202e\u2066",
    "MİKE@example.com",
]  # fmt: skip
GOOD = {
    "email": make.EMAIL,
    "password": make.PASSWORD,
    "current_password": make.PASSWORD,
    "new_password": "another correct horse battery",
    "session_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
}
# In the short form a route meets one of so many of the list, the next route the next.
STRIDE = 30
# Runs in markup if it is not escaped.
MARKUP = re.compile(r"<(script|img|svg|iframe|b|i|plaintext|div|body|marquee)[\s/>]", re.IGNORECASE)


@pytest.fixture
def reading_routes(service: Service) -> list[Route]:
    """Every route that reads something; last those that change the password of who asks."""
    table = dict.fromkeys(service.public[ROUTES].values())
    found = [route for route in table if route.reads or route.reads_query or "{" in route.path]
    return sorted(found, key=lambda route: "password" in route.path)


@pytest.mark.unlimited
async def test_no_string_in_any_field_path_or_query_is_a_fault_of_ours(
    client: Client, database: Database, reading_routes: list[Route], pytestconfig: pytest.Config
) -> None:
    """SQL-01, SQL-03, SQL-04, SQL-05, SQL-06, FRM-11 (ASVS 1.2.1, 1.2.4): data stays data, there and on the page.

    Each answer is held against the description of its route as well, and none is a 500 (see witness.py).
    """
    await make.user(client)
    await make.user(client, "bystander@example.com")
    token = await make.access_token(client)
    cookie = {"Cookie": f"access_token={token}"}
    page = await form(client, "/account", headers=cookie)
    stride = 1 if pytestconfig.getoption("--fuzz-examples") else STRIDE
    for number, route in enumerate(reading_routes):
        headers = cookie if route.page else make.bearer(token)
        for text in [*OURS, *NAUGHTY[number % stride :: stride]]:
            for field in route.reads.fields if route.reads else [""]:
                await send(client, route, {field: text}, headers, page[FIELD])
    async with database.read() as connection:
        assert await connection.fetchval("select count(*) from users where email = $1", make.EMAIL) == 1
    assert await make.access_token(client, "bystander@example.com")


async def send(client: Client, route: Route, given: dict[str, str], headers: dict[str, str], form_token: str) -> None:
    """Send a route what it reads: the text in the field that is given, in the path, the query and where to go on to."""
    ((field, text),) = given.items()
    unicode = text.encode("utf-8", "replace").decode()
    path = re.sub(r"{\w+}", quote(unicode[:500], safe="").replace(".", "%2E"), route.path)
    data: dict[str, str] | bytes | None = None
    if route.reads:
        fields = {name: GOOD.get(name, "x") for name in route.reads.fields}
        data = json.dumps(fields | {field: text}).encode()
        if route.reads_form:
            data = {**fields, field: unicode, "next": unicode, FIELD: form_token}
        else:
            headers = {**headers, "Content-Type": "application/json"}
    query = dict.fromkeys(route.reads_query.fields, unicode[:500]) if route.reads_query else None
    url = URL(path, encoded=True).with_query(query)
    async with client.request(route.method, url, headers=headers, data=data, allow_redirects=False) as response:
        assert response.status < 500, (route.path, text)
        shown = await response.text()
    if route.page and (markup := MARKUP.search(text)):
        assert markup[0] + text[markup.end() : markup.end() + 8] not in shown, (route.path, text)


async def test_an_agent_by_any_name_logs_in_and_is_shown_as_text(client: Client, pytestconfig: pytest.Config) -> None:
    """SQL-01, SQL-05, FRM-11 (ASVS 1.2.4, 1.2.1): the header that is stored, in the API and on the pages."""
    await make.user(client)
    wire = Wire(client.server.port)
    body = json.dumps(CREDENTIALS).encode()
    head = "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nConnection: close\r\n"
    stride = 1 if pytestconfig.getoption("--fuzz-examples") else STRIDE
    for text in [*OURS, *NAUGHTY[::stride]]:
        agent = re.sub(r"[\x00-\x08\x0a-\x1f\x7f]", "", text)
        headers = f"{head}User-Agent: {agent}\r\nContent-Length: {len(body)}\r\n\r\n"
        answer = await wire.exchange(
            headers.encode("utf-8", "surrogateescape" if agent.isascii() else "replace") + body
        )
        assert answer.split()[1] == b"200", text
    token = json.loads(answer.partition(b"\r\n\r\n")[2])["access_token"]
    for path in ("/account", "/account/activity"):
        page = await (await client.get(path, headers={"Cookie": f"access_token={token}"})).text()
        assert not re.search(r"<(script|img|svg|iframe)[^>]*(alert|onerror|onload|javascript)", page)
    for path in ("/api/auth/sessions", "/api/auth/activity", "/api/auth/me/export"):
        assert (await client.get(path, headers=make.bearer(token))).status == 200
