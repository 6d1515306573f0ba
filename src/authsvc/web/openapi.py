"""The OpenAPI 3.1 document, made from the route table and the table of refusals."""

import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import groupby
from typing import Any

from authsvc import refusals
from authsvc.refusals import Refusal
from authsvc.web import problems
from authsvc.web.bodies import JSON, SCHEMAS
from authsvc.web.cookies import Cookies
from authsvc.web.middleware import REQUEST_ID_HEADER
from authsvc.web.reading import FORM
from authsvc.web.routes import SAFE_METHODS, Answer, Route

_READING = (refusals.UnsupportedMediaType, refusals.BodyTooLarge, refusals.BodyTimeout)
_TOKEN = (refusals.MissingCredentials, refusals.InvalidRequest, refusals.InvalidToken)
_ABOUT = """\
Register, log in, and ask who is asking.

Every error of the API is a problem document (RFC 9457, `application/problem+json`) whose `code` is stable; the codes
are listed below. A path answers HEAD wherever it answers GET; a method that it does not have is answered 405 with
`Allow`, and an unknown path 404. What is not well-formed HTTP is answered 400, and ends the connection.
"""
_TEXT = {"type": "string"}
_ID = {"type": "string", "format": "uuid"}
_PATH_PARAMETERS = {"path": {"type": "string", "description": "The rest of the address, slashes included."}}
_VERSION = version("authsvc")
_PROBLEM = {
    "type": "object",
    "description": "A problem document (RFC 9457 §3.1).",
    "required": ["type", "title", "status", "detail", "code", "instance"],
    "additionalProperties": False,
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "Where this problem is described."},
        "title": _TEXT,
        "status": {"type": "integer"},
        "detail": _TEXT,
        "code": {"type": "string", "description": "Stable: decide by this."},
        "instance": {"type": "string", "format": "uri", "description": "Names this occurrence by its request id."},
        "error": {"type": "string", "description": "For OAuth clients: the error of RFC 6749 §5.2."},
        "errors": {
            "type": "array",
            "description": "For `invalid_input`: every fault of the input.",
            "items": {
                "type": "object",
                "required": ["field", "code", "message"],
                "additionalProperties": False,
                "properties": {"field": _TEXT, "code": _TEXT, "message": _TEXT},
            },
        },
    },
}
_HEADERS = {
    REQUEST_ID_HEADER: {"description": "The id that the client gave, or a new one.", "schema": _TEXT},
    "WWW-Authenticate": {"description": "The challenge: of RFC 6750 §3, or Basic for services.", "schema": _TEXT},
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    "RateLimit": {
        "description": "The limit that was met: `r` is left of it, and `t` the wait in seconds.",
        "schema": _TEXT,
    },
    "RateLimit-Policy": {
        "description": "That limit: `q` are granted in `w` seconds; without `w` each further one waits longer.",
        "schema": _TEXT,
    },
}
_ERROR_HEADERS = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", "RateLimit", "RateLimit-Policy"),
    503: ("Retry-After",),
}


def document(routes: Sequence[Route], public_url: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of `routes`."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    used = {kind for route in routes for kind in refusals_of(route)}
    # The server's and the router's, and what services that verify our tokens answer while they cannot fetch our keys.
    used |= {refusals.MalformedRequest, refusals.NotFound, refusals.MethodNotAllowed, refusals.Unavailable}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "authsvc",
            "version": _VERSION,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url}],
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, "Problem": _PROBLEM},
            "headers": _HEADERS,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "client": {"type": "http", "scheme": "basic", "description": "A service: client_id, client_secret."},
                "cookie": {"type": "apiKey", "in": "cookie", "name": Cookies.of(public_url).access_token.name},
            },
            "x-problems": problems.described(
                sorted(used, key=lambda kind: (problems.status_and_title(kind), kind.code))
            ),
        },
    }


def refusals_of(route: Route) -> list[type[Refusal]]:
    """Return every refusal that a request for this route can meet, by status."""
    found: set[type[Refusal]] = {*route.refuses, refusals.InternalError}
    if route.method not in SAFE_METHODS:
        found.add(refusals.CrossSiteRequest)
    if route.has_body:
        found |= {*_READING, refusals.InvalidForm if route.reads_form else refusals.InvalidJson}
        found |= {refusals.StaleForm} if route.page else set()
    if (route.reads is not None and not route.client) or route.reads_query is not None:
        found.add(refusals.InvalidInput)
    if not route.public:
        found.add(refusals.DatabaseUnavailable)
        # A page leads who is not logged in to the login instead.
        found |= set() if route.page else set(_TOKEN)
    return sorted(found, key=lambda kind: (problems.status_and_title(kind)[0], kind.code))


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "tags": [route.tag],
        "security": _security(route),
        "responses": {**_good(route.answers), **_bad(route)},
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": _PATH_PARAMETERS.get(name, _ID)}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    if route.reads_query is not None:
        parameters += [
            {
                "name": name,
                "in": "query",
                "required": name in route.reads_query.needed,
                "schema": {key: value for key, value in field.schema.items() if key != "description"},
                "description": field.schema.get("description", ""),
            }
            for name, field in route.reads_query.fields.items()
        ]
    parameters += [
        {"name": name, "in": "header", "required": False, "schema": _TEXT, "description": text}
        for name, text in (route.reads_headers or {}).items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.has_body:
        operation["requestBody"] = {
            "required": route.page or bool(route.reads and route.reads.needed),
            "content": {FORM if route.reads_form else JSON: {"schema": _body(route)}},
        }
    return operation


def _security(route: Route) -> list[dict[str, list[str]]]:
    if route.client:
        return [{"client": []}]
    if route.public:
        return []
    return [{"cookie": []}] if route.page else [{"bearer": []}, {"cookie": []}]


def _operation_id(route: Route) -> str:
    words = re.findall(r"\w+", route.path)
    return "_".join([route.method.lower(), *(words or ["home"])])


def _body(route: Route) -> dict[str, Any]:
    fields = {name: dict(field.schema) for name, field in route.reads.fields.items()} if route.reads else {}
    needed = route.reads.needed if route.reads else []
    if route.client:  # RFC 6749 §3.2: fields that are not known are ignored
        return {"type": "object", "required": needed, "properties": fields}
    if not route.page:
        return {"type": "object", "required": needed, "additionalProperties": False, "properties": fields}
    fields["form_token"] = {"type": "string", "description": "From the page's form."}
    required = [*needed, "form_token"]
    fields["next"] = {"type": "string", "description": "A path of this site to go on to."}
    return {"type": "object", "required": required, "properties": fields}


def _good(answers: Iterable[Answer]) -> dict[str, Any]:
    return {
        str(answer.status): {
            "description": answer.description,
            "headers": {
                **_header(REQUEST_ID_HEADER),
                **{name: {"description": text, "schema": _TEXT} for name, text in (answer.headers or {}).items()},
            },
            **({"content": {answer.content_type: {"schema": answer.schema or _TEXT}}} if answer.content_type else {}),
            **({"links": answer.links} if answer.links else {}),
        }
        for answer in answers
    }


def _bad(route: Route) -> dict[str, Any]:
    by_status = groupby(refusals_of(route), key=lambda kind: problems.status_and_title(kind)[0])
    return {str(status): _problem(status, list(kinds), is_page=route.page) for status, kinds in by_status}


def _problem(status: int, kinds: list[type[Refusal]], *, is_page: bool) -> dict[str, Any]:
    codes = [kind.code for kind in kinds]
    schema = {
        "allOf": [{"$ref": "#/components/schemas/Problem"}],
        "properties": {"code": {"enum": codes}, "status": {"const": status}},
    }
    return {
        "description": " · ".join(f"`{kind.code}`: {kind.detail}" for kind in kinds),
        "headers": {
            **_header(REQUEST_ID_HEADER),
            **_header(*_ERROR_HEADERS.get(status, ())),
        },
        "content": {"text/html": {"schema": _TEXT}} if is_page else {problems.CONTENT_TYPE: {"schema": schema}},
    }


def _header(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
