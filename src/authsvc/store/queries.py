"""The statements of sql/, by name: aiosql parses the files, asyncpg runs what it found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import aiosql
import aiosql.adapters.asyncpg
import asyncpg

from authsvc import resources

if TYPE_CHECKING:
    from authsvc.store.leases import Connection


@dataclass(frozen=True)
class Query:
    """One named statement of a file in sql/, with the order of its parameters."""

    name: str
    sql: str
    parameters: tuple[str, ...]

    async def row(self, connection: Connection, **arguments: object) -> asyncpg.Record | None:
        """Return its first row, or None."""
        return await connection.fetchrow(self.sql, *self._ordered(arguments))

    async def rows(self, connection: Connection, **arguments: object) -> list[asyncpg.Record]:
        """Return its rows."""
        return await connection.fetch(self.sql, *self._ordered(arguments))

    def _ordered(self, arguments: dict[str, object]) -> list[object]:
        return [arguments[name] for name in self.parameters]


@cache
def queries(name: str) -> dict[str, Query]:
    """Return the statements of `sql/<name>.sql` by their names.

    aiosql only parses here: its own asyncpg calls look through `dir()` of the connection for each statement. The file
    is loaded alone, since of two same names in a folder aiosql silently keeps the last.
    """
    adapter = cast("Any", aiosql.adapters.asyncpg.AsyncPGAdapter)()
    loaded: Any = aiosql.from_path(resources.folder("sql") / f"{name}.sql", lambda: adapter)
    return {
        each: Query(each, getattr(loaded, each).sql, tuple(adapter.var_sorted[each]))
        for each in loaded.available_queries
        if not each.endswith("_cursor")
    }


@cache
def _names() -> dict[str, str]:
    files = sorted(path.stem for path in resources.folder("sql").glob("*.sql"))
    return {query.sql: f"{file}.{query.name}" for file in files for query in queries(file).values()}


def name_of(sql: str) -> str:
    """Return the file and name of a statement; of one that is not ours, such as COMMIT, its first word."""
    return _names().get(sql) or sql.partition(" ")[0].strip("; \n").upper()
