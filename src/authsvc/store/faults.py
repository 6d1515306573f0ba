"""What the database, or the way to it, can do wrong: each error of the driver is told apart once, in one table.

A client hears one thing of all of them: not now. The operator reads in the log which it is, by a word of a closed set,
and what to do about it. Of the error itself only its type is logged: the driver's texts quote values and DSNs.
"""

from __future__ import annotations

import socket
import ssl
from collections import Counter
from dataclasses import dataclass

import asyncpg
import structlog

from authsvc.refusals import DatabaseUnavailable


@dataclass(frozen=True)
class Fault:
    """One kind of fault: its word in the log, and a sentence for the operator."""

    word: str
    advice: str


class NoConnectionFreeError(TimeoutError):
    """Every connection of the pool was held for too long."""


class StandbyError(Exception):
    """A standby answered where only the primary may: nobody knows how far it is behind."""


UNREACHABLE = Fault(
    "unreachable", "Nobody answers where AUTHSVC_DATABASE_URL points: see to the server, and to the way there."
)
UNKNOWN_HOST = Fault("unknown_host", "The host of AUTHSVC_DATABASE_URL has no address: see to its name, and to DNS.")
NOT_SECURED = Fault(
    "not_secured", "The server does not speak the TLS that AUTHSVC_DATABASE_URL asks for: set `ssl = on` there."
)
WRONG_CERTIFICATE = Fault(
    "wrong_certificate",
    "The server's certificate is not for the host of AUTHSVC_DATABASE_URL, or not of the authority in its sslrootcert:"
    " compare them; it may be another server.",
)
NOT_ADMITTED = Fault("not_admitted", "The server refuses the role or the password of AUTHSVC_DATABASE_URL.")
NO_DATABASE = Fault("no_database", "The database that AUTHSVC_DATABASE_URL names does not exist: create it.")
CLOSED = Fault("closed", "The database takes no connections: look for `alter database … allow_connections false`.")
NOT_MIGRATED = Fault("not_migrated", "The schema is not the one of this version: run `authsvc migrate`.")
NOT_PERMITTED = Fault("not_permitted", "The role may not use the tables: grant it what docs/configuration.md says.")
UNKNOWN_SETTING = Fault(
    "unknown_setting", "The server does not know a setting of the session: PostgreSQL 15 to 18 does."
)
POOLER = Fault(
    "pooler",
    "What answers is no PostgreSQL session of one's own: before a pooler in transaction mode set"
    " AUTHSVC_DATABASE_POOLER=transaction.",
)
STARTING = Fault("starting", "The server starts, stops or recovers: if that does not end, read its log.")
LOST = Fault("connection_lost", "The connection ended under a statement: the server restarted, or something cut it.")
POOL_EXHAUSTED = Fault(
    "pool_exhausted",
    "No connection came free within AUTHSVC_DATABASE_ACQUIRE_SECONDS: look for slow statements, then for a larger"
    " AUTHSVC_DATABASE_POOL_SIZE.",
)
TOO_MANY_CONNECTIONS = Fault(
    "too_many_connections",
    "The server has no connection left: raise its max_connections, or lower AUTHSVC_DATABASE_POOL_SIZE.",
)
TOO_SLOW = Fault(
    "too_slow", "A statement took longer than AUTHSVC_DATABASE_STATEMENT_SECONDS: look for load and locks."
)
LOCKED = Fault("locked", "A lock did not come in time: pg_stat_activity and pg_locks say who holds it.")
CONFLICT = Fault(
    "conflict", "Two transactions were in each other's way, which should not be: the client tries again; report it."
)
SCHEMA_CHANGED = Fault("schema_changed", "The schema changed under a prepared statement, which is now prepared anew.")
READ_ONLY = Fault(
    "read_only",
    "The server takes no writes: it is a standby, or default_transaction_read_only is on. For several hosts say"
    " target_session_attrs=read-write.",
)
UNSUPPORTED = Fault(
    "unsupported",
    "The server does not know what a statement asks for: PostgreSQL 15 to 18 does, what imitates it may not.",
)
NO_PRIMARY = Fault("no_primary", "No host of AUTHSVC_DATABASE_URL is what its target_session_attrs asks for.")
DISK_FULL = Fault("disk_full", "The server's disk is full: make room there; the service then goes on by itself.")
NO_RESOURCES = Fault("no_resources", "The server lacks memory or another resource: read its log.")
BROKEN = Fault("broken", "The server reports a failure of its own, or of its disk: read its log.")

FAULTS: dict[type[BaseException], Fault] = {
    OSError: UNREACHABLE,
    TimeoutError: UNREACHABLE,
    NoConnectionFreeError: POOL_EXHAUSTED,
    socket.gaierror: UNKNOWN_HOST,
    # asyncpg raises this class itself where the server says no to TLS, and the system raises those below it.
    ConnectionError: NOT_SECURED,
    ConnectionRefusedError: UNREACHABLE,
    ConnectionResetError: UNREACHABLE,
    ConnectionAbortedError: UNREACHABLE,
    BrokenPipeError: UNREACHABLE,
    ssl.SSLError: NOT_SECURED,
    ssl.SSLCertVerificationError: WRONG_CERTIFICATE,
    # The driver's own state: the connection went away below it.
    asyncpg.InterfaceError: LOST,
    asyncpg.InternalClientError: LOST,
    asyncpg.TargetServerAttributeNotMatched: NO_PRIMARY,
    # By SQLSTATE, PostgreSQL's appendix A: classes, and what is told apart within them.
    asyncpg.PostgresConnectionError: LOST,
    asyncpg.ProtocolViolationError: POOLER,
    asyncpg.InvalidSQLStatementNameError: POOLER,
    asyncpg.DuplicatePreparedStatementError: POOLER,
    asyncpg.InvalidCachedStatementError: SCHEMA_CHANGED,
    asyncpg.InvalidTransactionStateError: LOST,  # a time limit of transactions
    asyncpg.ReadOnlySQLTransactionError: READ_ONLY,
    asyncpg.FeatureNotSupportedError: UNSUPPORTED,
    StandbyError: READ_ONLY,
    asyncpg.InvalidAuthorizationSpecificationError: NOT_ADMITTED,
    asyncpg.InvalidCatalogNameError: NO_DATABASE,
    asyncpg.TransactionRollbackError: CONFLICT,
    # On the schema of this version every statement is tested to be right.
    asyncpg.SyntaxOrAccessError: NOT_MIGRATED,
    asyncpg.InsufficientPrivilegeError: NOT_PERMITTED,
    asyncpg.UndefinedObjectError: UNKNOWN_SETTING,
    asyncpg.InsufficientResourcesError: NO_RESOURCES,
    asyncpg.DiskFullError: DISK_FULL,
    asyncpg.TooManyConnectionsError: TOO_MANY_CONNECTIONS,
    asyncpg.ObjectNotInPrerequisiteStateError: CLOSED,
    asyncpg.LockNotAvailableError: LOCKED,
    asyncpg.OperatorInterventionError: LOST,
    asyncpg.QueryCanceledError: TOO_SLOW,
    asyncpg.CannotConnectNowError: STARTING,
    asyncpg.PostgresSystemError: BROKEN,
    asyncpg.InternalServerError: BROKEN,
    asyncpg.ConfigFileError: BROKEN,
}
"""Looked up along the bases of an error's class. What is not in it is a fault of ours, and no refusal."""

# A standby says of an unlogged table that this is not supported, as of much else; the text is in the server's language.
_ORIGIN, _NO_UNLOGGED_TABLES = "server_source_function", "get_relation_info"

UNAVAILABLE = tuple(FAULTS)
"""The same for an `except`."""


def classify(error: BaseException) -> Fault | None:
    """Return what kind of fault an error is, or None where it is none of the database's."""
    if isinstance(error, asyncpg.FeatureNotSupportedError) and getattr(error, _ORIGIN, None) == _NO_UNLOGGED_TABLES:
        return READ_ONLY
    return next((fault for base in type(error).__mro__ if (fault := FAULTS.get(base))), None)


def uncounted() -> Counter[str]:
    """Return a count of each word at 0."""
    return Counter({fault.word: 0 for fault in FAULTS.values()})


def unavailable(error: BaseException, counts: Counter[str]) -> DatabaseUnavailable:
    """Record what the database did wrong, and return the refusal that stands for it."""
    fault = classify(error) or LOST
    counts[fault.word] += 1
    structlog.get_logger().warning(
        "database_unavailable", fault=fault.word, error=type(error).__name__, advice=fault.advice
    )
    return DatabaseUnavailable(fault.advice)
