"""Each of our statements against the documented dialects of CockroachDB and YugabyteDB, by what it uses.

A construct is judged once, with the page that says so; a statement is as good as the worst that it uses. Nothing of it
was run on either: what no page answers is `to be tried`, and that is no yes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from authsvc import resources
from authsvc.store.queries import queries


class Verdict(IntEnum):
    """From good to bad."""

    YES = 0
    TO_BE_TRIED = 1
    CHANGE = 2
    NO = 3

    def __str__(self) -> str:
        """Return it for the table."""
        return ("yes", "to be tried", "with a change", "**no**")[self]


YES, TRY, CHANGE, NO = Verdict


class Judgement(NamedTuple):
    """A verdict, and the page or the reason for it."""

    verdict: Verdict
    why: str


@dataclass(frozen=True)
class Construct:
    """A part of the language that not every PostgreSQL has."""

    name: str
    pattern: str
    """What it looks like, in a statement without comments."""
    cockroach: Judgement
    yugabyte: Judgement


_CRDB = "https://www.cockroachlabs.com/docs/v26.3"
_YB = "https://docs.yugabyte.com/stable"
_UNSUPPORTED = f"[compatibility]({_CRDB}/postgresql-compatibility)"
_FUNCTIONS = f"[functions]({_CRDB}/functions-and-operators) have none of that name"
_LOCKS = f"[locking]({_CRDB}/select-for-update)"
_VOYAGER = f"[known issues]({_YB}/yugabyte-voyager/known-issues/postgresql/)"
_YB_LOCKS = f"[explicit locking]({_YB}/explore/transactions/explicit-locking/)"
_POSTGRES_15 = f"its [query layer is PostgreSQL's]({_YB}/explore/ysql-language-features/)"

CONSTRUCTS = (
    Construct(
        "transaction numbers",
        r"\bxid8\b|\bpg_(current_xact_id|snapshot_xmin|current_snapshot|visible_in_snapshot)\b",
        Judgement(NO, f"no such type, and {_FUNCTIONS}"),
        Judgement(NO, f"“XID functions is not supported”: {_VOYAGER}"),
    ),
    Construct(
        "which server answers",
        r"\bpg_(is_in_recovery|postmaster_start_time|stat_bgwriter)\b",
        Judgement(NO, f"{_FUNCTIONS}; `pg_stat_bgwriter` is [empty]({_CRDB}/pg-catalog)"),
        Judgement(
            CHANGE, f"{_POSTGRES_15}, so each node tells of itself: through another node it looks like another server"
        ),
    ),
    Construct(
        "size of the files",
        r"\bpg_database_size\b|\bcurrent_database\b",
        Judgement(CHANGE, f"{_FUNCTIONS}; its own tables of ranges tell"),
        Judgement(TRY, "the files of a node are not those of PostgreSQL"),
    ),
    Construct(
        "privilege of a schema",
        r"\bhas_schema_privilege\b|\bcurrent_schema\b",
        Judgement(YES, f"[functions]({_CRDB}/functions-and-operators)"),
        Judgement(YES, _POSTGRES_15),
    ),
    Construct(
        "number of the backend",
        r"\bpg_backend_pid\b",
        Judgement(
            TRY,
            f"[functions]({_CRDB}/functions-and-operators): whether it is the number of the protocol no page says",
        ),
        Judgement(TRY, "through its connection manager the number is another"),
    ),
    Construct(
        "advisory lock",
        r"\bpg_advisory_lock\b",
        Judgement(
            NO,
            f"not supported, “although some functions are defined with no-op implementations”: {_UNSUPPORTED}."
            " One migration at a time is then up to who starts it",
        ),
        Judgement(CHANGE, f"since 2025.1, [where the flag is set]({_YB}/explore/transactions/explicit-locking/)"),
    ),
    Construct(
        "unlogged table",
        r"\bunlogged\b",
        Judgement(
            YES, f"taken and ignored: [an ordinary table]({_CRDB}/create-table). Each attempt then waits for a quorum"
        ),
        Judgement(YES, f"since 2024.2 an ordinary table: {_VOYAGER}. Each attempt then waits for a quorum"),
    ),
    Construct(
        "room in pages",
        r"\bfillfactor\b",
        Judgement(YES, f"[without effect]({_CRDB}/with-storage-parameter)"),
        Judgement(CHANGE, f"“unrecognized parameter” of indexes, and without use for tables: take it out, {_VOYAGER}"),
    ),
    Construct(
        "collation C",
        r"\bcollate \"C\"",
        Judgement(
            CHANGE, f"[collations]({_CRDB}/collate) are those of Unicode; a text without one is ordered by its bytes"
        ),
        Judgement(YES, f"[collations]({_YB}/explore/ysql-language-features/advanced-features/collations/)"),
    ),
    Construct(
        "numbers that grow",
        r"\bgenerated always as identity\b",
        Judgement(
            YES, f"[identity columns]({_CRDB}/create-table#identity-columns); each new row goes to the same range"
        ),
        Judgement(YES, f"{_POSTGRES_15}; each new row asks the one sequence"),
    ),
    Construct(
        "tables and indexes in one transaction",
        r"\A(create|alter|drop)\b|\Aset local\b",
        Judgement(
            CHANGE,
            "a migration is one transaction with its time limits, and DDL in one"
            f" [can fail in part]({_CRDB}/online-schema-changes): one statement at a time",
        ),
        Judgement(CHANGE, f"DDL in a transaction “will not work as expected”: {_VOYAGER}; one statement at a time"),
    ),
    Construct(
        "comments",
        r"\Acomment on\b",
        Judgement(YES, f"[COMMENT ON]({_CRDB}/comment-on)"),
        Judgement(YES, _POSTGRES_15),
    ),
    Construct(
        "regular expressions",
        r" ~ '",
        Judgement(YES, f"[operators]({_CRDB}/functions-and-operators)"),
        Judgement(YES, _POSTGRES_15),
    ),
    Construct(
        "rows in the order of a key",
        r"\border by (id|key|recorded_at|expires_at|subject, id|revocations\.transaction_id)\b",
        Judgement(YES, "ranges are ordered"),
        Judgement(
            CHANGE, f"keys begin with a [hash]({_YB}/develop/data-modeling/primary-keys-ysql/): declare them `asc`"
        ),
    ),
    Construct(
        "for update",
        r"\bfor update\b",
        Judgement(YES, f"{_LOCKS}; at read committed its locks are [replicated]({_CRDB}/read-committed)"),
        Judgement(YES, _YB_LOCKS),
    ),
    Construct("for share", r"\bfor share\b", Judgement(YES, _LOCKS), Judgement(YES, _YB_LOCKS)),
    Construct(
        "for key share",
        r"\bfor key share\b",
        Judgement(
            CHANGE,
            f"“an alias for FOR SHARE”: {_LOCKS}; it waits, too, for who changes a password, and that order of"
            " locks must be looked at again",
        ),
        Judgement(YES, _YB_LOCKS),
    ),
    Construct(
        "skip locked",
        r"\bskip locked\b",
        Judgement(YES, f"{_LOCKS}, with one column family"),
        Judgement(TRY, "issue 9929 brought it to repeatable read; of read committed no page was found"),
    ),
    Construct(
        "changes in a with clause",
        r"\bas \(\s*(insert|update|delete)\b",
        Judgement(YES, f"at the [top level]({_CRDB}/common-table-expressions), as all of ours are"),
        Judgement(YES, _POSTGRES_15),
    ),
    Construct(
        "two changes of one table",
        r"(?s)insert into attempts\b.*insert into attempts\b",
        Judgement(
            CHANGE,
            "“disallowed by default”: [`enable_multiple_modifications_of_table`]"
            f"({_CRDB}/subqueries), or one statement for the origin and one for the account",
        ),
        Judgement(YES, _POSTGRES_15),
    ),
    Construct(
        "on conflict on constraint",
        r"\bon conflict on constraint\b",
        Judgement(YES, f"[INSERT]({_CRDB}/insert#on-conflict-clause)"),
        Judgement(YES, f"[read committed]({_YB}/architecture/transactions/read-committed/) says how it waits"),
    ),
    Construct(
        "a look at the row as it was before",
        r"(?s)\bexcluded\b|select arrival_at from attempts where key = ",
        Judgement(TRY, "what the outer query sees of a row that the with clause changed"),
        Judgement(YES, _POSTGRES_15),
    ),
    Construct(
        "time times a power",
        r"\bpower\(",
        Judgement(TRY, "`interval` times the `int` or `float` that `power` yields there"),
        Judgement(YES, _POSTGRES_15),
    ),
    Construct(
        "arrays as rows",
        r"\bunnest\(",
        Judgement(
            TRY,
            f"[`with ordinality`]({_CRDB}/table-expressions#ordinality-annotation) is there; of several arrays at once"
            " no page says",
        ),
        Judgement(YES, _POSTGRES_15),
    ),
    Construct(
        "an array of a query",
        r"\barray\(",
        Judgement(YES, f"[subqueries]({_CRDB}/subqueries)"),
        Judgement(YES, _POSTGRES_15),
    ),
    Construct(
        "nulls first", r"\bnulls first\b", Judgement(YES, f"[ORDER BY]({_CRDB}/order-by)"), Judgement(YES, _POSTGRES_15)
    ),
    Construct(
        "no columns",
        r"\bselect\s+from\b|\bselect from\b",
        Judgement(TRY, "`select` without a column: write `select 1`"),
        Judgement(YES, _POSTGRES_15),
    ),
)

PLAIN = frozenset({"any", "array", "count", "exists", "greatest", "least", "length", "values"})
"""Functions, and words before a bracket, that every one of them has."""
_STORE = resources.PACKAGE / "store"
_EXECUTED = re.compile(r'\.execute\("([^"]+)"')


@dataclass(frozen=True)
class Statement:
    """One of ours."""

    where: str
    name: str
    sql: str

    @property
    def constructs(self) -> tuple[Construct, ...]:
        """What of the list above it uses."""
        return tuple(each for each in CONSTRUCTS if re.search(each.pattern, self.sql))

    @property
    def unjudged(self) -> set[str]:
        """Functions that it calls and nobody has judged."""
        called = set(re.findall(r"\b([a-z_][a-z0-9_]*)\(", self.sql))
        return {name for name in called - PLAIN if not any(re.search(each.pattern, f"{name}(") for each in CONSTRUCTS)}


def statements() -> Iterator[Statement]:
    """Yield those of sql/, of migrations/ and of the command that migrates, in order."""
    for path in sorted(resources.folder("sql").glob("*.sql")):
        for name, query in sorted(queries(path.stem).items()):
            yield Statement(f"sql/{path.name}", name, _bare(query.sql))
    for path in sorted(resources.folder("migrations").glob("*.sql")):
        parts = re.split(r";[ ]*$", path.read_text("utf-8"), flags=re.MULTILINE)
        for sql in filter(None, map(_bare, parts)):
            yield Statement(f"migrations/{path.name}", _title(sql), sql)
    for sql in _EXECUTED.findall((_STORE / "migrations.py").read_text("utf-8")):
        yield Statement("src/authsvc/store/migrations.py", _title(sql), sql)


def markdown_of_constructs() -> str:
    """Return the table of what was judged."""
    lines = ["| construct | CockroachDB 26.3 | YugabyteDB 2025.2 |", "|---|---|---|"]
    for each in CONSTRUCTS:
        verdicts = " | ".join(f"{verdict}: {why}" for verdict, why in (each.cockroach, each.yugabyte))
        lines.append(f"| {each.name} | {verdicts} |")
    return "\n".join(lines)


def markdown_of_statements() -> str:
    """Return the table of statements; a migration's statements of one kind share a row."""
    lines = ["| statement | uses | CockroachDB | YugabyteDB |", "|---|---|---|---|"]
    for each in statements():
        uses = ", ".join(construct.name for construct in each.constructs) or "nothing beside"
        cockroach = max((construct.cockroach.verdict for construct in each.constructs), default=YES)
        yugabyte = max((construct.yugabyte.verdict for construct in each.constructs), default=YES)
        line = f"| `{each.where}` {each.name} | {uses} | {cockroach} | {yugabyte} |"
        if line not in lines:
            lines.append(line)
    return "\n".join(lines)


def _bare(sql: str) -> str:
    """Return it without comments, and with single spaces."""
    return re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", sql)).strip()


def _title(sql: str) -> str:
    """Return the first words of a statement that has no name."""
    match = re.match(
        r"(?:set local|comment on|select|(?:create|alter|drop) (?:unlogged )?(?:table|index)(?: if (?:not )?exists)?"
        r" \w+)",
        sql,
    )
    assert match, sql  # noqa: S101 - a migration begins with one of these
    return match[0] if match[0] != "select" else sql.partition("(")[0]
