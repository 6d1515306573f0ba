"""Holds every answer that any test gets against the API's description, and against what must be true of all answers."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson
from aiohttp import web
from aiohttp.payload import AsyncIterablePayload
from jsonschema import Draft202012Validator, FormatChecker

from authsvc.web import openapi
from authsvc.web.routes import ROUTES, Route

EVERYWHERE = {"x-content-type-options", "x-request-id", "cache-control", "content-security-policy", "referrer-policy"}
UNMATCHED = {400: "malformed_request", 404: "not_found", 405: "method_not_allowed", 403: "cross_site_request"}


class Witness:
    """Watches an application's answers, and remembers what is wrong with them."""

    def __init__(self, app: web.Application) -> None:
        self.faults: list[str] = []
        self.seen: set[tuple[str, str, int, str]] = set()
        self._document = openapi.document(list(dict.fromkeys(app[ROUTES].values())), "http://127.0.0.1:8080")
        app.on_response_prepare.append(self._look)

    async def _look(self, request: web.Request, response: web.StreamResponse) -> None:
        route = request.app[ROUTES].get(request.match_info.route)
        where = f"{request.method} {request.path[:80]} → {response.status}"
        missing = EVERYWHERE - {name.lower() for name in response.headers}
        if missing:
            self.faults.append(f"{where}: lacks {sorted(missing)}")
        if response.status >= 500 and response.status != 503:
            self.faults.append(f"{where}: an internal error")
        body = response.body if isinstance(response, web.Response) else None
        if isinstance(body, AsyncIterablePayload):
            body = await body.as_bytes()  # which keeps it, to be sent
        fault = self._fault_of(request, response, route, body)
        if fault:
            self.faults.append(f"{where}: {fault}")

    def _fault_of(
        self, request: web.Request, response: web.StreamResponse, route: Route | None, body: object
    ) -> str | None:
        value = orjson.loads(body) if isinstance(body, bytes) and "json" in response.content_type else None
        if request.match_info.http_exception is not None:
            return None  # it had no path, and was answered as / by another request
        if route is None:
            return self._fault_of_unmatched(response, value)
        method = "get" if request.method == "HEAD" else request.method.lower()
        answers = self._document["paths"][route.path][method]["responses"]
        code = value.get("code", "") if isinstance(value, dict) and response.status >= 400 else ""
        self.seen.add((route.method, route.path, response.status, code))
        described = answers.get(str(response.status))
        if described is None:
            return f"this status is not described (code {code})"
        if not set(described["headers"]).issubset(response.headers):
            return f"lacks a described header of {sorted(described['headers'])}"
        content = described.get("content", {})
        if body and response.content_type not in content:
            return f"is {response.content_type}, not {sorted(content)}"
        return None if value is None else self._fault_of_value(content[response.content_type]["schema"], value)

    def _fault_of_unmatched(self, response: web.StreamResponse, value: Any) -> str | None:
        if response.status not in UNMATCHED:
            return "not a described answer of an unknown path or method"
        if isinstance(value, dict) and value.get("code") != UNMATCHED[response.status]:
            return f"the code is {value.get('code')}"
        return None

    def _fault_of_value(self, schema: Mapping[str, Any], value: Any) -> str | None:
        validator = _validator(orjson.dumps({**schema, "components": self._document["components"]}))
        return next((error.message for error in validator.iter_errors(value)), None)


@lru_cache
def _validator(schema: bytes) -> Draft202012Validator:
    return Draft202012Validator(orjson.loads(schema), format_checker=FormatChecker())
