"""All that is held about a person is in the export, column by column, or is named here with why it is not."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from authsvc.config import DatabaseUrl
from authsvc.web.bodies import timestamp
from tests import make
from tests.conftest import Client
from tests.web.helpers import ME

# Of each table that tells something about people: the member of the export, and the columns that are in it, by name or
# as the member that has another one.
EXPORTED: dict[str, tuple[str, dict[str, str]]] = {
    "users": (
        "user",
        {"public_id": "id"} | {name: name for name in ("email", "created_at", "updated_at", "disabled_at")},
    ),
    "sessions": (
        "sessions",
        {
            name: name
            for name in (
                "id",
                "created_at",
                "last_used_at",
                "expires_at",
                "address",
                "agent",
                "authentication_methods",
            )
        },
    ),
    "journal": (
        "activity",
        {name: name for name in ("id", "recorded_at", "event", "session_id", "address", "agent")},
    ),
}
LEFT_OUT = {
    "users.id": "a row number, for joins",
    "users.password_hash": "nobody reads the password from it, and whoever finds the file could guess it",
    "sessions.subject": "the account that the whole export is about",
    "sessions.counter": "the number of the newest refresh token: of the token, not of the person",
    "sessions.access_until": "follows from when the session was last used",
    "journal.subject": "the account that the whole export is about",
    "revocations.session_id": "for minutes; the journal has it for longer, with when and why",
    "revocations.transaction_id": "a number of the database's own",
    "revocations.expires_at": "follows from when the session ended",
    "attempts.key": "a keyed hash, for about a day: whose it is cannot be read from it",
    "attempts.arrival_at": "belongs to that hash",
    "attempts.taken": "belongs to that hash",
    "attempts.expires_at": "belongs to that hash",
}
OF_NOBODY = {"clients"}
"""Tables about services."""
THEN = datetime(2026, 11, 21, 9, 30, 0, 123456, UTC)


def test_every_column_is_exported_or_left_out_by_name(database_url: DatabaseUrl) -> None:
    """A migration that adds one must say here which."""
    with psycopg.connect(database_url.reveal()) as connection:
        columns = connection.execute(
            "select table_name, column_name from information_schema.columns"
            " where table_schema = 'public' and table_name !~ 'yoyo'"
        ).fetchall()
    held = {f"{table}.{column}" for table, column in columns if table not in OF_NOBODY}
    exported = {f"{table}.{column}" for table, (_member, columns) in EXPORTED.items() for column in columns}
    assert held == exported | LEFT_OUT.keys()
    assert not exported & LEFT_OUT.keys()


async def test_what_is_exported_is_what_is_held(client: Client, database_url: DatabaseUrl) -> None:
    await make.user(client)
    await client.post("/api/auth/login", json={"email": make.EMAIL, "password": "not the password"})
    tokens = await make.tokens(client)
    await client.post("/api/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    with psycopg.connect(database_url.reveal(), row_factory=dict_row, autocommit=True) as connection:
        # By hand: the command would end the session that asks.
        connection.execute("update users set disabled_at = %s", [THEN])
        response = await client.get(f"{ME}/export", headers=make.bearer(tokens["access_token"]))
        export = await response.json()
        for table, (member, columns) in EXPORTED.items():
            rows = connection.execute(f"select * from {table}".encode()).fetchall()  # noqa: S608 - names of ours
            held = [{name: shown(row[column]) for column, name in columns.items()} for row in rows]
            given = export[member] if isinstance(export[member], list) else [export[member]]
            assert sorted(({name: each[name] for name in columns.values()} for each in given), key=str) == sorted(
                held, key=str
            )
    assert export["user"]["disabled_at"] == timestamp(THEN)


def shown(value: Any) -> Any:
    """Return a value of the database as the API shows it."""
    if isinstance(value, datetime):
        return timestamp(value.astimezone(UTC))
    return str(value) if isinstance(value, UUID) else value
