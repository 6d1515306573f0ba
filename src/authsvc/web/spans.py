"""A span around each request, where traces are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from authsvc import logs
from authsvc.web.middleware import REFUSAL_CODE
from authsvc.web.routes import Around, Handler, Route

if TYPE_CHECKING:
    from authsvc.tracing import Tracing


def traced(tracing: Tracing) -> Around:
    """Return what stands directly within `observe`, which has read the `traceparent`."""

    def around(route: Route | None, handler: Handler) -> Handler:
        template = route.path if route else None

        async def spanned(request: web.Request) -> web.StreamResponse:
            with tracing.request(request.method, template, logs.TRACE.get()) as answered:
                response = await handler(request)
                answered(response.status, request.get(REFUSAL_CODE))
            return response

        return spanned

    return around
