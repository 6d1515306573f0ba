"""Profile: GET /api/auth/me, and the account page."""

from dataclasses import dataclass
from functools import partial
from uuid import UUID

from aiohttp import web

from authsvc.flows.profile import Profile
from authsvc.flows.sessions import Session, Sessions
from authsvc.refusals import DatabaseUnavailable
from authsvc.web import notices, user_agents
from authsvc.web.bodies import JSON, USER_SCHEMA, json_response, user_body
from authsvc.web.forms import Forms
from authsvc.web.guard import IDENTITY
from authsvc.web.pages import AccountPage, HomePage, SessionRow
from authsvc.web.routes import Answer, Route


@dataclass(frozen=True)
class ProfileDoor:
    """Shows people and programs who they are."""

    profile: Profile
    sessions: Sessions
    forms: Forms

    async def get_json(self, request: web.Request) -> web.Response:
        """Answer with the account of the bearer."""
        return json_response(user_body(await self.profile(request[IDENTITY].subject)))

    async def get_home(self, request: web.Request) -> web.Response:
        """Show the first page; who is not logged in needs no cookie for it."""
        page = partial(HomePage, "Welcome")
        return self.forms.response(request, page) if IDENTITY in request else self.forms.pages.response(page())

    async def get_account(self, request: web.Request) -> web.Response:
        """Show the account, and where it is logged in, with a button for each place."""
        identity = request[IDENTITY]
        user = await self.profile(identity.subject)
        found = await self.sessions.of(identity.subject)
        page = partial(
            AccountPage,
            "Your account",
            email=user.email,
            subject=str(user.public_id),
            created_at=user.created_at,
            sessions=_rows(found, identity.session_id),
            notice=notices.of(request, notices.ON_ACCOUNT),
        )
        return self.forms.response(request, page)

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "GET",
                "/api/auth/me",
                self.get_json,
                summary="Who the bearer is",
                answers=(Answer(200, "The account of the bearer.", JSON, USER_SCHEMA),),
                refuses=(DatabaseUnavailable,),
            ),
            Route(
                "GET",
                "/",
                self.get_home,
                summary="The first page",
                answers=(Answer(200, "The page.", "text/html"),),
                tag="Pages",
                public=True,
                page=True,
            ),
            Route(
                "GET",
                "/account",
                self.get_account,
                summary="The account page",
                answers=(
                    Answer(200, "The page.", "text/html"),
                    Answer(303, "Not logged in: on to the login, and back here after it."),
                ),
                tag="Pages",
                page=True,
                refuses=(DatabaseUnavailable,),
            ),
        ]


def _rows(found: list[Session], current: UUID) -> list[SessionRow]:
    """Return a row for each session, this browser's first."""
    rows = [
        SessionRow(
            id=str(session.id),
            name=user_agents.readable(session.agent),
            address=session.address,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            current=session.id == current,
        )
        for session in found
    ]
    return sorted(rows, key=lambda row: not row.current)
