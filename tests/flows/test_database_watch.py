"""What is known of the database: asked in the background, and kept when it does not answer."""

import dataclasses
import io
import json

from authsvc.config import Config
from authsvc.events import OPERATOR
from authsvc.flows.database_watch import DatabaseWatch
from authsvc.store import migrations
from authsvc.store.database import Database

SHIPPED = migrations.shipped()


async def test_a_look_tells_size_and_migrations(database: Database) -> None:
    watch = DatabaseWatch(database, SHIPPED)
    assert (watch.size, watch.version, watch.pending) == (None, None, None)
    await watch.look()
    assert watch.size is not None
    assert watch.size > 2**20
    assert (watch.version, watch.pending) == (migrations.number(SHIPPED[-1]), 0)


async def test_migrations_that_lack_are_counted(database: Database) -> None:
    watch = DatabaseWatch(database, SHIPPED)
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute("delete from _yoyo_migration where migration_id >= '0003'")
    await watch.look()
    assert (watch.version, watch.pending) == (2, len(SHIPPED) - 2)
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute("drop table _yoyo_migration cascade")
    await watch.look()
    assert (watch.version, watch.pending) == (0, len(SHIPPED))


async def test_a_migration_that_somebody_else_applied_is_no_version(database: Database) -> None:
    watch = DatabaseWatch(database, SHIPPED)
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute(
            "insert into _yoyo_migration (migration_hash, migration_id) values ('a', 'hotfix.index'), ('b', '')"
        )
    await watch.look()
    assert (watch.version, watch.pending) == (migrations.number(SHIPPED[-1]), 0)


async def test_what_nobody_foresaw_is_logged_and_the_next_look_goes_on(database: Database, log: io.StringIO) -> None:
    watch = DatabaseWatch(database, SHIPPED)
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute("alter table _yoyo_migration rename to kept")
        await transaction.connection.execute("create view _yoyo_migration as select (1 / 0)::text as migration_id")
    await watch.look()
    (line,) = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (line["event"], line["error"]) == ("database_figures_unreadable", "asyncpg.exceptions.DivisionByZeroError")
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute("drop view _yoyo_migration")
        await transaction.connection.execute("alter table kept rename to _yoyo_migration")
    await watch.look()
    assert watch.pending == 0


async def test_a_database_that_does_not_answer_leaves_what_is_known(config: Config) -> None:
    hurried = Database(dataclasses.replace(config.database, pool_size=1, acquire_seconds=0.1))
    await hurried.open()
    watch = DatabaseWatch(hurried, SHIPPED)
    await watch.look()
    known = (watch.size, watch.version, watch.pending)
    async with hurried.read():
        await watch.look()
    assert (watch.size, watch.version, watch.pending) == known
    assert hurried.figures.faults["pool_exhausted"] == 1
    await hurried.close()
