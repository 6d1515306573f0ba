"""The role that docs/configuration.md gives to the service suffices, and changes no table (ASVS 13.2.2, 16.4.2)."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from authsvc import embedded, resources
from authsvc.config import Config, DatabaseUrl
from authsvc.store import migrations
from authsvc.store.queries import queries
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import composed

DOCUMENT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
GRANT, REVOKE = re.findall(r"^((?:alter default privileges grant|revoke) .+) authsvc;$", DOCUMENT, re.MULTILINE)
FILES = sorted(path.stem for path in resources.folder("sql").glob("*.sql"))
NEW_PASSWORD = "another correct horse"


@pytest.fixture
def roles(postgres: embedded.Server) -> Iterator[None]:
    """The owner of the tables, and the role of the service."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("create role owning login")
        connection.execute("create role serving login")
        yield
        connection.execute("drop role owning, serving")


@pytest.fixture
def serving_url(roles: None, postgres: embedded.Server, empty_database_url: DatabaseUrl) -> DatabaseUrl:
    """The URL of a database as the document has it set up and migrated, for the role of the service."""
    assert roles is None
    url = empty_database_url.reveal()
    owning = DatabaseUrl(url.replace("authsvc@", "owning@"))
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("alter database not_migrated owner to owning")
    with psycopg.connect(owning.reveal(), autocommit=True) as connection:
        connection.execute(f"{GRANT} serving".encode())
        migrations.apply(owning)
        connection.execute(f"{REVOKE} serving".encode())
    return DatabaseUrl(url.replace("authsvc@", "serving@"))


async def test_the_documented_role_serves_everything_and_changes_no_table(
    serving_url: DatabaseUrl, config: Config, clock: FrozenClock, serve: Serve
) -> None:
    database = dataclasses.replace(config.database, url=serving_url)
    client = await serve(await composed(dataclasses.replace(config, database=database), clock))
    await _live_through_an_account(client)
    with psycopg.connect(serving_url.reveal(), autocommit=True) as connection:
        for statement in (
            "create table t (i int)",
            "alter table users add column t int",
            "drop table journal",
            "truncate journal",
            "update journal set subject = null",
            "select from journal for update",
            "alter table journal disable trigger all",
            "create rule r as on insert to journal do instead nothing",
            "create role t",
            "copy users to program 'true'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_the_documented_role_may_run_every_statement_but_those_that_sweep_the_journal(serving_url: DatabaseUrl) -> None:
    """EXPLAIN asks for the same privileges as the statement, and does nothing."""
    refused = set()
    with psycopg.connect(serving_url.reveal(), autocommit=True) as connection:
        for query in (query for file in FILES for query in queries(file).values()):
            try:
                connection.execute(f"explain (generic_plan) {query.sql}".encode())
            except psycopg.errors.InsufficientPrivilege:
                refused.add(query.name)
    assert refused == {"sweep_journal", "sweep_failed_logins"}


async def _live_through_an_account(client: Client) -> None:
    await make.user(client)
    other, pair = await make.tokens(client), await make.tokens(client)
    answer = await client.post("/api/auth/refresh", json={"refresh_token": pair["refresh_token"]})
    headers = make.bearer((await answer.json())["access_token"])
    for path in ("/api/auth/me", "/api/auth/activity", "/api/auth/me/export", "/api/auth/sessions"):
        assert (await client.get(path, headers=headers)).status == 200, path
    answer = await client.post("/api/auth/logout", headers=make.bearer(other["access_token"]))
    assert answer.status == 204
    body = {"current_password": make.PASSWORD, "new_password": NEW_PASSWORD}
    assert (await client.post("/api/auth/password", json=body, headers=headers)).status == 204
    answer = await client.delete("/api/auth/me", json={"password": NEW_PASSWORD}, headers=headers)
    assert answer.status == 204
