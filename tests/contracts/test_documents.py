"""What the documents on security name exists: tests, files, settings."""

import ast
import re
from pathlib import Path

import pytest

from authsvc.config import settings

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("SECURITY.md", "docs/threat-model.md")
_NAMED = re.compile(r"`((?:tests|src|sql|migrations|\.ci)/[\w./-]+?)(?:::(\w+))?`")
_LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
_SETTING = re.compile(r"AUTHSVC_[A-Z_]*[A-Z]")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_test_and_file_that_is_named_exists(name: str) -> None:
    named = _NAMED.findall((ROOT / name).read_text())
    missing = [f"{path}::{test}" if test else path for path, test in named if not _exists(ROOT / path, test)]
    assert missing == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    document = ROOT / name
    assert [link for link in _LINK.findall(document.read_text()) if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_setting_that_is_named_exists(name: str) -> None:
    known = {each for setting in settings() for each in (setting.name, f"{setting.name}_FILE")}
    assert set(_SETTING.findall((ROOT / name).read_text())) - known == set()


def _exists(path: Path, test: str) -> bool:
    if not test:
        return path.exists()
    if not path.exists():
        return False
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return any(isinstance(node, functions) and node.name == test for node in ast.walk(ast.parse(path.read_text())))
