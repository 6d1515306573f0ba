"""Revocation: POST /api/auth/revoke, for services with a credential (RFC 7009)."""

from dataclasses import dataclass

from aiohttp import web

from authsvc.flows.clients import ClientCheck
from authsvc.flows.revoke import Revoke
from authsvc.web.origins import origin_of
from authsvc.web.routes import Answer, Route
from authsvc.web.service_clients import REFUSES, SHAPE, read_token


@dataclass(frozen=True)
class RevokeDoor:
    """Ends sessions by their tokens."""

    check: ClientCheck
    revoke: Revoke

    async def post_form(self, request: web.Request) -> web.Response:
        """End the session of the token, if it has one; the answer is the same (RFC 7009 §2.2)."""
        await self.revoke(await read_token(request, self.check), origin_of(request))
        return web.Response()

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "POST",
                "/api/auth/revoke",
                self.post_form,
                summary="Revoke a token, and with it its session",
                answers=(Answer(200, "Whatever it was, it is good for nothing now."),),
                tag="Services",
                public=True,
                client=True,
                reads=SHAPE,
                refuses=REFUSES,
            )
        ]
