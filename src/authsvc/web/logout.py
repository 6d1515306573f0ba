"""Log out: POST /api/auth/logout and /api/auth/logout-all, and the form at the account page."""

from dataclasses import dataclass

from aiohttp import web

from authsvc.flows.sessions import Sessions
from authsvc.refusals import DatabaseUnavailable
from authsvc.web import redirects
from authsvc.web.cookies import CLEARS, Cookies
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
    """Ends sessions, and makes a browser forget its tokens."""

    sessions: Sessions
    cookies: Cookies
    tokens: FormTokens

    async def post_json(self, request: web.Request) -> web.Response:
        """End the session that asks."""
        identity = request[IDENTITY]
        await self.sessions.log_out(identity.subject, identity.session_id, origin_of(request))
        return self.cookies.goodbye(web.Response(status=204))

    async def post_all_json(self, request: web.Request) -> web.Response:
        """End every session, or every other."""
        identity, given = request[IDENTITY], await read_json(request, EVERYWHERE)
        kept = identity.session_id if given.keep_current else None
        await self.sessions.log_out_everywhere(identity.subject, origin_of(request), kept=kept)
        return web.Response(status=204) if given.keep_current else self.cookies.goodbye(web.Response(status=204))

    async def post_form(self, request: web.Request) -> web.Response:
        """End the session, clear the cookies and lead to the login."""
        fields = await read_form(request)
        identity = request.get(IDENTITY)
        if identity is not None:
            self.tokens.check(request, fields)
            await self.sessions.log_out(identity.subject, identity.session_id, origin_of(request))
        return self.cookies.goodbye(redirects.see_other("/login"))

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "POST",
                "/api/auth/logout",
                self.post_json,
                summary="End this session",
                answers=(Answer(204, "Its tokens are no longer good, anywhere.", headers=CLEARS),),
                tag="Sessions",
            ),
            Route(
                "POST",
                "/api/auth/logout-all",
                self.post_all_json,
                summary="End all sessions, or all others",
                answers=(Answer(204, "Their tokens are no longer good, anywhere."),),
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
