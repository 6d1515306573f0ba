"""Typed input from JSON, a form or a query; the only reader of request bodies.

aiohttp's own `json()` and `post()` turn a dozen kinds of bad bytes into a 500, take any content type and any charset,
and let the last of two same names win.
"""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from authsvc import strict_json
from authsvc.refusals import (
    BodyTimeout,
    BodyTooLarge,
    FieldFault,
    InvalidForm,
    InvalidInput,
    InvalidJson,
    UnsupportedMediaType,
)

MAX_BODY_BYTES = 16 * 1024
BODY_SECONDS = 10
MAX_DEPTH = 16
MAX_FORM_FIELDS = 32
MAX_UNKNOWN_FIELDS = 10
"""How many are named in an answer."""
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"

# NUL cannot be stored in PostgreSQL's text, and a lone surrogate not in UTF-8.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")

T = TypeVar("T")


NEEDED = object()


@dataclass(frozen=True)
class Input:
    """How one field is read. `parse` raises ValueError with `code` and `message`; `schema` is its JSON Schema.

    It must be there, unless there is a `default`. A text, unless the schema says that it is a boolean.
    """

    parse: Callable[[Any], object]
    schema: Mapping[str, Any]
    default: object = NEEDED


@dataclass(frozen=True)
class Shape(Generic[T]):
    """A flat object: builds a `T` from exactly these fields, or says every fault at once.

    Where every field has a default, a request without a body is an empty object.
    """

    build: Callable[..., T]
    fields: Mapping[str, Input]

    @property
    def needed(self) -> list[str]:
        """The names of the fields that must be there."""
        return [name for name, field in self.fields.items() if field.default is NEEDED]

    def read(self, members: Mapping[str, object]) -> T:
        """Return the typed input.

        Raises:
            InvalidInput: fields are missing, mistyped, unknown or at fault.
        """
        faults: list[FieldFault] = []
        values: dict[str, object] = {}
        for name, field in self.fields.items():
            if name not in members and field.default is not NEEDED:
                values[name] = field.default
                continue
            try:
                is_boolean = field.schema.get("type") == "boolean"
                values[name] = field.parse(_boolean(name, members) if is_boolean else _text(name, members))
            except _FaultError as error:
                faults.append(error.fault)
            except ValueError as error:
                code, message = getattr(error, "code", "invalid"), getattr(error, "message", "This is not valid.")
                faults.append(FieldFault(name, code, message))
        faults += _faults_of_unknown([name for name in members if name not in self.fields])
        if faults:
            raise InvalidInput(faults)
        return self.build(**values)


class _FaultError(Exception):
    def __init__(self, fault: FieldFault) -> None:
        super().__init__()
        self.fault = fault


def _faults_of_unknown(names: list[str]) -> Iterator[FieldFault]:
    """Name the first of them; what comes back must not be many times what was sent."""
    shown = names[:MAX_UNKNOWN_FIELDS]
    for name in shown:
        message = "This field is not known here."
        if name is shown[-1] and (more := len(names) - len(shown)):
            message = f"This field is not known here, nor are {more} more."
        yield FieldFault(name[:64].encode("ascii", "backslashreplace").decode(), "unknown_field", message)


def _text(name: str, members: Mapping[str, object]) -> str:
    if name not in members:
        raise _FaultError(FieldFault(name, "missing", "This field is needed."))
    value = members[name]
    if not isinstance(value, str):
        raise _FaultError(FieldFault(name, "invalid_type", "This must be a text."))
    if _NO_TEXT.search(value):
        raise _FaultError(FieldFault(name, "invalid_characters", "This holds characters that no text can have."))
    return value


def _boolean(name: str, members: Mapping[str, object]) -> bool:
    value = members.get(name)
    if not isinstance(value, bool):
        raise _FaultError(FieldFault(name, "invalid_type", "This must be true or false."))
    return value


async def read_json(request: web.Request, shape: Shape[T]) -> T:
    """Return the typed input of a JSON body.

    Raises:
        MalformedRequest: the body cannot be read.
        InvalidInput: its fields are at fault.
    """
    if not shape.needed and not request.can_read_body:
        return shape.read({})
    text = await _body(request, JSON, InvalidJson)
    try:
        value = strict_json.loads(text)
    except ValueError:
        raise InvalidJson from None
    if not isinstance(value, dict) or _depth(value) > MAX_DEPTH:
        raise InvalidJson
    return shape.read(value)


async def read_form(request: web.Request) -> dict[str, str]:
    """Return the fields of an URL-encoded form.

    Raises:
        MalformedRequest: the body cannot be read, or a field is there twice.
    """
    text = await _body(request, FORM, InvalidForm)
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FORM_FIELDS)
    except ValueError:
        raise InvalidForm from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise InvalidForm
    return fields


def read_query(request: web.Request, shape: Shape[T]) -> T:
    """Return the typed input of a query.

    Raises:
        InvalidInput: its fields are at fault, or one is there twice.
    """
    twice = {name for name in request.query if len(request.query.getall(name)) > 1} & shape.fields.keys()
    if twice:
        raise InvalidInput([FieldFault(name, "duplicate", "Give this once.") for name in sorted(twice)])
    return shape.read(dict(request.query))


async def _body(request: web.Request, content_type: str, malformed: type[InvalidJson | InvalidForm]) -> str:
    given = request.headers.getall(hdrs.CONTENT_TYPE, [])
    if len(given) != 1 or request.content_type != content_type or hdrs.CONTENT_ENCODING in request.headers:
        raise UnsupportedMediaType(content_type)
    if (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(content_type)
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise BodyTooLarge
    try:
        if request.content.is_eof():  # all of it came with the head, as nearly always: no clock need be set
            data = await request.read()
        else:
            async with asyncio.timeout(BODY_SECONDS):
                data = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge from None
    except TimeoutError:
        raise BodyTimeout from None
    except (web.RequestPayloadError, ConnectionError, ValueError):  # a client that has gone away is no fault of ours
        raise malformed from None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed from None


def _depth(value: object) -> int:
    """Return how deep arrays and objects nest, without recursion."""
    depth, level = 0, [value]
    while level := [inner for each in level for inner in _children(each)]:
        depth += 1
    return depth


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
