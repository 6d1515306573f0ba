"""Checks what was recorded against the installed SDK: its type hints, required arguments, and documented values.

Pulumi's mocks take any value. What the provider would refuse is said in three places of the SDK: the types of
`pulumi_gcp.<module>.<Resource>Args` and of what is nested in it, the parameters without a default, and sentences such
as `Possible values are: …` in the docstrings. This reads the three; what they do not say, it does not know.
"""

import collections.abc
import importlib
import inspect
import re
import typing
from functools import cache
from types import NoneType, UnionType
from typing import Any

import pulumi
from pulumi import _types

from tests.infra.cloud.recording import Registered

IN_PROSE = {
    ("DatabaseInstanceSettingsArgs", "availabilityType"): frozenset({"ZONAL", "REGIONAL"}),
    ("DatabaseInstanceSettingsArgs", "edition"): frozenset({"ENTERPRISE", "ENTERPRISE_PLUS"}),
    ("DatabaseInstanceSettingsArgs", "diskType"): frozenset({"PD_SSD", "PD_HDD", "HYPERDISK_BALANCED"}),
    ("DatabaseInstanceSettingsMaintenanceWindowArgs", "updateTrack"): frozenset({"canary", "stable", "week5"}),
    ("DatabaseInstanceArgs", "databaseVersion"): frozenset(f"POSTGRES_{version}" for version in range(15, 19)),
}
"""By the class's name and the argument's, values that the docstring tells in free text."""

_SAID = re.compile(
    r"(?:possible|valid|allowed|supported|accepted|acceptable) values?(?: for [\w ]{1,40}?)?(?: are| include| is)?"
    r"(?: one of)?(?: the following)?:?\s|must be one of:?\s",
    re.IGNORECASE,
)
_VALUE = re.compile(
    r"""[\s*\[]*(?:and\s+|or\s+)?(?P<quote>[`"'])(?P<quoted>[^`"'\s]+)(?P=quote)[\]\s]*(?:\([^)]*\))?,?"""
    r"""|[\s*]*(?:and\s+|or\s+)?(?P<bare>[A-Z][A-Z0-9]*_?[A-Z0-9_]+)\b,?"""
)
_PARAMETER = re.compile(r":param [^\n]*?\s?(\w+): (.*?)(?=\n\s*:param |\Z)", re.DOTALL)


def faults(resource: Registered) -> list[str]:
    """Return a sentence for each input that the SDK does not allow; of types that are not a provider's, none."""
    arguments = arguments_of(resource.type)
    return _of_object(resource.inputs, arguments, resource.type.split(":")[-1]) if arguments else []


@cache
def arguments_of(kind: str) -> Any:
    """Return the class of a type's arguments, `pulumi_gcp.sql.UserArgs`; none for a component."""
    package, path, name = kind.split(":")
    if package == "authsvc":
        return None
    module = path.split("/")[0]
    return getattr(
        importlib.import_module(f"pulumi_{package}" + ("" if module == "index" else f".{module}")), f"{name}Args"
    )


@cache
def documented(arguments: Any) -> dict[str, frozenset[str]]:
    """Return, by the name on the wire, the values that the docstring of a class of arguments allows."""
    names = _types.input_type_py_to_pulumi_names(arguments)
    found = {name: values for (kind, name), values in IN_PROSE.items() if kind == arguments.__name__}
    for name, text in _PARAMETER.findall(inspect.getdoc(arguments.__init__) or ""):
        values = frozenset(value for said in _SAID.finditer(text) for value in _values(text[said.end() :]))
        if values and name in names:
            found.setdefault(names[name], values)
    return found


@cache
def required(arguments: Any) -> frozenset[str]:
    """Return the names on the wire of the arguments without a default."""
    names = _types.input_type_py_to_pulumi_names(arguments)
    parameters = inspect.signature(arguments.__init__).parameters.values()
    return frozenset(names[each.name] for each in parameters if each.name in names and each.default is each.empty)


def _values(text: str) -> list[str]:
    values = []
    while match := _VALUE.match(text):
        values.append(match["quoted"] or match["bare"])
        text = text[match.end() :]
    return values


def _of_object(value: Any, arguments: Any, where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where} is {_shown(value)}, and should be {arguments.__name__}"]
    hints = _types.input_type_types(arguments)
    result = [
        f"{where}.{key} is missing; {arguments.__name__} requires it" for key in required(arguments) - value.keys()
    ]
    for key, each in value.items():
        if key not in hints:
            result.append(f"{where}.{key} is no argument of {arguments.__name__}")
            continue
        inside = _of(each, hints[key], f"{where}.{key}")
        result += inside or _of_values(each, documented(arguments).get(key), f"{where}.{key}")
    return result


def _of_values(value: Any, allowed: frozenset[str] | None, where: str) -> list[str]:
    scalars = [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]
    return [
        f"{where} is {each!r}, and should be one of {', '.join(sorted(allowed or ()))}"
        for each in scalars
        if allowed and each not in allowed
    ]


def _of(value: Any, hint: Any, where: str) -> list[str]:
    hint = _bare(hint)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if inspect.isclass(hint) and _types.is_input_type(hint):
        return _of_object(value, hint, where)
    if origin is collections.abc.Sequence:
        if not isinstance(value, list):
            return [f"{where} is {_shown(value)}, and should be a list"]
        return [fault for number, each in enumerate(value) for fault in _of(each, inner[0], f"{where}[{number}]")]
    if origin is collections.abc.Mapping:
        if not isinstance(value, dict):
            return [f"{where} is {_shown(value)}, and should be a mapping"]
        return [fault for key, each in value.items() for fault in _of(each, inner[1], f"{where}.{key}")]
    taken = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}.get(hint)
    fits = taken is None or (isinstance(value, taken) and (hint is bool or not isinstance(value, bool)))
    return [] if fits else [f"{where} is {_shown(value)}, and should be {hint.__name__}"]


def _bare(hint: Any) -> Any:
    """Return a hint without Optional, Awaitable and Output; one that still has several sides is anything."""
    while typing.get_origin(hint) in (typing.Union, UnionType):
        sides = [each for each in typing.get_args(hint) if each is not NoneType and not _is_later(each)]
        hint = sides[0] if len(sides) == 1 else Any
    return hint


def _is_later(hint: Any) -> bool:
    return typing.get_origin(hint) in (collections.abc.Awaitable, pulumi.Output) or hint is pulumi.Output


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {value!r}" if isinstance(value, (str, int, float, bool)) else type(value).__name__
