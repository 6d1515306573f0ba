"""Each attack, fault and race names the known failure it guards against, by a reference that anybody can look up."""

import ast
import re
from collections.abc import Iterator

from psycopg.errors import lookup

from tests.contracts.test_documents import ASVS_ROWS, ROOT

_REFERENCE = re.compile(
    r"""CVE-\d{4}-\d{4,} | GHSA(-[\da-z]{4}){3} | CWE-\d+
    | ASVS\ \d+\.\d+\.\d+ | RFC\ \d+\ §\d | NIST\ SP\ 800-\w+(-\d)?\ §\d
    | SQLSTATE\ [\dA-Z]{5} | PostgreSQL\ documentation,\ \w""",
    re.VERBOSE,
)
_ASVS = re.compile(r"ASVS ((?:\d+\.\d+\.\d+(?:, (?=\d))?)+)")


def _guards() -> Iterator[tuple[str, str]]:
    """Yield the id and the docstring of every attack, fault and race."""
    for folder in ("attacks", "faults", "races"):
        for path in sorted((ROOT / "tests" / folder).glob("test_*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    yield f"{folder}/{path.name}::{node.name}", ast.get_docstring(node) or ""


GUARDS = dict(_guards())
SAID = "\n".join(GUARDS.values())


def test_each_attack_fault_and_race_names_a_known_failure() -> None:
    assert {name.partition("/")[0] for name in GUARDS} == {"attacks", "faults", "races"}
    assert [name for name, said in GUARDS.items() if not _REFERENCE.search(said)] == []


def test_an_rfc_is_named_with_its_section() -> None:
    assert re.findall(r"RFC \d+(?! §\d|\d)", SAID) == []


def test_each_requirement_of_asvs_that_is_named_applies() -> None:
    here = {identifier: how for identifier, _level, _asks, how, _held in ASVS_ROWS}
    named = {identifier for group in _ASVS.findall(SAID) for identifier in group.split(", ")}
    assert {each for each in named if here.get(each, "Not applicable:").startswith("Not applicable:")} == set()


def test_each_sqlstate_that_is_named_is_one() -> None:
    for code in set(re.findall(r"SQLSTATE (\w+)", SAID)):
        lookup(code)
