"""`authsvc keys generate`, `users create` and `check-config`."""

import json
import os
import pty
import re
import stat
import subprocess
from pathlib import Path

import pytest

from authsvc import key_sets
from authsvc.config import DatabaseUrl, settings
from authsvc.store.faults import UNREACHABLE
from tests.cli.conftest import AUTHSVC, CREDENTIALS, Run, Start, environment

SECRET = "a secret that has at least thirty-two bytes"


@pytest.mark.parametrize("arguments, algorithm", [([], "ES256"), (["--algorithm", "RS256"], "RS256")])
def test_generated_keys_are_one_private_jwk_that_serve_accepts(
    call: Run, arguments: list[str], algorithm: str, settings: dict[str, str], start: Start
) -> None:
    made = call("keys", "generate", *arguments, settings={})
    assert made.returncode == 0
    made_set = json.loads(made.stdout)
    [key], [_refresh_secret] = made_set.pop("keys"), made_set.pop("refresh_secrets")
    assert (key["alg"], "d" in key, made_set) == (algorithm, True, {})
    running = start("serve", settings={**settings, "AUTHSVC_JWT_KEYS": made.stdout})
    running.until_it_says("serving")
    assert running.ask("/api/auth/register", CREDENTIALS).status == 201
    token = running.ask("/api/auth/login", CREDENTIALS).json()["access_token"]
    assert running.ask("/api/auth/me", headers={"Authorization": f"Bearer {token}"}).status == 200
    [published] = running.ask("/.well-known/jwks.json").json()["keys"]
    assert published["kid"] == key["kid"]
    assert "d" not in published


def test_a_key_file_is_its_owners_alone_and_is_never_overwritten(call: Run, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    assert call("keys", "generate", "--output", path, settings={}).stderr == f"wrote {path}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    made = path.read_text()
    assert key_sets.read_key_set(made).signing.algorithm == "ES256"
    again = call("keys", "generate", "--output", path, settings={})
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"authsvc: {path} exists already: it is left as it is; name another file.\n"
    assert path.read_text() == made
    assert [each.name for each in tmp_path.iterdir()] == ["keys.json"]


def test_a_key_file_that_cannot_be_written_is_one_sentence(call: Run) -> None:
    done = call("keys", "generate", "--output", "/no/such/folder/keys.json", settings={})
    assert done.returncode == 1
    assert done.stderr == "authsvc: /no/such/folder/keys.json cannot be written (No such file or directory).\n"


@pytest.mark.parametrize("way", ["variable", "file"])
def test_check_config_shows_every_setting_and_no_secret(call: Run, way: str, tmp_path: Path) -> None:
    secrets = {
        "AUTHSVC_DATABASE_URL": "postgresql://authsvc:hunter2hunter2@127.0.0.1/authsvc",
        "AUTHSVC_JWT_SECRET": SECRET,
    }
    given = dict(secrets)
    if way == "file":
        for name, value in secrets.items():
            path = tmp_path / name
            path.write_text(f"{value}\n")
            given[f"{name}_FILE"] = str(path)
            del given[name]
    done = call("check-config", settings=given)
    assert (done.returncode, done.stderr) == (0, "")
    shown = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert list(shown) == [setting.name for setting in settings()]
    assert shown["AUTHSVC_DATABASE_URL"] == "postgresql://authsvc:***@127.0.0.1/authsvc"
    assert shown["AUTHSVC_JWT_SECRET"] == "***"
    assert "hunter2" not in done.stdout
    assert SECRET not in done.stdout


def test_check_config_says_whom_a_request_behind_proxies_would_come_from(call: Run) -> None:
    given = {
        "AUTHSVC_DATABASE_URL": "postgresql://127.0.0.1/authsvc",
        "AUTHSVC_JWT_SECRET": SECRET,
        "AUTHSVC_TRUSTED_PROXIES": "10.0.0.0/8",
    }
    header = ("--forwarded-for", "192.0.2.66, 2001:db8::7", "--forwarded-for", "10.0.0.2")
    said = call("check-config", *header, "--peer", "10.0.0.1", settings=given).stdout.splitlines()[-2:]
    assert said == [
        "Such a request comes from 2001:db8::7: the first from the right that is no trusted proxy.",
        "Limits count it as 2001:db8::/64.",
    ]
    said = call("check-config", *header, settings=given).stdout.splitlines()[-2:]
    assert said[0].startswith("Such a request comes from 127.0.0.1: the other end is no trusted proxy")


def test_check_config_warns_of_limits_that_are_off(call: Run) -> None:
    given = {"AUTHSVC_DATABASE_URL": "postgresql://127.0.0.1/authsvc", "AUTHSVC_JWT_SECRET": SECRET}
    done = call("check-config", settings={**given, "AUTHSVC_LIMITS": "off"})
    assert (done.returncode, done.stderr) == (
        0,
        "Warning: AUTHSVC_LIMITS is off: passwords can be guessed as fast as they are hashed.\n",
    )
    assert call("check-config", settings=given).stderr == ""


def test_check_config_lists_every_fault_without_the_values(call: Run, tmp_path: Path) -> None:
    given = {
        "AUTHSVC_DATABASE_URL": "mysql://authsvc:hunter2hunter2@127.0.0.1/authsvc",
        "AUTHSVC_JWT_SECRET": "hunter2",
        "AUTHSVC_JWT_KEYS_FILE": str(tmp_path / "missing"),
        "AUTHSVC_PASSWORD_PROFILE": "md5",
    }
    done = call("check-config", settings=given)
    assert (done.returncode, done.stdout) == (78, "")
    assert given.keys() <= set(re.findall(r"^  - (\w+)", done.stderr, re.MULTILINE))
    assert "hunter2" not in done.stderr


def operator(database_url: DatabaseUrl) -> dict[str, str]:
    return {"AUTHSVC_DATABASE_URL": database_url.reveal(), "AUTHSVC_JWT_SECRET": SECRET}


def test_a_user_created_with_a_piped_password_logs_in(call: Run, settings: dict[str, str], start: Start) -> None:
    done = call("users", "create", "Ada@Example.com", settings=settings, stdin=f"{CREDENTIALS['password']}\n")
    assert re.fullmatch(r"created [0-9a-f-]{36} ada@example\.com\n", done.stdout)
    assert done.stderr == ""
    running = start("serve", settings=settings)
    running.until_it_says("serving")
    assert running.ask("/api/auth/login", CREDENTIALS).status == 200


def test_in_a_terminal_the_password_is_asked_for_twice_and_not_shown(database_url: DatabaseUrl) -> None:
    ours, theirs = pty.openpty()
    command = [*AUTHSVC, "users", "create", "ada@example.com"]
    with subprocess.Popen(
        command, env=environment(operator(database_url)), stdin=theirs, stdout=theirs, stderr=theirs, process_group=0
    ) as process:
        os.close(theirs)
        said = b""
        for prompt in (b"Password: ", b"confirmation: "):
            said = until(ours, said, prompt)
            os.write(ours, f"{CREDENTIALS['password']}\n".encode())
        said = until(ours, said, b"created ")
        assert process.wait(60) == 0
    os.close(ours)
    assert CREDENTIALS["password"].encode() not in said


def until(terminal: int, said: bytes, text: bytes) -> bytes:
    while text not in said:
        said += os.read(terminal, 1024)
    return said


@pytest.mark.parametrize(
    "email, password, sentence",
    [
        ("ada", CREDENTIALS["password"], "This is not an e-mail address like name@example.com."),
        ("ada@exa\udcffmple.com", CREDENTIALS["password"], "This is not an e-mail address like name@example.com."),
        ("ada@example.com", "short", "Use at least 8 characters."),
        ("ada@example.com", "", "Use at least 8 characters."),
        ("ada@example.com", "password", "This password is on the list of common ones that attackers try first."),
        (
            "ada@example.com",
            "ada@example.com",
            (
                "The password must not be the e-mail address or the part before its @, nor either of them repeated or"
                " with a year behind it."
            ),
        ),
        ("ada@example.com", "é" * 257, "A password has at most 256 characters."),
        ("ada@example.com", "correct\0horse", "The password holds a NUL, which no text can have."),
        ("ada@example.com", b"correct \xff horse", "The password on standard input is not UTF-8."),
        ("taken@example.com", CREDENTIALS["password"], "An account with this e-mail address exists already."),
    ],
)
def test_a_user_who_cannot_be_created_is_told_why(
    call: Run, database_url: DatabaseUrl, email: str, password: str | bytes, sentence: str
) -> None:
    if email.startswith("taken"):
        assert call("users", "create", email, settings=operator(database_url), stdin="correct horse").returncode == 0
    done = call("users", "create", email, settings=operator(database_url), stdin=password)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"authsvc: {sentence}\n")


def test_no_database_is_one_sentence(call: Run, tmp_path: Path) -> None:
    given = {
        "AUTHSVC_DATABASE_URL": f"postgresql://authsvc@/authsvc?host={tmp_path}",
        "AUTHSVC_JWT_SECRET": SECRET,
        "AUTHSVC_LOG_LEVEL": "error",
    }
    done = call("users", "create", "ada@example.com", settings=given, stdin=CREDENTIALS["password"])
    assert done.returncode == 1
    assert done.stderr == f"authsvc: {UNREACHABLE.advice}\n"


def test_help_names_every_command(call: Run) -> None:
    shown = call("--help", settings={})
    for command in ("serve", "dev", "migrate", "check-config", "keys", "users"):
        assert re.search(rf"^  {command} ", shown.stdout, re.MULTILINE)
