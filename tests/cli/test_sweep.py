"""`authsvc sweep`: what it says."""

import os
import pty
import subprocess

import psycopg
import pytest

from authsvc.config import DatabaseUrl
from authsvc.store.faults import UNREACHABLE
from tests.cli.conftest import AUTHSVC, Run, environment

DUE = """
insert into journal (recorded_at, event, subject)
select timestamptz '2020-01-01Z', 'user:register:success', '00000000-0000-4000-8000-0000000000aa'
from generate_series(1, 2500)
"""


@pytest.fixture
def due(database_url: DatabaseUrl) -> None:
    """2,500 entries of the journal that are due."""
    with psycopg.connect(database_url.reveal()) as connection:
        connection.execute(DUE)


@pytest.mark.usefixtures("due")
def test_it_says_what_went(call: Run, settings: dict[str, str]) -> None:
    done = call("sweep", settings=settings)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "        0  sessions     sessions that are over, by age or idle\n"
        "        0  revocations  sessions that were ended\n"
        "        0  journal      failed logins with an address that no account has\n"
        "     2500  journal      everything else\n"
        "        0  attempts     what the limits count\n"
    )
    assert "     2500" not in call("sweep", settings=settings).stdout


@pytest.mark.usefixtures("due")
def test_the_setting_decides(call: Run, settings: dict[str, str]) -> None:
    done = call("sweep", settings={**settings, "AUTHSVC_JOURNAL_DAYS": "36500"})
    assert "     2500" not in done.stdout
    refused = call("sweep", settings={**settings, "AUTHSVC_JOURNAL_DAYS": "0"})
    assert (refused.returncode, refused.stdout) == (78, "")
    assert "AUTHSVC_JOURNAL_DAYS must be a whole number from 1 to 36500." in refused.stderr


@pytest.mark.usefixtures("due")
def test_in_a_terminal_it_shows_how_far_it_is(settings: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*AUTHSVC, "sweep"], env=environment(settings), stdout=subprocess.PIPE, stderr=theirs, process_group=0
    ) as process:
        os.close(theirs)
        assert process.stdout is not None
        assert b"2500  journal" in process.stdout.read()
        assert process.wait(60) == 0
        said = b""
        while b"everything else: 2500" not in said:
            said += os.read(ours, 4096)
    os.close(ours)
    assert b"everything else: 1000" in said


def test_a_database_that_is_away_is_one_sentence(call: Run, settings: dict[str, str]) -> None:
    away = {
        **settings,
        "AUTHSVC_DATABASE_URL": "postgresql://authsvc@/authsvc?host=/nowhere",
        "AUTHSVC_LOG_LEVEL": "error",
    }
    done = call("sweep", settings=away)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"authsvc: {UNREACHABLE.advice}\n"
