"""`authsvc journal`: what it finds, and how it says it."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from authsvc.config import DatabaseUrl
from tests.cli.conftest import Run

ADA, GRACE = "00000000-0000-4000-8000-0000000000aa", "00000000-0000-4000-8000-0000000000bb"
AGENT = "Mozilla/5.0 (X11; Linux x86_64)"
# Event, subject, address, agent, hours ago.
ROWS = [
    ("user:register:success", ADA, "192.0.2.1", AGENT, 72),
    ("session:login:success", ADA, "192.0.2.1", AGENT, 71),
    ("session:login:failure", None, "2001:db8::1", None, 48),
    ("session:login:failure", ADA, "192.0.2.2", AGENT, 47),
    ("user:register:success", GRACE, "192.0.2.1", None, 25),
    ("credential:change:success", ADA, "192.0.2.1", AGENT, 23),
    ("user:disable:success", ADA, None, None, 1),
]


@pytest.fixture
def written(database_url: DatabaseUrl) -> datetime:
    """The rows above, and now."""
    now = datetime.now(UTC)  # noqa: TID251 - the command's clock is the machine's
    with psycopg.connect(database_url.reveal()) as connection:
        connection.execute(
            "insert into users (public_id, email, created_at, updated_at) values (%s, 'ada@example.com', %s, %s)",
            [ADA, now, now],
        )
        for event, subject, address, agent, hours in ROWS:
            connection.execute(
                "insert into journal (recorded_at, event, subject, address, agent) values (%s, %s, %s, %s, %s)",
                [now - timedelta(hours=hours), event, subject, address, agent],
            )
    return now


def found(call: Run, settings: dict[str, str], *filters: str) -> list[int]:
    """Return which of the rows are found, by their numbers."""
    done = call("journal", "--json", *filters, settings=settings)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line)["id"] - 1 for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "filters, expected",
    [
        ([], [0, 1, 2, 3, 4, 5, 6]),
        (["--user", "Ada@example.com"], [0, 1, 3, 5, 6]),
        (["--user", GRACE], [4]),
        (["--event", "session:login:failure"], [2, 3]),
        (["--event", "session:*"], [1, 2, 3]),
        (["--event", "*:success"], [0, 1, 4, 5, 6]),
        (["--event", "user:?*able:*"], [6]),
        (["--since", "24h"], [5, 6]),
        (["--since", "2d"], [3, 4, 5, 6]),
        (["--until", "24h"], [0, 1, 2, 3, 4]),
        (["--since", "50h", "--until", "1440m"], [2, 3, 4]),
        (["--address", "192.0.2.1"], [0, 1, 4, 5]),
        (["--address", "2001:DB8:0::1"], [2]),
        (["--limit", "2"], [5, 6]),
        (["--user", ADA, "--event", "*:success", "--limit", "2"], [5, 6]),
        (["--user", ADA, "--event", "session:*", "--address", "192.0.2.2", "--since", "7d"], [3]),
    ],
)
@pytest.mark.usefixtures("written")
def test_filters_narrow_it_down_and_the_newest_is_last(
    call: Run, settings: dict[str, str], filters: list[str], expected: list[int]
) -> None:
    assert found(call, settings, *filters) == expected


def test_a_moment_may_be_a_date_or_a_time_and_is_utc(call: Run, settings: dict[str, str], written: datetime) -> None:
    middle = written - timedelta(hours=36)
    for spelling in (middle.isoformat(), middle.strftime("%Y-%m-%dT%H:%M:%SZ"), middle.strftime("%Y-%m-%d %H:%M")):
        assert found(call, settings, "--since", spelling) == [4, 5, 6]
    tomorrow = (written + timedelta(days=1)).date().isoformat()
    assert found(call, settings, "--since", tomorrow) == []


@pytest.mark.usefixtures("written")
def test_a_line_of_json_holds_everything(call: Run, settings: dict[str, str]) -> None:
    line: Any = json.loads(call("journal", "--json", "--limit", "1", settings=settings).stdout)
    assert line.pop("recorded_at").endswith("Z")
    assert line == {
        "id": 7,
        "event": "user:disable:success",
        "subject": ADA,
        "session_id": None,
        "address": None,
        "agent": None,
    }


@pytest.mark.usefixtures("written")
def test_for_people_the_columns_stand_below_each_other(call: Run, settings: dict[str, str]) -> None:
    head, *lines = call("journal", settings=settings).stdout.splitlines()
    assert re.split(r"  +", head) == ["TIME", "EVENT", "ACCOUNT", "ADDRESS", "AGENT"]
    for line, (event, subject, address, agent, _hours) in zip(lines, ROWS, strict=True):
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  ", line)
        for title, cell in {"EVENT": event, "ACCOUNT": subject, "ADDRESS": address, "AGENT": agent}.items():
            assert line[head.index(title) :].startswith(cell or "-")


@pytest.mark.parametrize(
    "filters, sentence",
    [
        (["--event", "session:loign:*"], "No event is called so: subject:action:outcome"),
        (["--user", "nobody@example.com"], "No account has this address."),
        (["--user", "nobody"], "Name an account by its e-mail address or its id."),
        (["--since", "yesterday"], "Give 24h (s, m, h, d), 2026-11-22, or 2026-11-22T12:00:00Z."),
        (["--since", "999999d"], "Give 24h (s, m, h, d), 2026-11-22, or 2026-11-22T12:00:00Z."),
        (["--until", "2026-13-01"], "Give 24h (s, m, h, d), 2026-11-22, or 2026-11-22T12:00:00Z."),
        (["--address", "example.com"], "Give an IPv4 or IPv6 address."),
        (["--limit", "0"], "0 is not in the range"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(
    call: Run, settings: dict[str, str], filters: list[str], sentence: str
) -> None:
    done = call("journal", *filters, settings=settings)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert sentence in done.stderr
