"""The migrations: there and back, at once, after a crash, for a role that may not; and released ones never change."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from authsvc import embedded, resources
from authsvc.config import DatabaseUrl
from authsvc.store import migrations
from authsvc.store.database import Database
from authsvc.store.migrations import MigrationError

FOLDER = resources.folder("migrations")
SHIPPED = migrations.shipped()
CHECKSUMS = Path(__file__).parent / "migrations.sha256"
SCHEMA = """
select 'column' as kind, c.relname || '.' || a.attname as name,
  concat_ws(' ', format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, a.attnotnull, a.attidentity,
    pg_get_expr(d.adbin, d.adrelid)) as definition,
  col_description(c.oid, a.attnum) as comment
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relkind in ('r', 'p', 'v', 'm') and c.relnamespace = 'public'::regnamespace and c.relname !~ 'yoyo'
union all
select 'table', relname, concat_ws(' ', relkind, relpersistence, reloptions), obj_description(oid, 'pg_class')
from pg_class
where relkind in ('r', 'p', 'v', 'm') and relnamespace = 'public'::regnamespace and relname !~ 'yoyo'
union all
select 'constraint', conrelid::regclass::text || '.' || conname, pg_get_constraintdef(oid), ''
from pg_constraint
where connamespace = 'public'::regnamespace and contype <> 'n' and conrelid::regclass::text !~ 'yoyo'
union all
select 'index', indexname, indexdef, '' from pg_indexes where schemaname = 'public' and tablename !~ 'yoyo'
union all
select 'other', typname, typtype::text, '' from pg_type
where typnamespace = 'public'::regnamespace and typname !~ 'yoyo' and typtype in ('e', 'd')
union all
select 'other', proname, pg_get_functiondef(oid), '' from pg_proc where pronamespace = 'public'::regnamespace
union all
select 'other', tgname, pg_get_triggerdef(oid), '' from pg_trigger where not tgisinternal
order by 1, 2, 3
"""


def ask(url: DatabaseUrl, statement: str) -> list[tuple[str, ...]]:
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def files() -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.sql")}


def test_up_down_up_gives_equal_schemas_and_down_leaves_nothing(empty_database_url: DatabaseUrl) -> None:
    assert migrations.apply(empty_database_url) == SHIPPED
    up = ask(empty_database_url, SCHEMA)
    assert up
    assert migrations.roll_back(empty_database_url) == SHIPPED[::-1]
    assert ask(empty_database_url, SCHEMA) == []
    assert migrations.apply(empty_database_url) == SHIPPED
    assert ask(empty_database_url, SCHEMA) == up


def test_applying_twice_does_nothing(database_url: DatabaseUrl) -> None:
    before = ask(database_url, SCHEMA)
    assert migrations.apply(database_url) == []
    assert ask(database_url, SCHEMA) == before


def test_every_table_and_column_has_a_comment_and_every_constraint_a_name_of_its_own(database_url: DatabaseUrl) -> None:
    found = ask(database_url, SCHEMA)
    assert not [name for kind, name, _definition, comment in found if kind in ("table", "column") and not comment]
    text = "".join((FOLDER / f"{name}.sql").read_text("utf-8") for name in SHIPPED)
    constraints = [name.partition(".")[2] for kind, name, *_more in found if kind == "constraint"]
    assert constraints
    assert not [name for name in constraints if f"constraint {name}" not in text]


def test_every_migration_can_be_rolled_back() -> None:
    assert {f"{name}{end}" for name in SHIPPED for end in (".sql", ".rollback.sql")} == files().keys()


def test_a_released_migration_is_never_edited() -> None:
    """DEP-07. A new one: `(cd migrations && sha256sum *.sql) >tests/contracts/migrations.sha256`, once it is whole."""
    lines = [line.split() for line in CHECKSUMS.read_text("utf-8").splitlines()]
    assert files() == {name: digest for digest, name in lines}


def test_four_processes_at_once_all_succeed_and_one_migrates(empty_database_url: DatabaseUrl) -> None:
    """DEP-01, DEP-04 (CWE-362): they wait for the one that migrates, however long it takes."""
    environ = {"AUTHSVC_DATABASE_URL": empty_database_url.reveal(), "AUTHSVC_JWT_SECRET": "x" * 32}
    command = [sys.executable, "-m", "authsvc", "migrate"]
    with psycopg.connect(empty_database_url.reveal(), autocommit=True) as starter:
        # They wait in line for the lock that this connection holds, until all are there.
        starter.execute("select pg_advisory_lock(%s)", [migrations._ADVISORY_LOCK])
        started = [subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
        deadline = time.monotonic() + 30
        while starter.execute(waiting).fetchone() != (4,):
            assert time.monotonic() < deadline, "they do not take turns"
            time.sleep(0.05)
    said = sorted(process.communicate()[0].splitlines()[-1] for process in started)
    assert [process.returncode for process in started] == [0] * 4
    counts = [0, 0, 0, len(SHIPPED)]
    assert said == [f"{count} applied; the database is current." for count in counts]


@pytest.mark.parametrize("migrated", [False, True])
def test_the_lock_that_a_killed_process_left_does_not_stop_the_next(
    empty_database_url: DatabaseUrl, *, migrated: bool
) -> None:
    migrations.apply(empty_database_url)
    if not migrated:
        migrations.roll_back(empty_database_url)
    ask(empty_database_url, "insert into yoyo_lock values (1, '2026-01-01', 1)")
    assert migrations.apply(empty_database_url) == ([] if migrated else SHIPPED)


def test_a_crash_between_a_migration_and_its_record_is_mended_by_the_next_run(database_url: DatabaseUrl) -> None:
    """DEP-03"""
    before = ask(database_url, SCHEMA)
    ask(database_url, "delete from _yoyo_migration")
    assert migrations.apply(database_url) == SHIPPED
    assert ask(database_url, SCHEMA) == before


@pytest.fixture
def poor(postgres: embedded.Server) -> Iterator[str]:
    """A role that may log in, and no more."""
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("create role poor login")
        yield "poor"
        connection.execute("drop role poor")


def test_a_role_that_may_not_create_tables_gets_one_sentence(empty_database_url: DatabaseUrl, poor: str) -> None:
    url = DatabaseUrl(empty_database_url.reveal().replace("authsvc@", f"{poor}@"))
    with pytest.raises(MigrationError) as refused:
        migrations.apply(url)
    assert str(refused.value) == "This role may not create tables: migrate as the owner of the database."
    assert ask(empty_database_url, SCHEMA) == []


def test_a_database_that_is_not_there_gets_one_sentence_without_the_password() -> None:
    with pytest.raises(MigrationError, match=r"^The database at .* cannot be reached \(\w+\)\.$") as refused:
        migrations.apply(DatabaseUrl("postgresql://ada:open-sesame@127.0.0.1:1/authsvc"))
    assert "sesame" not in str(refused.value)


async def test_what_is_pending_is_told(database: Database) -> None:
    async with database.read() as connection:
        assert await migrations.pending(connection, SHIPPED) == []
        assert await migrations.pending(connection, [*SHIPPED, "9999.later"]) == ["9999.later"]
        await connection.execute("delete from _yoyo_migration")
        assert await migrations.pending(connection, ["0001", "0002"]) == ["0001", "0002"]
