"""JSON as RFC 8259 means it."""

import pytest

from authsvc import strict_json


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1,]",
        "{'a': 1}",
        '{"a": 1, "a": 2}',
        '[{"b": {"a": 1, "a": 1}}]',
        "NaN",
        "[-Infinity]",
        "1e400",
        "9" * 5000,
    ],
)
def test_what_is_no_json_is_one_exception(text: str) -> None:
    """HTTP-09, REG-21."""
    with pytest.raises(ValueError):  # noqa: PT011 - the words are the parser's
        strict_json.loads(text)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_nesting_past_the_interpreter_is_the_same_exception(opening: str) -> None:
    with pytest.raises(ValueError, match="deep"):
        strict_json.loads(opening * 100_000)


def test_good_json_is_its_value() -> None:
    assert strict_json.loads(' {"a": [1, 2.5, null, true], "b": {"a": "\\u00e9"}} ') == {
        "a": [1, 2.5, None, True],
        "b": {"a": "é"},
    }
