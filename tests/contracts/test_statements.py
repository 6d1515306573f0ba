"""Every statement of sql/ fits the migrated schema and the code that uses it."""

import re
from dataclasses import fields, is_dataclass

import pytest

from authsvc import resources
from authsvc.events import SessionEnded
from authsvc.store.clients import Client
from authsvc.store.credentials import Credential
from authsvc.store.database import Database
from authsvc.store.journal import Entry
from authsvc.store.queries import Query, queries
from authsvc.store.sessions import LiveSession, Rotated, Session
from authsvc.store.users import User

FILES = sorted(path.stem for path in resources.folder("sql").glob("*.sql"))
STATEMENTS = {(file, name): query for file in FILES for name, query in queries(file).items()}
# What each statement feeds: a dataclass, or the columns that its function reads by name.
FEEDS: dict[tuple[str, str], type[object] | tuple[str, ...]] = {
    ("attempts", "give_back"): ("key",),
    ("attempts", "give_one_back"): ("key",),
    ("attempts", "sweep_attempts"): ("last", "swept"),
    ("attempts", "take"): ("origin_granted", "account_taken", "origin_arrival_at", "account_arrival_at"),
    ("clients", "all_clients"): Client,
    ("clients", "client_secret_hash"): ("secret_hash",),
    ("clients", "delete_client"): ("id",),
    ("clients", "insert_client"): Client,
    ("credentials", "credential_by_email"): Credential,
    ("credentials", "credential_by_subject"): Credential,
    ("credentials", "lock_credential"): Credential,
    ("credentials", "replace_password_hash"): ("subject",),
    ("journal", "append_journal"): ("id", "transaction_id"),
    ("journal", "forget_journal_of"): ("forgotten",),
    ("journal", "journal_of"): Entry,
    ("journal", "outcome"): ("committed", "ended"),
    ("journal", "search_journal"): Entry,
    ("journal", "sweep_failed_logins"): ("swept",),
    ("journal", "sweep_journal"): ("swept",),
    ("schema", "applied_migrations"): ("migration_id",),
    ("schema", "database_size"): ("bytes",),
    ("sessions", "end"): SessionEnded,
    ("sessions", "end_oldest_sessions"): SessionEnded,
    ("sessions", "end_reused"): SessionEnded,
    ("sessions", "end_session"): SessionEnded,
    ("sessions", "end_sessions"): SessionEnded,
    ("sessions", "hold_session"): ("id",),
    ("sessions", "live_session"): (*(field.name for field in fields(LiveSession)), "in_recovery"),
    ("sessions", "open_session"): ("others",),
    ("sessions", "revocations_since"): (
        "transaction_id",
        "session_id",
        "expires_at",
        "oldest_running",
        "started_at",
        "statistics_since",
        "in_recovery",
    ),
    ("sessions", "rotate"): Rotated,
    ("sessions", "sessions_of"): Session,
    ("sessions", "sweep_revocations"): ("swept",),
    ("sessions", "sweep_sessions"): ("last", "swept"),
    ("users", "delete_user"): ("public_id",),
    ("users", "disable_user"): ("public_id",),
    ("users", "enable_user"): ("public_id",),
    ("users", "find_user"): User,
    ("users", "hold_user"): ("public_id",),
    ("users", "insert_imported"): ("public_id",),
    ("users", "insert_user"): User,
    ("users", "user_by_public_id"): User,
}
BANNED = {
    r"\bselect\s+(\w+\.)?\*|\breturning\s+(\w+\.)?\*": "name the columns: a new one must not reach a dataclass unseen",
    r"\bnow\s*\(|\bcurrent_(time|date)|\b(clock|statement|transaction)_timestamp\b": "the time comes from the Clock",
    r"\bgen_random_uuid\b|\buuidv[47]\b|\brandom\s*\(": "ids come from the Entropy",
    r"\A\s*(set|reset|listen|notify|declare|prepare)\b|\bset_config\b|\bpg_(try_)?advisory": "no state of sessions",
    r"\b(lower|upper|casefold|citext)\b": "addresses are canonical before they come here",
    r"\bupdate\s+journal\b": "what happened stays as it was written (ASVS 16.4.2)",
}


def test_every_statement_feeds_something() -> None:
    assert FEEDS.keys() == STATEMENTS.keys()


@pytest.mark.parametrize("key", STATEMENTS, ids="/".join)
async def test_a_statement_prepares_and_its_columns_are_those_it_feeds(
    key: tuple[str, str], database: Database
) -> None:
    query, feeds = STATEMENTS[key], FEEDS[key]
    async with database.read() as connection:
        prepared = await connection.prepare(query.sql)
        columns = tuple(attribute.name for attribute in prepared.get_attributes())
        parameters = prepared.get_parameters()
    assert columns == (tuple(field.name for field in fields(feeds)) if is_dataclass(feeds) else feeds)
    assert len(parameters) == len(query.parameters)


@pytest.mark.parametrize("query", STATEMENTS.values(), ids=lambda query: query.name)
def test_a_statement_does_nothing_that_is_banned(query: Query) -> None:
    text = re.sub(r"--.*", "", query.sql)
    found = [why for pattern, why in BANNED.items() if re.search(pattern, text, re.IGNORECASE)]
    assert not found


def test_every_statement_is_used_by_the_store() -> None:
    used = set()
    for module in (resources.PACKAGE / "store").glob("*.py"):
        text = module.read_text("utf-8")
        for file in re.findall(r'queries\("(\w+)"\)', text):
            used |= {(file, name) for name in re.findall(r'\["(\w+)"\]\s*\.\s*rows?\(', text)}
    assert used == STATEMENTS.keys()
