"""The admin port: /livez, /readyz and /metrics. Never on the public one."""

from dataclasses import dataclass

import structlog
from aiohttp import hdrs, web

from authsvc.flows.readiness import Readiness, ReadinessCheck
from authsvc.metrics import CONTENT_TYPE, Metrics
from authsvc.web.bodies import json_response
from authsvc.web.middleware import API_CSP, SECURITY_HEADERS
from authsvc.web.routes import MALFORMED, Handler

_HEADERS = {**SECURITY_HEADERS, "Content-Security-Policy": API_CSP, hdrs.CACHE_CONTROL: "no-store"}


@dataclass(frozen=True)
class AdminDoor:
    """Answers probes and scrapes."""

    readiness: ReadinessCheck
    metrics: Metrics

    async def livez(self, _request: web.Request) -> web.Response:
        """Say that the event loop turns; asks nobody else."""
        return json_response({"status": "alive"})

    async def readyz(self, _request: web.Request) -> web.Response:
        """Say whether requests should be sent here."""
        state = await self.readiness()
        return json_response({"status": state.value}, status=200 if state is Readiness.READY else 503)

    async def scrape(self, _request: web.Request) -> web.Response:
        """Answer with the metrics."""
        return web.Response(body=self.metrics.render(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE})

    def application(self) -> web.Application:
        """Return the application of the admin port."""
        app = web.Application(middlewares=[_answer_plainly])
        app.router.add_get("/livez", self.livez)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/metrics", self.scrape)
        return app


@web.middleware
async def _answer_plainly(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever is refused here is refused in a word, without aiohttp's name or an exception's text."""
    try:
        if MALFORMED in request:
            raise web.HTTPBadRequest  # noqa: TRY301 - the road of the router's own
        response = await handler(request)
    except web.HTTPException as refused:
        response = web.Response(status=refused.status, text=f"{refused.status}: {refused.reason}\n")
    except Exception as error:  # noqa: BLE001 - the last resort
        structlog.get_logger().error("unforeseen", exc_info=error)
        response = web.Response(status=500, text="500: Internal Server Error\n")
    response.headers.update(_HEADERS)
    return response
