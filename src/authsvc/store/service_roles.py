"""The role that the service logs in with: what it may do is what its statements do, and no more.

docs/configuration.md has the list. Synchronous, as the migrations that this follows: see migrations.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg import sql

MANAGED_SUPERUSER = "cloudsqlsuperuser"
"""Cloud SQL makes each role a member of it that is not made by a statement."""

_SCHEMA = "select current_schema()"
_TABLES = """
select relname from pg_class
where relnamespace = current_schema()::regnamespace and relkind in ('r', 'p') and pg_has_role(relowner, 'usage')
order by relname
"""
_ROLE = "select rolsuper, rolcreaterole, rolcreatedb, oid = current_user::regrole from pg_roles where rolname = %s"
_GIVEN_BY = """
select pg_get_userbyid(grantor) from pg_auth_members
where member = (select oid from pg_roles where rolname = %s)
  and roleid = (select oid from pg_roles where rolname = %s)
"""
_EXCESS = """
select has_schema_privilege(name, current_schema(), 'create'), has_table_privilege(name, 'journal', 'update')
from (values (%s::name)) as role (name)
"""


class ServiceRoleError(Exception):
    """The role cannot be what it should; the message is one sentence that says why, and what to do."""


@dataclass(frozen=True)
class ServiceRole:
    """A role by its name, with the password that it shall have; without one it must be there already."""

    name: str
    password: str | None = field(default=None, repr=False)
    limits: Mapping[str, str] = field(default_factory=dict)
    """What its sessions have set from the start, for where a pooler stands between; only with a password."""

    def grant(self, connection: psycopg.Connection) -> None:
        """Let the role do what the service does, and nothing else, in one transaction.

        Whoever is connected owns the tables, and all migrations are applied. Doing it again changes nothing.

        Raises:
            ServiceRoleError: there is no such role, or it may do more and cannot be kept from it.
        """
        with connection.transaction():
            try:
                self._find_or_make(connection)
                self._take_what_a_managed_server_gave(connection)
            except psycopg.errors.InsufficientPrivilege:
                raise ServiceRoleError(
                    f"The role {self.name} was made by another than the one that migrates, which may not change it:"
                    " drop it and name a file with its password, to have it made anew, or ask the one that made it."
                ) from None
            self._grant_tables(connection)
            may_create, may_update = _one(connection, _EXCESS, self.name)
            if may_create or may_update:
                raise ServiceRoleError(
                    f"The role {self.name} may {'create tables' if may_create else 'change the journal'} as a member of"
                    " another role, or because everybody may: take that away, or name another role."
                )

    def _find_or_make(self, connection: psycopg.Connection) -> None:
        found = connection.execute(_ROLE, [self.name]).fetchone()
        if found is None and self.password is None:
            raise ServiceRoleError(
                f"There is no role {self.name}: create it, or name a file with its password, to have it created."
            )
        if found is not None and (found[0] or found[3]):
            who = "a superuser" if found[0] else "the one that migrates"
            raise ServiceRoleError(f"The role {self.name} is {who} and may do anything: name another for the service.")
        if self.password is None:
            return
        # The server sees no password, and so cannot log it.
        verifier = connection.pgconn.encrypt_password(self.password.encode(), self.name.encode(), b"scram-sha-256")
        change = "create role {} login password {}" if found is None else "alter role {} login password {}"
        self._execute(connection, change, self._me, sql.Literal(verifier.decode()))
        for setting, value in self.limits.items():
            self._execute(
                connection, "alter role {} set {} = {}", self._me, sql.Identifier(setting), sql.Literal(value)
            )

    def _take_what_a_managed_server_gave(self, connection: psycopg.Connection) -> None:
        group = sql.Identifier(MANAGED_SUPERUSER)
        for (grantor,) in connection.execute(_GIVEN_BY, [self.name, MANAGED_SUPERUSER]).fetchall():
            self._execute(connection, "revoke {} from {} granted by {}", group, self._me, sql.Identifier(grantor))
        _, makes_roles, makes_databases, _ = _one(connection, _ROLE, self.name)
        if makes_roles:
            self._execute(connection, "alter role {} nocreaterole", self._me)
        if makes_databases:
            self._execute(connection, "alter role {} nocreatedb", self._me)

    def _grant_tables(self, connection: psycopg.Connection) -> None:
        schema = sql.Identifier(str(_one(connection, _SCHEMA)[0]))
        # Before there was this command, new tables were the service's by default, those of yoyo as well.
        self._execute(connection, "alter default privileges revoke all on tables from {}", self._me)
        self._execute(connection, "revoke create on schema {} from {}", schema, self._me)
        self._execute(connection, "grant usage on schema {} to {}", schema, self._me)
        for (name,) in connection.execute(_TABLES).fetchall():
            table = sql.Identifier(name)
            self._execute(connection, "revoke all on {}.{} from {}", schema, table, self._me)
            if privileges := _privileges(name):
                self._execute(connection, f"grant {privileges} on {{}}.{{}} to {{}}", schema, table, self._me)

    @property
    def _me(self) -> sql.Identifier:
        return sql.Identifier(self.name)

    @staticmethod
    def _execute(connection: psycopg.Connection, statement: LiteralString, *parts: sql.Composable) -> None:
        connection.execute(sql.SQL(statement).format(*parts))


def _privileges(table: str) -> LiteralString:
    """Return what the service needs of a table."""
    if table == "_yoyo_migration":
        return "select"  # /readyz tells what is pending
    if "yoyo" in table:
        return ""
    return "select, insert, delete" if table == "journal" else "select, insert, update, delete"


def _one(connection: psycopg.Connection, statement: str, *parameters: str) -> tuple[Any, ...]:
    row = connection.execute(statement.encode(), parameters).fetchone()
    assert row is not None  # noqa: S101 - the role was there a statement ago; the others are selects without a table
    return row
