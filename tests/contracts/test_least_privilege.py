"""The role that `authsvc migrate --service-role` makes is enough for the service, and changes no table.

ASVS 13.2.2, 16.4.2.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from authsvc import embedded, operations, resources
from authsvc.config import Config, DatabaseUrl
from authsvc.operations import OperationError
from authsvc.store import migrations
from authsvc.store.queries import queries
from authsvc.store.service_roles import MANAGED_SUPERUSER, ServiceRole, ServiceRoleError
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import composed

FILES = sorted(path.stem for path in resources.folder("sql").glob("*.sql"))
NEW_PASSWORD = "another correct horse"
HOSTILE = 'a"; drop table users; --'
SERVING = ServiceRole("serving")
PRIVILEGES = """
select relname, privilege_type
from pg_class, aclexplode(relacl)
where relnamespace = 'public'::regnamespace and grantee = 'serving'::regrole
"""
DATA = {"select", "insert", "update", "delete"}


@pytest.fixture
def admin(postgres: embedded.Server) -> Iterator[psycopg.Connection]:
    """A superuser, on a server with an owner of the tables and a managed server's role; what a test makes goes."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("create role owning login createrole createdb")
        connection.execute(f"create role {MANAGED_SUPERUSER} createrole createdb".encode())
        yield connection
        for role in ("serving", HOSTILE):
            connection.execute(psycopg.sql.SQL("drop role if exists {}").format(psycopg.sql.Identifier(role)))
        connection.execute(f"drop role owning, {MANAGED_SUPERUSER}".encode())


@pytest.fixture
def owning_url(admin: psycopg.Connection, empty_database_url: DatabaseUrl) -> Iterator[DatabaseUrl]:
    """The URL of an empty database, for its owner."""
    admin.execute("alter database not_migrated owner to owning")
    yield DatabaseUrl(empty_database_url.reveal().replace("authsvc@", "owning@"))
    with psycopg.connect(empty_database_url.reveal(), autocommit=True) as connection:
        connection.execute("drop owned by owning cascade")


@pytest.fixture
def serving_url(admin: psycopg.Connection, owning_url: DatabaseUrl) -> DatabaseUrl:
    """The URL of a database as the document has it set up and migrated, for the role of the service."""
    admin.execute("create role serving login")
    migrations.apply(owning_url, SERVING)
    return as_serving(owning_url)


def as_serving(url: DatabaseUrl) -> DatabaseUrl:
    return DatabaseUrl(url.reveal().replace("owning@", "serving@"))


def privileges(url: DatabaseUrl) -> dict[str, set[str]]:
    """Return what the service's role has on each table."""
    found: dict[str, set[str]] = {}
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        for table, privilege in connection.execute(PRIVILEGES).fetchall():
            found.setdefault(table, set()).add(privilege.lower())
    return found


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


def test_it_has_what_the_document_says_on_each_table_and_nothing_on_any_other(
    owning_url: DatabaseUrl, serving_url: DatabaseUrl
) -> None:
    tables = {"users", "sessions", "revocations", "clients", "attempts", "browsers"} & privileges(owning_url).keys()
    expected = dict.fromkeys(tables, DATA) | {"journal": DATA - {"update"}, "_yoyo_migration": {"select"}}
    assert privileges(serving_url) == expected
    assert {"users", "sessions", "revocations", "clients"} <= tables


def test_a_second_time_changes_nothing_and_takes_what_was_given_beside(
    owning_url: DatabaseUrl, serving_url: DatabaseUrl
) -> None:
    before = privileges(owning_url)
    with psycopg.connect(owning_url.reveal(), autocommit=True) as connection:
        connection.execute("grant all on all tables in schema public to serving")
        connection.execute("grant create on schema public to serving")
        connection.execute("alter default privileges grant all on tables to serving")
    for _ in range(2):
        assert migrations.apply(owning_url, SERVING) == []
        assert privileges(serving_url) == before
    with psycopg.connect(owning_url.reveal(), autocommit=True) as connection:
        connection.execute("create table later (i int)")
    assert privileges(serving_url) == before


def test_what_a_managed_server_gave_is_taken_away(admin: psycopg.Connection, owning_url: DatabaseUrl) -> None:
    """As Cloud SQL does, where whoever migrates may change it."""
    admin.execute(f"grant {MANAGED_SUPERUSER} to owning with admin option".encode())
    admin.execute(f"alter database not_migrated owner to {MANAGED_SUPERUSER}".encode())
    with psycopg.connect(owning_url.reveal(), autocommit=True) as owning:
        owning.execute("create role serving login createrole createdb")
        owning.execute(f"grant {MANAGED_SUPERUSER} to serving granted by owning".encode())
    migrations.apply(owning_url, SERVING)
    with psycopg.connect(as_serving(owning_url).reveal(), autocommit=True) as serving:
        for statement in ("create table t (i int)", "create role t", f"set role {MANAGED_SUPERUSER}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                serving.execute(statement.encode())
    admin.execute("alter database not_migrated owner to owning")


@pytest.mark.parametrize(
    "given",
    [f"grant {MANAGED_SUPERUSER} to serving", "alter role serving createrole", "alter role serving createdb"],
)
def test_what_cannot_be_taken_away_is_said_and_nothing_is_granted(
    given: str, admin: psycopg.Connection, owning_url: DatabaseUrl
) -> None:
    admin.execute("create role serving login")
    admin.execute(given.encode())
    with pytest.raises(
        ServiceRoleError, match=r"^The role serving was made by another .* which may not change it: drop it"
    ):
        migrations.apply(owning_url, SERVING)
    assert privileges(owning_url) == {}


@pytest.mark.parametrize(
    "given, excess",
    [
        ("grant create on schema public to public", "create tables"),
        ("grant update on journal to public", "change the journal"),
    ],
)
def test_what_everybody_may_is_said(given: str, excess: str, owning_url: DatabaseUrl, serving_url: DatabaseUrl) -> None:
    assert privileges(serving_url)
    with psycopg.connect(owning_url.reveal(), autocommit=True) as connection:
        connection.execute(given.encode())
    with pytest.raises(
        ServiceRoleError, match=f"^The role serving may {excess} as a member of another role, or because"
    ):
        migrations.apply(owning_url, SERVING)


@pytest.mark.parametrize(
    "name, sentence",
    [
        ("nobody", "There is no role nobody: create it, or name a file"),
        (HOSTILE, f"There is no role {HOSTILE}: create it"),
        ("owning", "The role owning is the one that migrates and may do anything: name another"),
        ("authsvc", "The role authsvc is a superuser and may do anything: name another"),
    ],
)
def test_a_role_that_cannot_be_the_services_gets_one_sentence(
    name: str, sentence: str, owning_url: DatabaseUrl
) -> None:
    with pytest.raises(ServiceRoleError) as refused:
        migrations.apply(owning_url, ServiceRole(name))
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize("name", ["serving", HOSTILE])
def test_with_a_password_the_role_is_made_and_the_server_never_sees_it(
    name: str, admin: psycopg.Connection, owning_url: DatabaseUrl
) -> None:
    # Were it the server that made the verifier, it would be of this kind.
    admin.execute("alter role owning set password_encryption = 'md5'")
    stored = []
    for password in ("open 'sesame'", "another"):
        migrations.apply(owning_url, ServiceRole(name, password))
        rows = admin.execute("select rolcanlogin, rolpassword from pg_authid where rolname = %s", [name]).fetchall()
        ((may_log_in, verifier),) = rows
        assert may_log_in
        assert verifier.startswith("SCRAM-SHA-256$")
        stored.append(verifier)
    assert stored[0] != stored[1]
    assert "sesame" not in repr(ServiceRole(name, "open 'sesame'"))
    with psycopg.connect(owning_url.reveal(), autocommit=True) as connection:
        assert connection.execute("select count(*) from users").fetchone() == (0,)
        connection.execute("drop owned by current_user cascade")


def test_behind_a_pooler_the_limits_of_a_session_are_those_of_the_role(
    admin: psycopg.Connection, owning_url: DatabaseUrl, config: Config, tmp_path: Path
) -> None:
    password = tmp_path / "password"
    password.write_text("open sesame\n")
    behind = dataclasses.replace(config.database, pooler="transaction")
    limits = ["statement_timeout=5000", "lock_timeout=4000", "idle_in_transaction_session_timeout=10000"]
    for settings, expected in ((config.database, None), (behind, limits)):
        migrations.apply(owning_url, operations.service_role("serving", password, settings))
        rows = admin.execute("select rolconfig from pg_roles where rolname = 'serving'").fetchall()
        assert rows == [(expected,)]


def test_a_name_or_a_file_that_cannot_be_is_said(config: Config, tmp_path: Path) -> None:
    settings = config.database
    assert operations.service_role(None, None, settings) is None
    empty, real = tmp_path / "empty", tmp_path / "real"
    empty.write_text("\n")
    real.write_text("open sesame\n")
    assert operations.service_role("serving", real, settings) == ServiceRole("serving", "open sesame")
    for name, file, sentence in (
        ("", None, "A role has a name of 1 to 63 bytes: give it with --service-role."),
        ("é" * 32, None, "A role has a name of 1 to 63 bytes: give it with --service-role."),
        (None, real, "A role has a name of 1 to 63 bytes: give it with --service-role."),
        ("serving", empty, f"{empty} holds no password."),
        ("serving", tmp_path / "none", f"{tmp_path / 'none'} cannot be read (No such file or directory)."),
    ):
        with pytest.raises(OperationError) as refused:
            operations.service_role(name, file, settings)
        assert str(refused.value) == sentence


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
