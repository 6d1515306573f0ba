"""The admin port: /livez, /readyz and /metrics. Never on the public one."""

from dataclasses import dataclass

from aiohttp import hdrs, web

from authsvc.flows.readiness import Readiness, ReadinessCheck
from authsvc.metrics import CONTENT_TYPE, Metrics
from authsvc.web.bodies import json_response


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
        app = web.Application()
        app.router.add_get("/livez", self.livez)
        app.router.add_get("/readyz", self.readyz)
        app.router.add_get("/metrics", self.scrape)
        return app
