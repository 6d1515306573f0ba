"""What every fuzzed parser needs: examples, and how many."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Claim = Callable[[Any], None]
Fuzz = Callable[[st.SearchStrategy[Any], Claim], None]
SHORT = 60
TEXT = st.text(st.characters(codec=None), max_size=60)
HEADER = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=60)


@pytest.fixture
def fuzz(pytestconfig: pytest.Config) -> Fuzz:
    """Hold a claim against many examples: the same ones each time, unless more were asked for."""
    asked = pytestconfig.getoption("--fuzz-examples")

    def run(strategy: st.SearchStrategy[Any], claim: Claim) -> None:
        def example(value: Any) -> None:
            claim(value)

        profile = settings(
            max_examples=asked or SHORT,
            derandomize=not asked,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        )
        profile(given(strategy)(example))()

    return run


def mutants(good: str, alphabet: str) -> st.SearchStrategy[str]:
    """Texts that differ from a good one in a few places: cut, doubled, changed, moved."""
    place, piece = st.integers(0, len(good)), st.text(alphabet, max_size=3)

    def edited(edits: list[tuple[int, int, str]]) -> str:
        text = good
        for start, length, new in edits:
            text = text[:start] + new + text[start + length :]
        return text

    return st.lists(st.tuples(place, st.integers(0, 3), piece), min_size=1, max_size=4).map(edited)
