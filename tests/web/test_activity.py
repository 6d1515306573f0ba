"""One's own activity: GET /api/auth/activity."""

from typing import Any

import pytest

from tests import make
from tests.conftest import Client, FrozenClock
from tests.web.helpers import faults_of, problem

PATH = "/api/auth/activity"


async def page(client: Client, token: str, query: str = "") -> Any:
    response = await client.get(PATH + query, headers=make.bearer(token))
    assert response.status == 200, await response.text()
    return await response.json()


async def test_it_says_what_happened_when_and_from_where_the_newest_first(client: Client, clock: FrozenClock) -> None:
    await make.user(client)
    clock.advance(60)
    login = {"email": make.EMAIL, "password": "not the password"}
    await client.post("/api/auth/login", json=login, headers={"User-Agent": "Somebody"})
    clock.advance(60)
    token = await make.access_token(client)
    [session] = (await (await client.get("/api/auth/sessions", headers=make.bearer(token))).json())["sessions"]
    answer = await page(client, token)
    assert answer["next"] is None
    told = [tuple(entry[name] for name in ("recorded_at", "event", "session_id")) for entry in answer["activity"]]
    assert told == [
        ("2026-11-22T12:02:00.000000Z", "session:login:success", session["id"]),
        ("2026-11-22T12:01:00.000000Z", "session:login:failure", None),
        ("2026-11-22T12:00:00.000000Z", "user:register:success", None),
    ]
    assert [entry["address"] for entry in answer["activity"]] == ["127.0.0.1"] * 3
    assert answer["activity"][1]["agent"] == "Somebody"


async def test_pages_follow_each_other_without_a_gap(client: Client) -> None:
    await make.user(client)
    token = ""
    for _ in range(5):
        token = await make.access_token(client)
    whole = (await page(client, token))["activity"]
    assert len(whole) == 6
    for size in (1, 2, 3, 6, 7):
        found, query = [], f"?limit={size}"
        while True:
            answer = await page(client, token, query)
            assert 1 <= len(answer["activity"]) <= size
            found += answer["activity"]
            if answer["next"] is None:
                break
            query = f"?limit={size}&before={answer['next']}"
        assert found == whole


async def test_nobody_reads_anybody_elses(client: Client) -> None:
    """SQL-07 (ASVS 8.2.2): a cursor is a place in the journal, and opens nothing."""
    await make.user(client)
    ada = await make.access_token(client)
    await make.user(client, "grace@example.com")
    grace = await make.access_token(client, "grace@example.com")
    ids = {entry["id"] for entry in (await page(client, ada))["activity"]}
    for query in ("", f"?before={max(ids) + 1}", f"?before={2**63 - 1}"):
        assert not ids & {entry["id"] for entry in (await page(client, grace, query))["activity"]}


@pytest.mark.parametrize(
    "query, fault",
    [
        ("?limit=0", ("limit", "invalid_number")),
        ("?limit=101", ("limit", "invalid_number")),
        ("?limit=", ("limit", "invalid_number")),
        ("?limit=%D9%A3", ("limit", "invalid_number")),
        ("?limit=+5", ("limit", "invalid_number")),
        ("?before=0", ("before", "invalid_number")),
        ("?before=-1", ("before", "invalid_number")),
        ("?before=9223372036854775808", ("before", "invalid_number")),
        ("?before=" + "9" * 5_000, ("before", "invalid_number")),
        ("?before=1%00", ("before", "invalid_characters")),
        ("?limit=1&limit=1", ("limit", "duplicate")),
        ("?subject=somebody", ("subject", "unknown_field")),
    ],
)
async def test_a_query_that_cannot_be_meant_is_refused(client: Client, query: str, fault: tuple[str, str]) -> None:
    await make.user(client)
    token = await make.access_token(client)
    response = await client.get(PATH + query, headers=make.bearer(token))
    assert faults_of(await problem(response, 422, "invalid_input")) == {fault}


async def test_who_is_not_logged_in_gets_none(client: Client) -> None:
    await problem(await client.get(PATH), 401, "missing_credentials")
