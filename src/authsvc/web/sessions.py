"""Sessions: GET /api/auth/sessions, and DELETE of one; and the buttons of the account page that end them."""

from dataclasses import dataclass
from uuid import UUID

from aiohttp import web

from authsvc.flows.sessions import Sessions
from authsvc.refusals import SessionNotFound
from authsvc.web import notices
from authsvc.web.bodies import JSON, SESSIONS_SCHEMA, json_response, session_body
from authsvc.web.forms import Forms
from authsvc.web.guard import IDENTITY
from authsvc.web.notices import Notice
from authsvc.web.origins import origin_of
from authsvc.web.reading import Input, Shape, read_form
from authsvc.web.routes import Answer, Route


def _session_id(text: str) -> UUID:
    try:
        session_id = UUID(text)
    except ValueError:
        raise SessionNotFound from None
    if str(session_id) != text.lower():
        raise SessionNotFound
    return session_id


@dataclass(frozen=True)
class Chosen:
    """The session whose button was pressed."""

    session_id: UUID


CHOSEN = Shape(Chosen, {"session_id": Input(_session_id, {"type": "string", "format": "uuid"})})


_END = {
    "end": {
        "operationId": "delete_api_auth_sessions_session_id",
        "parameters": {"session_id": "$response.body#/sessions/0/id"},
        "description": "End the first of them; the others by their ids.",
    }
}


@dataclass(frozen=True)
class SessionsDoor:
    """Shows people where they are logged in."""

    sessions: Sessions
    forms: Forms

    async def get_json(self, request: web.Request) -> web.Response:
        """Answer with the sessions of the bearer."""
        identity = request[IDENTITY]
        found = await self.sessions.of(identity.subject)
        return json_response({"sessions": [session_body(session, identity.session_id) for session in found]})

    async def delete_json(self, request: web.Request) -> web.Response:
        """End one session of the bearer."""
        session_id = _session_id(request.match_info["session_id"])
        await self.sessions.end(request[IDENTITY].subject, session_id, origin_of(request))
        return web.Response(status=204)

    async def post_end(self, request: web.Request) -> web.Response:
        """End one session and lead back to the account page."""
        try:
            chosen = self.forms.read(request, await read_form(request), CHOSEN)
            await self.sessions.end(request[IDENTITY].subject, chosen.session_id, origin_of(request))
        except SessionNotFound:  # the page was open for a while
            return notices.see_other("/account", Notice.SESSION_GONE)
        return notices.see_other("/account", Notice.SESSION_ENDED)

    async def post_end_others(self, request: web.Request) -> web.Response:
        """End every session but this browser's and lead back to the account page."""
        self.forms.tokens.check(request, await read_form(request))
        identity = request[IDENTITY]
        await self.sessions.log_out_everywhere(identity.subject, origin_of(request), kept=identity.session_id)
        return notices.see_other("/account", Notice.OTHERS_ENDED)

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "GET",
                "/api/auth/sessions",
                self.get_json,
                summary="Where the bearer is logged in",
                answers=(Answer(200, "The sessions.", JSON, SESSIONS_SCHEMA, links=_END),),
                tag="Sessions",
            ),
            Route(
                "DELETE",
                "/api/auth/sessions/{session_id}",
                self.delete_json,
                summary="End one session",
                answers=(Answer(204, "Its tokens are no longer good, anywhere."),),
                tag="Sessions",
                refuses=(SessionNotFound,),
            ),
            Route(
                "POST",
                "/account/sessions/end",
                self.post_end,
                summary="End one session, at the account page",
                answers=(Answer(303, "Ended: back to the account page. Not logged in: on to the login."),),
                tag="Pages",
                page=True,
                reads=CHOSEN,
            ),
            Route(
                "POST",
                "/account/sessions/end-others",
                self.post_end_others,
                summary="End all other sessions, at the account page",
                answers=(Answer(303, "Ended: back to the account page. Not logged in: on to the login."),),
                tag="Pages",
                page=True,
            ),
        ]
