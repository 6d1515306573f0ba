"""The export of what is held about a person: GET /api/auth/me/export."""

import tracemalloc
from uuid import UUID

import psycopg

from authsvc.config import Config
from authsvc.events import OPERATOR, LoginFailed
from authsvc.flows.export_user import ExportUser
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client, FrozenClock
from tests.web.helpers import ME, problem

PATH = f"{ME}/export"


async def test_it_holds_the_account_its_sessions_and_its_activity(client: Client) -> None:
    user = await make.user(client)
    await client.post("/api/auth/login", json={"email": make.EMAIL, "password": "not the password"})
    token = await make.access_token(client)
    response = await client.get(PATH, headers=make.bearer(token) | {"User-Agent": "Browser of Ada"})
    assert response.headers["Content-Disposition"] == 'attachment; filename="authsvc-export.json"'
    assert response.headers["Cache-Control"] == "no-store"
    export = await response.json()
    assert export["user"] == user | {"disabled_at": None}
    assert [session["current"] for session in export["sessions"]] == [True]
    assert [(entry["event"], entry["address"]) for entry in export["activity"]] == [
        ("session:login:success", "127.0.0.1"),
        ("session:login:failure", "127.0.0.1"),
        ("user:register:success", "127.0.0.1"),
    ]
    assert "argon2" not in await response.text()


async def test_it_holds_nothing_of_anybody_else(client: Client) -> None:
    """SQL-07 (ASVS 8.2.2)"""
    grace = await make.user(client, "grace@example.com")
    await make.access_token(client, "grace@example.com")
    await client.post("/api/auth/login", json={"email": "nobody@example.com", "password": make.PASSWORD})
    await make.user(client)
    token = await make.access_token(client)
    for path in (PATH, f"{PATH}?subject={grace['id']}"):
        text = await (await client.get(path, headers=make.bearer(token))).text()
        assert grace["id"] not in text
        assert "grace" not in text
        assert text.count("session:login") == 1


async def test_sessions_that_are_over_belong_to_it_while_they_are_held(client: Client, clock: FrozenClock) -> None:
    await make.user(client)
    await make.access_token(client)
    clock.advance(31 * 86_400)
    token = await make.access_token(client)
    assert len((await (await client.get(PATH, headers=make.bearer(token))).json())["sessions"]) == 2
    assert len((await (await client.get("/api/auth/sessions", headers=make.bearer(token))).json())["sessions"]) == 1


async def test_it_is_complete_however_much_that_is(client: Client, database: Database) -> None:
    user = await make.user(client)
    token = await make.access_token(client)
    async with database.transaction(OPERATOR) as transaction:
        for _ in range(2_500):
            transaction.record(LoginFailed(UUID(user["id"])))
    export = await (await client.get(PATH, headers=make.bearer(token))).json()
    ids = [entry["id"] for entry in export["activity"]]
    assert len(ids) == 2_502
    assert ids == sorted(set(ids), reverse=True)


async def test_a_long_journal_is_never_whole_in_memory(client: Client, database: Database, config: Config) -> None:
    """DOS-15 (CWE-770): the pages are read one by one, as they are sent."""
    user = await make.user(client)
    columns = "recorded_at, event, subject, address, agent"
    rows = "select now(), 'session:login:failure', %s, '127.0.0.1', repeat('x', 100) from generate_series(1, 60000)"
    with psycopg.connect(config.database.url.reveal(), autocommit=True) as connection:
        connection.execute(f"insert into journal ({columns}) {rows}".encode(), (user["id"],))
    export, entries = await ExportUser(database)(UUID(user["id"])), 0
    tracemalloc.start()
    try:
        async for page in export.activity:
            entries += len(page)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert entries == 60_001
    assert peak < 1_000_000  # all of it takes above 30 MB


async def test_who_is_not_logged_in_gets_none(client: Client) -> None:
    await problem(await client.get(PATH), 401, "missing_credentials")
