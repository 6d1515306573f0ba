"""`authsvc dev`: one command, a database of its own, and nothing left behind."""

import json
import re
import shlex
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import AUTHSVC, CREDENTIALS, Running, Start, environment, eventually, free_ports, run

READY = "Ctrl-C stops all of it."


@pytest.fixture
def dev(tmp_path: Path) -> dict[str, str]:
    """The settings of a newcomer's first start."""
    return {"AUTHSVC_DATA_DIR": str(tmp_path / "data"), **free_ports()}


def servers_of(data_dir: str) -> list[str]:
    """Return the PostgreSQL processes that serve the data folder."""
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,stat=,args="], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if f"-D {data_dir}/" in line and " Z" not in line]


def is_stopped(data_dir: str) -> bool:
    return not servers_of(data_dir)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def taken(port: str) -> Iterator[None]:
    with socket.socket() as somebody:
        somebody.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        somebody.bind(("127.0.0.1", int(port)))
        somebody.listen()
        yield


def test_it_prints_lines_that_work_when_pasted_and_an_interrupt_sent_twice_stops_all_of_it(
    dev: dict[str, str], start: Start
) -> None:
    running = start("dev", settings=dev)
    said = running.until_it_says(READY)
    assert f"http://127.0.0.1:{dev['AUTHSVC_PORT']}/register\n" in said
    assert b"<form" in running.ask("/register").body
    lines = re.findall(r"^ +(curl .*)$", said, re.MULTILINE)
    pasted = [subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout for line in lines]
    assert [answer.split()[1] for answer in pasted] == ["201", "200"]
    assert '"access_token"' in pasted[1]
    exports = "; ".join(re.findall(r"^ +(export .*)$", said, re.MULTILINE))
    command = shlex.join([*AUTHSVC, "users", "show", json.loads(pasted[0].splitlines()[-1])["id"]])
    shown = subprocess.run(
        ["sh", "-c", f"{exports}; {command}"], env=environment({}), capture_output=True, text=True, check=True
    )
    assert re.search(r"^email +ada-.*@example\.com$", shown.stdout, re.MULTILINE)
    data_dir = dev["AUTHSVC_DATA_DIR"]
    assert mode_of(Path(data_dir, "signing-keys.json")) == 0o600
    assert servers_of(data_dir)
    # `timeout` sends its signal to the process and then to its group.
    running.send(signal.SIGINT, signal.SIGINT)
    assert running.ends() == 0
    assert is_stopped(data_dir)
    assert "Traceback" not in running.said


def test_after_kill_9_it_starts_again_with_the_same_key_users_and_tokens(dev: dict[str, str], start: Start) -> None:
    """DEP-09."""
    first = start("dev", settings=dev)
    first.until_it_says(READY)
    assert first.ask("/api/auth/register", CREDENTIALS).status == 201
    token = first.ask("/api/auth/login", CREDENTIALS).json()["access_token"]
    key = Path(dev["AUTHSVC_DATA_DIR"], "signing-keys.json").read_bytes()
    first.send(signal.SIGKILL)
    first.ends()
    second = start("dev", settings=dev)
    second.until_it_says(READY)
    assert second.ask("/api/auth/me", headers={"Authorization": f"Bearer {token}"}).status == 200
    assert second.ask("/api/auth/login", CREDENTIALS).status == 200
    assert Path(dev["AUTHSVC_DATA_DIR"], "signing-keys.json").read_bytes() == key
    second.send(signal.SIGKILL)
    second.ends()
    eventually(lambda: is_stopped(dev["AUTHSVC_DATA_DIR"]), "the database ends with the process that started it")


def test_a_database_url_means_no_server_of_its_own(dev: dict[str, str], start: Start, unmigrated_url: str) -> None:
    running = start("dev", settings={**dev, "AUTHSVC_DATABASE_URL": unmigrated_url})
    running.until_it_says(READY)
    assert running.ask("/api/auth/register", CREDENTIALS).status == 201
    assert [each.name for each in Path(dev["AUTHSVC_DATA_DIR"]).iterdir()] == ["signing-keys.json"]
    running.send(signal.SIGTERM)
    assert running.ends() == 0


def test_a_second_one_on_the_same_folder_is_told_who_uses_it(dev: dict[str, str], start: Start) -> None:
    first = start("dev", settings=dev)
    first.until_it_says(READY)
    second = run("dev", settings={**dev, **free_ports()})
    assert second.returncode == 1
    assert second.stderr == (
        f"authsvc: {dev['AUTHSVC_DATA_DIR']} is in use by process {first.process.pid}: stop that process, or set"
        " AUTHSVC_DATA_DIR to another folder.\n"
    )
    assert first.is_ready()


def test_two_at_once_on_a_new_folder_are_one_service_and_one_sentence(dev: dict[str, str], start: Start) -> None:
    both = [start("dev", settings={**dev, **free_ports()}) for _ in range(2)]

    def loser() -> Running | None:
        return next((each for each in both if each.process.poll() is not None), None)

    lost = eventually(loser, "one of them ends")
    both.remove(lost)
    both[0].until_it_says(READY)
    assert lost.ends() == 1
    assert re.fullmatch(r"authsvc: .* is in use by process .*\n", lost.said)


@pytest.mark.parametrize("setting", ["AUTHSVC_PORT", "AUTHSVC_ADMIN_PORT"])
def test_a_port_in_use_is_one_sentence_and_the_database_is_stopped(dev: dict[str, str], setting: str) -> None:
    with taken(dev[setting]):
        done = run("dev", settings=dev)
    assert done.returncode == 1
    assert re.fullmatch(
        rf"authsvc: Port {dev[setting]} on 127\.0\.0\.1 cannot be opened \(.*\): stop what uses it, or set {setting} to"
        r" another\.\n",
        done.stderr,
    )
    assert is_stopped(dev["AUTHSVC_DATA_DIR"])


# A folder that appears, and the moment: before the cluster is whole, and when the server begins to run.
@pytest.mark.parametrize("appears", ["lock", "postgres"])
def test_interrupted_while_it_starts_it_leaves_nothing_that_runs(
    dev: dict[str, str], start: Start, appears: str
) -> None:
    running = start("dev", settings=dev)
    eventually(Path(dev["AUTHSVC_DATA_DIR"], appears).exists, appears)
    running.send(signal.SIGINT, signal.SIGINT)
    assert running.ends() in (0, 1)
    assert "Traceback" not in running.said
    assert is_stopped(dev["AUTHSVC_DATA_DIR"])
    again = start("dev", settings=dev)
    again.until_it_says(READY)


@pytest.mark.parametrize(
    "settings, code, sentence",
    [
        (
            {"AUTHSVC_DATA_DIR": "/dev/null/data"},
            1,
            r"/dev/null/data/signing-keys\.json cannot be written \(.*\): set A",
        ),
        ({"AUTHSVC_DATA_DIR": "/dev/null/data", "AUTHSVC_JWT_SECRET": "x" * 32}, 1, "/dev/null/data cannot hold a dat"),
        ({"AUTHSVC_PG_BIN": "/dev/null"}, 1, "AUTHSVC_PG_BIN=/dev/null holds no PostgreSQL"),
        ({"AUTHSVC_PORT": "none", "AUTHSVC_NONE": "1"}, 78, r"AUTHSVC_PORT must.*\n.*AUTHSVC_NONE is not"),
        ({"AUTHSVC_JWT_KEYS": '{"keys": [{}]}'}, 78, "AUTHSVC_JWT_KEYS holds key 1 that is neither"),
    ],
)
def test_what_it_cannot_use_is_said_before_anything_is_started(
    dev: dict[str, str], settings: dict[str, str], code: int, sentence: str
) -> None:
    done = run("dev", settings={**dev, **settings})
    assert done.returncode == code
    assert re.search(sentence, done.stderr)
    assert "Traceback" not in done.stderr
    assert not Path(dev["AUTHSVC_DATA_DIR"], "postgres").exists()
