"""`authsvc users show`, `disable`, `enable`, `sessions` and `delete`, beside a service that runs."""

import os
import pty
import re
import subprocess
from typing import Any

import psycopg
import pytest

from authsvc.config import DatabaseUrl
from tests.cli.conftest import AUTHSVC, CREDENTIALS, Run, Running, Start, environment, eventually

EMAIL = CREDENTIALS["email"]
NO_ACCOUNT = "authsvc: No account has this address or id.\n"


@pytest.fixture
def serving(settings: dict[str, str], start: Start) -> Running:
    running = start("serve", settings=settings)
    running.until_it_says("serving")
    return running


def registered(running: Running) -> str:
    user: dict[str, str] = running.ask("/api/auth/register", CREDENTIALS).json()
    return user["id"]


def logged_in(running: Running) -> Any:
    answer = running.ask("/api/auth/login", CREDENTIALS)
    assert answer.status == 200
    return answer.json()


def me(running: Running, tokens: Any) -> int:
    return running.ask("/api/auth/me", headers={"Authorization": f"Bearer {tokens['access_token']}"}).status


def test_show_tells_all_but_the_hash(serving: Running, call: Run, settings: dict[str, str]) -> None:
    user_id = registered(serving)
    logged_in(serving)
    for name in (EMAIL, "Ada@Example.com", user_id, user_id.upper()):
        done = call("users", "show", name, settings=settings)
        assert (done.returncode, done.stderr) == (0, "")
        shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
        assert list(shown) == ["id", "email", "created", "changed", "disabled", "password", "sessions"]
        assert (shown["id"], shown["email"]) == (user_id, EMAIL)
        assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ", shown["created"])
        assert (shown["disabled"], shown["password"], shown["sessions"]) == (
            "-",
            "argon2id, v=19, m=19456, t=2, p=1",
            "1",
        )
        assert "$" not in done.stdout


def test_a_disabled_account_is_shut_out_at_once_and_told_so_only_with_its_password(
    serving: Running, call: Run, settings: dict[str, str]
) -> None:
    """TOK-23, REF-10 (ASVS 7.4.2)"""
    registered(serving)
    tokens = logged_in(serving)
    logged_in(serving)
    assert call("users", "disable", EMAIL, settings=settings).stdout == f"disabled {EMAIL}; 2 sessions ended\n"
    eventually(lambda: me(serving, tokens) == 401, "the instance has looked")
    refreshed = serving.ask("/api/auth/refresh", {"refresh_token": tokens["refresh_token"]})
    assert (refreshed.status, refreshed.json()["code"]) == (400, "invalid_grant")
    refused = serving.ask("/api/auth/login", CREDENTIALS)
    assert (refused.status, refused.json()["code"]) == (403, "account_disabled")
    wrong = serving.ask("/api/auth/login", CREDENTIALS | {"password": "not the password"})
    assert (wrong.status, wrong.json()["code"]) == (401, "invalid_credentials")
    assert re.search(r"^disabled +\d{4}-", call("users", "show", EMAIL, settings=settings).stdout, re.MULTILINE)
    assert call("users", "disable", EMAIL, settings=settings).stdout == f"{EMAIL} is disabled already\n"
    assert call("users", "enable", EMAIL, settings=settings).stdout == f"enabled {EMAIL}\n"
    assert call("users", "enable", EMAIL, settings=settings).stdout == f"{EMAIL} is not disabled\n"
    assert me(serving, tokens) == 401
    assert me(serving, logged_in(serving)) == 200


def test_sessions_are_listed_the_last_used_first_and_ended(
    serving: Running, call: Run, settings: dict[str, str]
) -> None:
    registered(serving)
    tokens = [logged_in(serving) for _ in range(2)]
    head, *lines = call("users", "sessions", EMAIL, settings=settings).stdout.splitlines()
    assert head.split("  ")[0] == "ID"
    assert re.split(r"  +", head) == ["ID", "OPENED", "LAST USED", "EXPIRES", "ADDRESS", "AGENT"]
    assert [line.split()[-2:] for line in lines] == [["127.0.0.1", "-"]] * 2
    assert {line.index("127.0.0.1") for line in lines} == {head.index("ADDRESS")}
    ended = call("users", "sessions", EMAIL, "--end-all", settings=settings)
    assert ended.stdout == f"2 sessions of {EMAIL} ended\n"
    eventually(lambda: [me(serving, each) for each in tokens] == [401, 401], "the instance has looked")
    assert call("users", "sessions", EMAIL, settings=settings).stdout.splitlines() == [
        "ID  OPENED  LAST USED  EXPIRES  ADDRESS  AGENT"
    ]


def rows(database_url: DatabaseUrl, statement: str) -> Any:
    with psycopg.connect(database_url.reveal()) as connection:
        return connection.execute(statement.encode()).fetchall()


def test_a_deleted_account_leaves_one_line_in_the_journal(
    serving: Running, call: Run, settings: dict[str, str], database_url: DatabaseUrl
) -> None:
    user_id = registered(serving)
    tokens = logged_in(serving)
    done = call("users", "delete", EMAIL, "--yes", settings=settings)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"deleted {user_id} {EMAIL}\n", "")
    eventually(lambda: me(serving, tokens) == 401, "the instance has looked")
    assert rows(database_url, "select event, subject::text, address, agent from journal") == [
        ("user:delete:success", user_id, None, None)
    ]
    assert serving.ask("/api/auth/login", CREDENTIALS).status == 401
    assert rows(database_url, "select count(*) from users") == [(0,)]


@pytest.mark.parametrize("answer", ["y\n", "n\n", ""])
def test_a_deletion_asks_first(
    serving: Running, call: Run, settings: dict[str, str], database_url: DatabaseUrl, answer: str
) -> None:
    user_id = registered(serving)
    done = call("users", "delete", user_id, settings=settings, stdin=answer)
    assert f"Delete {EMAIL} ({user_id}) for good? [y/N]" in done.stderr
    is_there = int(answer != "y\n")
    assert done.returncode == is_there
    assert rows(database_url, "select count(*) from users") == [(is_there,)]


def test_in_a_terminal_the_deletion_names_the_account(
    serving: Running, settings: dict[str, str], database_url: DatabaseUrl
) -> None:
    registered(serving)
    ours, theirs = pty.openpty()
    command = [*AUTHSVC, "users", "delete", EMAIL]
    with subprocess.Popen(
        command, env=environment(settings), stdin=theirs, stdout=theirs, stderr=theirs, process_group=0
    ) as process:
        os.close(theirs)
        said = b""
        while b"[y/N]" not in said:
            said += os.read(ours, 1024)
        assert EMAIL.encode() in said
        os.write(ours, b"n\n")
        assert process.wait(60) == 1
    os.close(ours)
    assert rows(database_url, "select count(*) from users") == [(1,)]


@pytest.mark.parametrize("command", ["show", "disable", "enable", "delete", "sessions"])
def test_a_name_that_nobody_has_is_one_sentence(call: Run, settings: dict[str, str], command: str) -> None:
    for name, sentence in {
        "nobody@example.com": NO_ACCOUNT,
        "00000000-0000-4000-8000-000000000000": NO_ACCOUNT,
        "nobody@": "authsvc: This is not an e-mail address like name@example.com.\n",
        "nobody": "authsvc: Name an account by its e-mail address or its id.\n",
    }.items():
        done = call("users", command, name, settings=settings)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", sentence)
