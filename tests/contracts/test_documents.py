"""What the documents name exists: tests, files, settings, places linked to; and docs/asvs.md leaves nothing out."""

import ast
import re
from pathlib import Path

import pytest

from authsvc.config import settings

ROOT = Path(__file__).parents[2]
_NOT_OURS = {"build", "dist"}
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.md")]
    if path.relative_to(ROOT).parts[0] not in _NOT_OURS
)
# The others say what was, or belongs to others.
OF_NOW = [name for name in DOCUMENTS if not re.match(r"CHANGELOG|docs/decisions/|tests/vectors/", name)]
_NAMED = re.compile(r"`((?:tests|src|sql|migrations|\.ci)/[\w./-]+?)(?:::(\w+))?`")
_TEST = re.compile(r"`(?:tests|\.ci)/[\w./-]+?(?:::\w+)?`")
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_FENCED = re.compile(r"^ *(```+).*?^ *\1$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_SETTING = re.compile(r"AUTHSVC_[A-Z0-9_]*[A-Z0-9]")
ASVS = (ROOT / "docs" / "asvs.md").read_text("utf-8")
# Id, level, what it asks, how it is met, what holds it.
ASVS_ROWS = re.findall(r"^\| ([\d.]+) \| (\d) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", ASVS, re.MULTILINE)
_REASON = re.compile(r"(\*\*Not met:\*\*|\*\*In part:\*\*|Yours:|Not applicable:) \w.+")


@pytest.mark.parametrize("name", OF_NOW)
def test_every_test_and_file_that_is_named_exists(name: str) -> None:
    named = _NAMED.findall((ROOT / name).read_text())
    missing = [f"{path}::{test}" if test else path for path, test in named if not _exists(ROOT / path, test)]
    assert missing == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    document = ROOT / name
    links = _LINK.findall(_FENCED.sub("", document.read_text("utf-8")))
    assert [link for link in links if not _leads_somewhere(document, *link)] == []


@pytest.mark.parametrize("name", OF_NOW)
def test_every_setting_that_is_named_exists(name: str) -> None:
    known = {each for setting in settings() for each in (setting.name, f"{setting.name}_FILE")}
    assert set(_SETTING.findall((ROOT / name).read_text("utf-8"))) - known == set()


def test_each_requirement_of_asvs_has_one_row_or_its_chapter_a_reason() -> None:
    """The ids and levels are those of the standard, which tests/vectors holds without its texts."""
    lines = (ROOT / "tests/vectors/asvs-5.0-level-2.txt").read_text().splitlines()
    asked = [tuple(line.split()) for line in lines if not line.startswith("#")]
    left_out = set(re.findall(r"^\| V(\d+) \| \w.+ \|$", ASVS, re.MULTILINE))
    assert left_out == {"5", "17"}
    found = [(identifier, level) for identifier, level, *_texts in ASVS_ROWS]
    assert found == [(identifier, level) for identifier, level in asked if identifier.split(".")[0] not in left_out]


def test_each_requirement_of_asvs_is_held_by_a_test_or_has_its_reason() -> None:
    bare = [
        identifier
        for identifier, _level, _asks, here, held in ASVS_ROWS
        if not (_TEST.search(held) or _REASON.fullmatch(here))
    ]
    assert bare == []


def test_what_is_not_met_of_asvs_is_said_at_the_top() -> None:
    said = re.findall(r"^\| ([\d.]+) \| [^|]+ \| (?:Accepted|Open|Not built yet)[^|]* \|$", ASVS, re.MULTILINE)
    assert said == [identifier for identifier, _level, _asks, here, _held in ASVS_ROWS if here.startswith("**")]


def _leads_somewhere(document: Path, path: str, anchor: str) -> bool:
    target = document.parent / path if path else document
    return target.exists() and (not anchor or anchor in _anchors(target))


def _anchors(document: Path) -> list[str]:
    """Return where a link can lead within a document, as forges spell headings."""
    headings = _HEADING.findall(_FENCED.sub("", document.read_text("utf-8")))
    return [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]


def _exists(path: Path, test: str) -> bool:
    if not test:
        return path.exists()
    if not path.exists():
        return False
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return any(isinstance(node, functions) and node.name == test for node in ast.walk(ast.parse(path.read_text())))
