"""Sessions: GET /api/auth/sessions, and DELETE of one."""

from dataclasses import dataclass
from uuid import UUID

from aiohttp import web

from authsvc.flows.sessions import Sessions
from authsvc.refusals import SessionNotFound
from authsvc.web.bodies import JSON, SESSIONS_SCHEMA, json_response, session_body
from authsvc.web.guard import IDENTITY
from authsvc.web.origins import origin_of
from authsvc.web.routes import Answer, Route


@dataclass(frozen=True)
class SessionsDoor:
    """Shows people where they are logged in."""

    sessions: Sessions

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

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "GET",
                "/api/auth/sessions",
                self.get_json,
                summary="Where the bearer is logged in",
                answers=(Answer(200, "The sessions.", JSON, SESSIONS_SCHEMA),),
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
        ]


def _session_id(text: str) -> UUID:
    try:
        session_id = UUID(text)
    except ValueError:
        raise SessionNotFound from None
    if str(session_id) != text.lower():
        raise SessionNotFound
    return session_id
