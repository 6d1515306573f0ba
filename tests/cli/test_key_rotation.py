"""`authsvc keys rotate`."""

import fcntl
import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from authsvc import key_sets
from tests.cli.conftest import AUTHSVC, Run, environment

SET = json.dumps({"keys": [key_sets.generate_key("ES256")]})


@pytest.fixture
def file(tmp_path: Path, call: Run) -> Path:
    """A file that was made and rotated once, as an operator does, and long enough ago to be rotated again."""
    path = tmp_path / "keys.json"
    assert call("keys", "generate", "--output", path, settings={}).returncode == 0
    assert call("keys", "rotate", path, "--in-place", settings={}).returncode == 0
    path.write_text(re.sub(r'"since": \d+', '"since": 1000000000', path.read_text()))
    return path


def states_of(text: str) -> list[Any]:
    return [key["state"] for key in json.loads(text)["keys"]]


def test_the_next_set_is_printed_and_what_became_of_the_keys_is_said(call: Run, file: Path) -> None:
    before = file.read_text()
    done = call("keys", "rotate", file, settings={})
    assert done.returncode == 0
    assert states_of(done.stdout) == ["current", "next", "previous"]
    assert key_sets.read_key_set(done.stdout).signing.kid == json.loads(before)["keys"][1]["kid"]
    *became, advice = done.stderr.splitlines()
    assert len(became) == 3
    assert advice.startswith("Roll this set out to every instance. Then wait at least 1230 seconds")
    assert not any(key["d"] in done.stderr for key in json.loads(done.stdout)["keys"])
    assert file.read_text() == before


def test_a_file_is_replaced_whole_and_stays_its_owners(call: Run, file: Path) -> None:
    assert call("keys", "rotate", file, "--in-place", settings={}).returncode == 0
    assert states_of(file.read_text()) == ["current", "next", "previous"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["keys.json"]


TOO_EARLY = (
    r"was rotated \d+ seconds ago: services may not know the key that signs next, and good tokens of the key that"
)


@pytest.mark.parametrize("way", [[], ["--in-place"], ["--output", "NEW"]], ids=["print", "in-place", "output"])
def test_a_rotation_too_early_is_refused_with_the_seconds_left(call: Run, file: Path, way: list[str]) -> None:
    assert call("keys", "rotate", file, "--in-place", settings={}).returncode == 0
    before = file.read_text()
    arguments = [str(file.with_name("new.json")) if each == "NEW" else each for each in way]
    done = call("keys", "rotate", file, *arguments, settings={})
    assert (done.returncode, done.stdout, file.read_text()) == (1, "", before)
    (sentence,) = done.stderr.splitlines()
    assert re.match(rf"authsvc: {re.escape(str(file))} {TOO_EARLY}", sentence)
    assert re.search(r"; wait \d+ seconds more, or give --force\.$", sentence)
    assert [each.name for each in file.parent.iterdir()] == ["keys.json"]


def test_who_must_can_rotate_too_early_and_is_warned(call: Run, file: Path) -> None:
    assert call("keys", "rotate", file, "--in-place", settings={}).returncode == 0
    signing = json.loads(file.read_text())["keys"][1]["kid"]
    done = call("keys", "rotate", file, "--in-place", "--force", settings={})
    assert done.returncode == 0
    assert key_sets.read_key_set(file.read_text()).signing.kid == signing
    assert re.match(rf"Warning: the set {TOO_EARLY}", done.stderr.splitlines()[-1])


def test_of_several_who_rotate_at_once_one_does_and_the_others_are_refused(file: Path) -> None:
    """Turned twice, a key would sign that nobody has published."""
    published = json.loads(file.read_text())["keys"][1]["kid"]
    # RSA takes a second to make a key: all of them have begun before the first is done.
    command = [*AUTHSVC, "keys", "rotate", str(file), "--in-place", "--algorithm", "RS256"]
    at_once = [
        subprocess.Popen(command, env=environment({}), stderr=subprocess.PIPE, text=True, start_new_session=True)
        for _ in range(6)
    ]
    said = [process.communicate()[1] for process in at_once]
    assert sorted(process.returncode for process in at_once) == [0, 1, 1, 1, 1, 1], said
    assert sum(re.search(TOO_EARLY, text) is not None for text in said) == 5, said
    assert states_of(file.read_text()) == ["current", "next", "previous"]
    assert key_sets.read_key_set(file.read_text()).signing.kid == published
    assert [each.name for each in file.parent.iterdir()] == ["keys.json"]


def test_a_folder_without_locks_is_one_sentence(call: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_handle: int, _operation: int) -> None:
        raise OSError(95, "Operation not supported")

    before = file.read_text()
    monkeypatch.setattr(fcntl, "flock", refuse)
    done = call("keys", "rotate", file, "--in-place", settings={})
    assert done.stderr == (
        f"authsvc: The folder of {file} cannot be locked (Operation not supported): write a new file with --output.\n"
    )
    assert (done.returncode, file.read_text()) == (1, before)


def test_who_could_read_the_file_can_read_the_next(call: Run, file: Path) -> None:
    """The service must not lose its keys because root turned them."""
    file.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(file, 65534, 65534)
    before = file.stat()
    link = file.with_name("link.json")
    link.symlink_to(file)
    assert call("keys", "rotate", link, "--in-place", settings={}).returncode == 0
    after = file.stat()
    assert link.is_symlink()
    assert after.st_ino != before.st_ino
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_new_file_is_its_owners_alone_and_none_is_overwritten(call: Run, file: Path) -> None:
    output = file.with_name("next.json")
    assert call("keys", "rotate", file, "--output", output, settings={}).stdout == ""
    assert states_of(output.read_text()) == ["current", "next", "previous"]
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    made = output.read_text()
    again = call("keys", "rotate", file, "--output", output, settings={})
    assert again.stderr == f"authsvc: {output} exists already: it is left as it is; name another file.\n"
    assert (again.returncode, output.read_text()) == (1, made)


@pytest.mark.parametrize("way", ["variable", "file"])
def test_without_a_file_the_keys_in_force_are_rotated(call: Run, tmp_path: Path, way: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(SET)
    given = {"AUTHSVC_JWT_KEYS": SET} if way == "variable" else {"AUTHSVC_JWT_KEYS_FILE": str(path)}
    done = call("keys", "rotate", "--algorithm", "RS256", settings={**given, "AUTHSVC_ACCESS_TOKEN_SECONDS": "60"})
    assert [(key["state"], key["alg"]) for key in json.loads(done.stdout)["keys"]] == [
        ("current", "ES256"),
        ("next", "RS256"),
    ]
    assert "wait at least 390 seconds" in done.stderr
    assert "Warning" not in done.stderr


def test_a_file_is_taken_before_the_keys_in_force(call: Run, file: Path) -> None:
    done = call("keys", "rotate", file, settings={"AUTHSVC_JWT_KEYS": SET, "AUTHSVC_JWT_KEYS_FILE": "/nowhere"})
    assert len(states_of(done.stdout)) == 3


TWO = json.dumps({"keys": [{**key_sets.generate_key("ES256"), "state": "current"} for _ in range(2)]})


@pytest.mark.parametrize(
    "arguments, settings, sentence",
    [
        ([], {}, "There are no keys to rotate: name their file, or set AUTHSVC_JWT_KEYS_FILE."),
        (
            [],
            {"AUTHSVC_JWT_KEYS": SET, "AUTHSVC_JWT_KEYS_FILE": "keys.json"},
            "AUTHSVC_JWT_KEYS and AUTHSVC_JWT_KEYS_FILE are both set: keep one, or name a file.",
        ),
        (["/nowhere.json"], {}, "/nowhere.json cannot be read (No such file or directory)."),
        ([], {"AUTHSVC_JWT_KEYS_FILE": "/nowhere.json"}, "/nowhere.json cannot be read (No such file or directory)."),
        (
            ["--in-place"],
            {"AUTHSVC_JWT_KEYS": SET},
            "--in-place needs a file: name it, or set AUTHSVC_JWT_KEYS_FILE.",
        ),
        (
            ["FILE", "--in-place", "--output", "new.json"],
            {},
            "--in-place and --output are both given: keep one.",
        ),
        ([], {"AUTHSVC_JWT_KEYS": TWO}, "AUTHSVC_JWT_KEYS holds 2 current keys: exactly one key signs."),
        (
            [],
            {"AUTHSVC_JWT_KEYS": "[" * 100_000},
            'AUTHSVC_JWT_KEYS must be a private JWK set {"keys": […]}: make one with `authsvc keys generate`.',
        ),
        (
            ["FILE", "--in-place"],
            {"AUTHSVC_ACCESS_TOKEN_SECONDS": "soon"},
            "AUTHSVC_ACCESS_TOKEN_SECONDS must be a whole number from 30 to 86400.",
        ),
        (["FILE", "--output", "/nowhere/keys.json"], {}, "/nowhere/keys.json cannot be written ("),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_changes_nothing(
    call: Run, file: Path, arguments: list[str], settings: dict[str, str], sentence: str
) -> None:
    before = file.read_text()
    done = call("keys", "rotate", *[str(file) if each == "FILE" else each for each in arguments], settings=settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"authsvc: {sentence}")
    assert len(done.stderr.splitlines()) == 1
    assert file.read_text() == before
    assert [each.name for each in file.parent.iterdir()] == ["keys.json"]


def test_a_file_that_is_no_text_is_one_sentence(call: Run, file: Path) -> None:
    file.write_bytes(b"\xff")
    done = call("keys", "rotate", file, "--in-place", settings={})
    assert (done.returncode, done.stderr) == (1, f"authsvc: {file} cannot be read (it is not UTF-8 text).\n")
    assert file.read_bytes() == b"\xff"


def test_a_replacement_that_fails_half_way_leaves_the_keys_as_they_were(
    call: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    before = file.read_text()
    monkeypatch.setattr(os, "fsync", full)
    done = call("keys", "rotate", file, "--in-place", settings={})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"authsvc: {file} cannot be written (No space left on device).\n"
    assert file.read_text() == before
    assert [each.name for each in file.parent.iterdir()] == ["keys.json"]
