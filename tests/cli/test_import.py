"""`authsvc users import`: good rows in, bad rows named with their lines and left out, and nothing changed twice."""

import os
import pty
import subprocess
from pathlib import Path

import bcrypt
import psycopg
import pytest

from authsvc.config import DatabaseUrl
from tests.cli.conftest import AUTHSVC, CREDENTIALS, Start, environment, free_ports, run

ROWS = 3_000
ARGON2 = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI"
QUOTED = f'"{ARGON2}"'
BCRYPT = bcrypt.hashpw(CREDENTIALS["password"].encode(), bcrypt.gensalt(4)).decode()
NOT_AN_ADDRESS = "This is not an e-mail address like name@example.com."
NOT_A_HASH = "The hash is neither argon2 nor bcrypt, is broken, or asks for too much."
NOT_THE_COLUMNS = "This has not the 3 columns of the first line: a hash with commas in it stands in quotes."
NOT_AN_OBJECT = "This is no JSON object with the texts email and password_hash."

CSV = f'''\ufeffemail,note,password_hash\r
ada@example.com,,{BCRYPT}\r
no address,,{BCRYPT}\r
plain@example.com,,correct horse battery staple\r
quoted@example.com,"two
lines, ""quoted""",{QUOTED}\r
costly@example.com,,{BCRYPT.replace("$04$", "$31$")}\r
columns@example.com,{BCRYPT}\r
\r
commas@example.com,,{ARGON2}\r
Ada@Example.com,,{QUOTED}\r
broken@exa\ufffdmple.com,,{QUOTED}\r
inside@example.com,a "quote" inside,{QUOTED}\r
bad@example.com,"quoted"?,{QUOTED}\r
nul@example.com\0,,{QUOTED}\r
last@example.com,,{QUOTED}'''.encode().replace("\ufffd".encode(), b"\xff")
CSV_FAULTS = [
    (3, NOT_AN_ADDRESS),
    (4, NOT_A_HASH),
    (7, NOT_A_HASH),
    (8, NOT_THE_COLUMNS),
    (10, NOT_THE_COLUMNS),
    (11, "The address is the one of line 2."),
    (12, NOT_AN_ADDRESS),
    (14, "This is not CSV: look at its quotes."),
    (15, NOT_AN_ADDRESS),
]
GOOD = {"ada@example.com", "quoted@example.com", "inside@example.com", "last@example.com"}

JSON = f"""\ufeff{{"email": "ada@example.com", "password_hash": "{BCRYPT}", "id": 7}}\r
{{"email": "no address", "password_hash": "{BCRYPT}"}}
{{"email": "half@example.com",
[1]
{{"email": ["a@example.com"], "password_hash": "{ARGON2}"}}
{{"email": "null@example.com", "password_hash": null}}

{{"email": "broken\ufffd@example.com", "password_hash": "{ARGON2}"}}
{"[" * 100_000}
{{"email": "digits@example.com", "password_hash": {"9" * 5_000}}}
{{"email": "lone\\ud800@example.com", "password_hash": "{ARGON2}"}}
{{"email": "quoted@example.com", "password_hash": "{ARGON2}"}}
{{"email": "inside@example.com", "password_hash": "{ARGON2}"}}
{{"email": "last@example.com", "password_hash": "{ARGON2}"}}
""".encode().replace("\ufffd".encode(), b"\xff")
JSON_FAULTS = [
    (2, NOT_AN_ADDRESS),
    (3, NOT_AN_OBJECT),
    (4, NOT_AN_OBJECT),
    (5, NOT_AN_OBJECT),
    (6, NOT_AN_OBJECT),
    (8, "The part before the @ may hold only unaccented letters, digits and ASCII signs."),
    (9, NOT_AN_OBJECT),
    (10, NOT_AN_OBJECT),
    (11, "The part before the @ may hold only unaccented letters, digits and ASCII signs."),
]


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def stored(settings: dict[str, str]) -> dict[str, str]:
    with psycopg.connect(settings["AUTHSVC_DATABASE_URL"]) as connection:
        return dict(connection.execute("select email, password_hash || updated_at from users").fetchall())


def recorded(settings: dict[str, str]) -> list[str]:
    """Return whom the journal says to have been imported, by their addresses."""
    with psycopg.connect(settings["AUTHSVC_DATABASE_URL"]) as connection:
        entries = connection.execute(
            "select email, address, agent from journal left join users on public_id = subject"
            " where event = 'user:import:success' order by email"
        ).fetchall()
    assert {tuple(entry[1:]) for entry in entries} == {(None, None)}
    return [entry[0] for entry in entries]


def summary(imported: int, present: int, left_out: int) -> str:
    return f"{imported} imported, {present} there already, {left_out} left out."


@pytest.fixture
def settings(database_url: DatabaseUrl) -> dict[str, str]:
    return {"AUTHSVC_DATABASE_URL": database_url.reveal(), "AUTHSVC_JWT_SECRET": "x" * 32}


@pytest.mark.parametrize(
    "name, content, faults",
    [("users.csv", CSV, CSV_FAULTS), ("users.jsonl", JSON, JSON_FAULTS)],
)
def test_good_rows_come_in_and_bad_ones_are_named_with_their_lines(
    settings: dict[str, str], tmp_path: Path, name: str, content: bytes, faults: list[tuple[int, str]]
) -> None:
    """PWD-04, PWD-08, EML-17."""
    file = written(tmp_path / name, content)
    first = run("users", "import", file, settings=settings)
    assert first.returncode == 0
    assert first.stderr.splitlines() == [f"{file}:{line}: left out. {reason}" for line, reason in faults]
    assert first.stdout.splitlines()[-1] == summary(len(GOOD), 0, len(faults))
    before = stored(settings)
    assert before.keys() == GOOD
    assert recorded(settings) == sorted(GOOD)
    again = run("users", "import", "--strict", file, settings=settings)
    assert again.returncode == os.EX_DATAERR
    assert again.stdout.splitlines()[-1] == summary(0, len(GOOD), len(faults))
    assert stored(settings) == before
    assert recorded(settings) == sorted(GOOD), "who was there already was not imported"


def test_who_comes_with_a_bcrypt_hash_logs_in_and_leaves_it_behind(
    settings: dict[str, str], tmp_path: Path, start: Start
) -> None:
    """PWD-01 (ASVS 11.4.2)."""
    file = written(tmp_path / "users.csv", f"password_hash,email\n{BCRYPT},ada@example.com\n")
    assert run("users", "import", "--strict", file, settings=settings).returncode == 0
    running = start("serve", settings={**settings, **free_ports()})
    running.until_it_says("serving")
    for _ in range(2):
        assert running.ask("/api/auth/login", CREDENTIALS).status == 200
        assert stored(settings)["ada@example.com"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_quote_that_nobody_closes_costs_only_the_rows_that_are_named(
    settings: dict[str, str], tmp_path: Path
) -> None:
    rows = [f"user{number}@example.com,{BCRYPT}" for number in range(ROWS)]
    rows[10] = rows[10].replace("user10@", '"user10@')
    file = written(tmp_path / "users.csv", "\n".join(["email,password_hash", *rows]))
    done = run("users", "import", file, settings=settings)
    [fault] = done.stderr.splitlines()
    begin = f"{file}:12: left out. This is not CSV: look at its quotes. Neither are the lines to "
    assert fault.startswith(begin)
    last = int(fault.removeprefix(begin).removesuffix("."))
    assert stored(settings).keys() == {row.partition(",")[0] for row in rows[:10] + rows[last - 1 :]}


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("users.csv", "", "The first line must name the columns: email,password_hash (others are not read)."),
        ("users.csv", "email,email,password_hash\n", "The first line must name the columns: email,password_hash"),
        ("users.csv", '"email', "The first line must name the columns: email,password_hash"),
        ("users.csv", f"a@example.com,{BCRYPT}\n", "The first line must name the columns: email,password_hash"),
        ("users.csv", "email,password_hash\n" + "a" * 2_000_000, "Line 2 is longer than 1 MiB: this is no file of"),
        ("users.ndjson", "a" * 2_000_000, "Line 1 is longer than 1 MiB: this is no file of users."),
    ],
    ids=["empty", "column twice", "open quote", "no columns", "long line", "long first line"],
)
def test_a_file_that_is_none_of_users_is_one_sentence(
    settings: dict[str, str], tmp_path: Path, name: str, content: str, sentence: str
) -> None:
    file = written(tmp_path / name, content)
    done = run("users", "import", file, settings=settings)
    assert done.returncode == 1
    assert done.stderr.startswith(f"authsvc: {file}: {sentence}")
    assert done.stderr.count("\n") == 1


def test_an_empty_list_is_imported(settings: dict[str, str], tmp_path: Path) -> None:
    file = written(tmp_path / "users.csv", "email,password_hash\n")
    done = run("users", "import", "--strict", file, settings=settings)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, summary(0, 0, 0))


def test_more_rows_than_a_batch_come_in_without_a_bar_in_a_pipe_and_with_one_in_a_terminal(
    settings: dict[str, str], tmp_path: Path
) -> None:
    rows = [f"user{number}@example.com,{BCRYPT}" for number in range(ROWS)]
    file = written(tmp_path / "users.csv", "\n".join(["email,password_hash", *rows, "no address,", rows[0]]))
    piped = run("users", "import", file, settings=settings)
    assert piped.stdout == f"Importing users.csv\n{summary(ROWS, 0, 2)}\n"
    assert piped.stderr == (
        f"{file}:{ROWS + 2}: left out. {NOT_AN_ADDRESS}\n"
        f"{file}:{ROWS + 3}: left out. The address is the one of line 2.\n"
    )
    shown = in_a_terminal("users", "import", str(file), settings=settings)
    assert "100%" in shown
    assert "####" in shown
    # Each fault on a line of its own, not behind the bar.
    assert f"\x1b[K{file}:{ROWS + 2}: left out. {NOT_AN_ADDRESS}\r\n" in shown
    assert summary(0, ROWS, 2) in shown


def in_a_terminal(*arguments: str, settings: dict[str, str]) -> str:
    ours, theirs = pty.openpty()
    given = {**environment(settings), "TERM": "xterm"}
    command = [*AUTHSVC, *arguments]
    with subprocess.Popen(command, env=given, stdin=theirs, stdout=theirs, stderr=theirs, process_group=0) as process:
        os.close(theirs)
        shown = b""
        while part := _read(ours):
            shown += part
        assert process.wait(60) == 0
    os.close(ours)
    return shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says EIO when the other side has closed
        return b""
