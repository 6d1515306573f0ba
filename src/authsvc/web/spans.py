"""A span around each request, where traces are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.typedefs import Middleware

from authsvc import logs
from authsvc.web.middleware import REFUSAL_CODE
from authsvc.web.routes import Handler, route_of

if TYPE_CHECKING:
    from authsvc.tracing import Tracing


def traced(tracing: Tracing) -> Middleware:
    """Return the middleware that stands directly within `observe`, which has read the `traceparent`."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = route_of(request)
        with tracing.request(request.method, route.path if route else None, logs.TRACE.get()) as answered:
            response = await handler(request)
            answered(response.status, request.get(REFUSAL_CODE))
        return response

    return middleware
