"""`authsvc clients create`, `list` and `delete`."""

import hashlib
import re
from uuid import UUID

import psycopg
import pytest

from authsvc.store.faults import UNREACHABLE
from tests.cli.conftest import Run, Start

MADE = re.compile(r"client_id=([0-9a-f-]{36})\nclient_secret=([A-Za-z0-9_-]{43})\n")


def test_a_client_is_made_used_listed_and_deleted(call: Run, settings: dict[str, str], start: Start) -> None:
    made = call("clients", "create", "order service", settings=settings)
    found = MADE.fullmatch(made.stdout)
    assert (made.returncode, made.stderr) == (0, "")
    assert found
    client_id, secret = found.groups()

    running = start("serve", settings=settings)
    running.until_it_says("serving")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    question = f"token=x&client_id={client_id}&client_secret={secret}".encode()
    assert running.ask("/api/auth/introspect", question, form).json() == {"active": False}

    listed = call("clients", "list", settings=settings)
    assert re.fullmatch(rf"{client_id}  \d{{4}}-\d\d-\d\d  order service\n", listed.stdout)
    assert call("clients", "delete", "order service", settings=settings).stdout == "deleted order service\n"
    assert call("clients", "list", settings=settings).stdout == ""
    assert running.ask("/api/auth/introspect", question, form).status == 401
    assert secret not in running.said


def test_the_secret_is_in_no_table_and_each_is_another(call: Run, settings: dict[str, str]) -> None:
    made = [MADE.fullmatch(call("clients", "create", name, settings=settings).stdout) for name in ("a", "b")]
    with psycopg.connect(settings["AUTHSVC_DATABASE_URL"]) as connection:
        rows = connection.execute("select id, name, secret_hash from clients order by name").fetchall()
        journal = connection.execute("select event, subject from journal order by id").fetchall()
    assert rows == [
        (UUID(found[1]), name, hashlib.sha256(found[2].encode()).digest())
        for name, found in zip("ab", made, strict=True)
        if found
    ]
    assert rows[0][2] != rows[1][2]
    assert journal == [("client:create:success", None)] * 2


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x1b[2J", "x" * 65])
def test_what_is_no_name_is_one_sentence(name: str, call: Run, settings: dict[str, str]) -> None:
    done = call("clients", "create", name, settings=settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "authsvc: A name has 1 to 64 printable characters.\n"


def test_a_name_is_taken_once_and_what_is_not_there_cannot_be_deleted(call: Run, settings: dict[str, str]) -> None:
    call("clients", "create", "orders", settings=settings)
    again = call("clients", "create", "orders", settings=settings)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "authsvc: There is a client of this name already.\n"
    gone = call("clients", "delete", "order", settings=settings)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr == "authsvc: There is no client of this name.\n"
    assert "orders" in call("clients", "list", settings=settings).stdout


def test_without_a_database_it_is_one_sentence(call: Run, settings: dict[str, str]) -> None:
    nowhere = {**settings, "AUTHSVC_DATABASE_URL": "postgresql:///nowhere?host=/nowhere"}
    for arguments in (("create", "orders"), ("list",), ("delete", "orders")):
        done = call("clients", *arguments, settings=nowhere)
        assert done.returncode == 1
        assert done.stderr == f"authsvc: {UNREACHABLE.advice}\n"


def test_before_the_migrations_it_says_what_to_run(call: Run, settings: dict[str, str], unmigrated_url: str) -> None:
    done = call("clients", "list", settings={**settings, "AUTHSVC_DATABASE_URL": unmigrated_url})
    assert done.returncode == 1
    assert done.stderr == "authsvc: The schema is not the one of this version: run `authsvc migrate`.\n"
