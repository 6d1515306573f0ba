"""JSON as RFC 8259 means it: no duplicate names, no NaN or Infinity, and one exception for all that is wrong."""

import json
import math


def loads(text: str) -> object:
    """Return the value that `text` holds.

    Raises:
        ValueError: it is no JSON, holds a name twice in one object or a number that is none, or nests too deep.
    """
    try:
        value: object = _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def _refuse_constant(_text: str) -> object:
    raise ValueError("NaN or Infinity")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number beyond all bounds")
    return value


# Built once: `json.loads` builds one for each text.
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)
