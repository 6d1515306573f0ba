"""Every statement is judged against the dialects of distributed databases, and docs/scaling.md says so."""

import re

import pytest

from infra.sizing import dialects, document
from infra.sizing.dialects import CHANGE, CONSTRUCTS, NO, YES, Statement

STATEMENTS = list(dialects.statements())
TEXT = document.SCALING.read_text("utf-8")


def of(where: str, name: str) -> Statement:
    return next(each for each in STATEMENTS if (each.where, each.name) == (where, name))


def test_no_statement_calls_a_function_that_nobody_has_judged() -> None:
    assert {(each.where, each.name): each.unjudged for each in STATEMENTS if each.unjudged} == {}


def test_a_function_that_nobody_has_judged_is_found() -> None:
    assert Statement("sql/x.sql", "x", "select pg_notify('a', 'b'), count(*) from t").unjudged == {"pg_notify"}


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda construct: construct.name)
def test_each_construct_is_used_by_a_statement(construct: dialects.Construct) -> None:
    assert any(construct in each.constructs for each in STATEMENTS)


@pytest.mark.parametrize("construct", CONSTRUCTS, ids=lambda construct: construct.name)
def test_what_is_good_has_a_page_and_what_is_not_has_a_reason(construct: dialects.Construct) -> None:
    for verdict, why in (construct.cockroach, construct.yugabyte):
        assert why
        if verdict in (CHANGE, NO):
            assert len(why) > 20
    assert "](https://" in construct.cockroach.why + construct.yugabyte.why


def test_the_feed_of_ended_sessions_does_not_work_on_either() -> None:
    feed = of("sql/sessions.sql", "revocations_since")
    names = {construct.name for construct in feed.constructs}
    assert {"transaction numbers", "which server answers"} <= names
    assert max(construct.cockroach.verdict for construct in feed.constructs) == NO
    assert max(construct.yugabyte.verdict for construct in feed.constructs) == NO


def test_a_plain_statement_works_on_both() -> None:
    assert of("sql/users.sql", "user_by_public_id").constructs == ()
    assert max(each.cockroach.verdict for each in of("sql/credentials.sql", "lock_credential").constructs) == YES


def test_the_lock_of_migrations_is_among_them() -> None:
    assert [each.name for each in STATEMENTS if "pg_advisory_lock" in each.sql] == ["select pg_advisory_lock"]


def test_the_document_has_a_row_for_every_statement() -> None:
    rows = set(re.findall(r"^\| `([\w./-]+)` ([^|]+) \|", TEXT, re.MULTILINE))
    assert rows == {(each.where, each.name) for each in STATEMENTS}
    assert dialects.markdown_of_statements() in TEXT, "run `make capacity`"
    assert dialects.markdown_of_constructs() in TEXT, "run `make capacity`"
