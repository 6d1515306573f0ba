"""docs/configuration.md and the code name the same settings, with the same defaults."""

import re
from pathlib import Path

from authsvc.config import PROFILES, settings

DOCUMENT = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
ROW = re.compile(r"^\| `(AUTHSVC_\w+)` \| (.+?) \| (.+) \|$", re.MULTILINE)


def test_the_table_holds_every_setting_with_its_default_and_its_meaning_in_order() -> None:
    rows = [match.groups() for match in ROW.finditer(DOCUMENT)]
    told = [(name, default) for name, default, _meaning in rows]
    assert told == [
        (setting.name, f"`{setting.default}`" if setting.default is not None else "none") for setting in settings()
    ]
    meanings = {name: meaning for name, _default, meaning in rows}
    assert not [setting.name for setting in settings() if not meanings[setting.name].startswith(setting.help)]


def test_what_can_stand_in_a_file_is_told() -> None:
    told = set(re.findall(r"`(AUTHSVC_\w+)_FILE`", DOCUMENT))
    assert told == {setting.name for setting in settings() if setting.secret}


def test_every_profile_is_told_with_its_parameters() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (\d+) KiB \| (\d+) \| (\d+) \|", DOCUMENT, re.MULTILINE)
    assert {name: tuple(int(cell) for cell in cells) for name, *cells in rows} == {
        name: (profile.memory_kib, profile.passes, profile.lanes) for name, profile in PROFILES.items()
    }


def test_no_other_setting_is_told_of() -> None:
    told = {name.removesuffix("_FILE") for name in re.findall(r"\bAUTHSVC_\w+[A-Z]", DOCUMENT)}
    assert told <= {setting.name for setting in settings()}
