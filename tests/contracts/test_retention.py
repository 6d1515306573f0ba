"""docs/retention.md and the code keep the same rows for the same time."""

import re
from datetime import timedelta
from pathlib import Path

from authsvc.config import settings
from authsvc.flows.sweep import retention

DOCUMENT = (Path(__file__).parents[2] / "docs" / "retention.md").read_text("utf-8")
ROW = re.compile(
    r"^\| `(\w+)` \| (.+?) \| (\d+) (days?|minutes)(?: \(`AUTHSVC_JOURNAL_DAYS`\))? \| (.+) \|$", re.MULTILINE
)
[DAYS] = (setting.default for setting in settings() if setting.name == "AUTHSVC_JOURNAL_DAYS")


def test_the_table_of_the_document_is_that_of_the_code() -> None:
    units = {"day": timedelta(days=1), "days": timedelta(days=1), "minutes": timedelta(minutes=1)}
    told = [(table, rows, int(count) * units[unit], since) for table, rows, count, unit, since in ROW.findall(DOCUMENT)]
    assert told == [(line.table, line.rows, line.kept, line.since) for line in retention(int(DAYS or 0))]


def test_the_setting_shortens_every_line_of_the_journal() -> None:
    kept = [line.kept for line in retention(7) if line.table == "journal"]
    assert kept == [timedelta(days=7)] * 2
