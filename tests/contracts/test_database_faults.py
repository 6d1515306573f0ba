"""The operator's table of faults is the one that the log speaks by."""

import re
from pathlib import Path

from authsvc.store.faults import FAULTS

ROOT = Path(__file__).parents[2]


def test_operations_explains_every_word_of_the_log() -> None:
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    section = text.partition("## When the database fails")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
    assert rows[1:] == [(fault.word, fault.advice) for fault in dict.fromkeys(FAULTS.values())]
