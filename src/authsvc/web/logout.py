"""Log out: POST /api/auth/logout and /api/auth/logout-all, and the form in the header of the pages."""

from dataclasses import dataclass

from aiohttp import web

from authsvc.flows.sessions import Sessions
from authsvc.refusals import DatabaseUnavailable
from authsvc.web import redirects
from authsvc.web.cookies import CLEARS
from authsvc.web.farewell import Farewell
from authsvc.web.form_tokens import FormTokens
from authsvc.web.guard import IDENTITY
from authsvc.web.origins import origin_of
from authsvc.web.reading import Input, Shape, read_form, read_json
from authsvc.web.routes import Answer, Route


@dataclass(frozen=True)
class Everywhere:
    """Whether the session that asks stays."""

    keep_current: bool


EVERYWHERE = Shape(Everywhere, {"keep_current": Input(bool, {"type": "boolean", "default": False}, default=False)})


@dataclass(frozen=True)
class LogoutDoor:
    """Ends sessions, and makes a browser forget its tokens where they are of one that ended."""

    sessions: Sessions
    farewell: Farewell
    tokens: FormTokens

    async def post_json(self, request: web.Request) -> web.Response:
        """End the session that asks."""
        identity = request[IDENTITY]
        await self.sessions.log_out(identity.subject, identity.session_id, origin_of(request))
        return self.farewell.of(request, web.Response(status=204), identity)

    async def post_all_json(self, request: web.Request) -> web.Response:
        """End every session, or every other."""
        identity, given = request[IDENTITY], await read_json(request, EVERYWHERE)
        kept = identity.session_id if given.keep_current else None
        await self.sessions.log_out_everywhere(identity.subject, origin_of(request), kept=kept)
        response = web.Response(status=204)
        return response if given.keep_current else self.farewell.of(request, response, identity, everywhere=True)

    async def post_form(self, request: web.Request) -> web.Response:
        """End the session, clear the cookies and lead to the login."""
        fields = await read_form(request)
        identity = request.get(IDENTITY)
        if identity is not None:
            self.tokens.check(request, fields)
            await self.sessions.log_out(identity.subject, identity.session_id, origin_of(request))
        return self.farewell.cookies.goodbye(redirects.see_other("/login"))

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "POST",
                "/api/auth/logout",
                self.post_json,
                summary="End this session",
                answers=(
                    Answer(204, "Its tokens are no longer good, anywhere. A browser that holds them forgets them."),
                ),
                tag="Sessions",
            ),
            Route(
                "POST",
                "/api/auth/logout-all",
                self.post_all_json,
                summary="End all sessions, or all others",
                answers=(
                    Answer(204, "Their tokens are no longer good, anywhere. A browser that holds some forgets them."),
                ),
                tag="Sessions",
                reads=EVERYWHERE,
            ),
            Route(
                "POST",
                "/logout",
                self.post_form,
                summary="Log out of the pages",
                answers=(Answer(303, "Logged out: on to the login.", headers=CLEARS),),
                tag="Pages",
                # A browser whose session is over may still ask to forget it.
                public=True,
                page=True,
                refuses=(DatabaseUnavailable,),
            ),
        ]
