"""Activity: GET /api/auth/activity, and the page that says it in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from authsvc import events
from authsvc.flows.activity import Activity, Entry
from authsvc.web import user_agents
from authsvc.web.bodies import ACTIVITY_SCHEMA, JSON, entry_body, json_response
from authsvc.web.forms import Forms
from authsvc.web.guard import IDENTITY
from authsvc.web.inputs import whole_number
from authsvc.web.pages import ActivityPage, ActivityRow
from authsvc.web.reading import Shape, read_query
from authsvc.web.routes import Answer, Route


@dataclass(frozen=True)
class Range:
    """Which entries are asked for."""

    before: int | None
    limit: int


RANGE = Shape(
    Range,
    {
        "before": whole_number(1, 2**63 - 1, "Only what came before this entry: the `next` of another answer.", None),
        "limit": whole_number(1, 100, "How many at most.", 50),
    },
)

ROWS = 20
SENTENCES: Mapping[str, str] = {
    events.UserRegistered.tag: "Account created",
    events.UserImported.tag: "Account brought here from elsewhere",
    events.UserDisabled.tag: "Account disabled by who runs this service",
    events.UserEnabled.tag: "Account enabled again by who runs this service",
    events.LoginSucceeded.tag: "Logged in",
    events.EndedByLogout.tag: "Logged out",
    events.EndedByRevocation.tag: "A session was ended by a service, or by who runs this one",
    events.EndedByLogin.tag: "A session ended: its browser logged in again",
    events.EndedByReuse.tag: "A session ended: a used refresh token came back",
    events.EndedByEviction.tag: "A session ended: there were too many, and it was used longest ago",
    events.EndedByPasswordChange.tag: "A session ended: the password was changed elsewhere",
    events.EndedByDisabling.tag: "A session ended: the account was disabled",
    events.PasswordChanged.tag: "Password changed",
    events.PasswordRehashed.tag: "Password stored anew, by today's standard",
}
"""What is said of an event, by its tag. Every event that the journal can hold about an account is here, or below."""
WARNINGS: Mapping[str, str] = {
    events.LoginFailed.tag: "Wrong password",
    events.PasswordChecksSlowed.tag: "Many wrong passwords: further attempts have to wait",
    events.LoginOfDisabledUser.tag: "Login refused: the account was disabled",
    events.PasswordChangeFailed.tag: "Wrong password, when changing it",
    events.UserDeletionFailed.tag: "Wrong password, when deleting the account",
    events.RefreshTokenReused.tag: "A used refresh token came back: the session was ended",
}


_NEXT = {
    "next": {
        "operationId": "get_api_auth_activity",
        "parameters": {"before": "$response.body#/next"},
        "description": "The next page, unless this is the last.",
    }
}


@dataclass(frozen=True)
class ActivityDoor:
    """Shows people what happened to their account."""

    activity: Activity
    forms: Forms

    async def get_json(self, request: web.Request) -> web.Response:
        """Answer with a page of the bearer's journal."""
        asked = read_query(request, RANGE)
        page = await self.activity.of(request[IDENTITY].subject, before=asked.before, limit=asked.limit)
        return json_response({"activity": [entry_body(entry) for entry in page.entries], "next": page.next})

    async def get_page(self, request: web.Request) -> web.Response:
        """Show the newest entries."""
        page = await self.activity.of(request[IDENTITY].subject, before=None, limit=ROWS)
        rows = [_row(entry) for entry in page.entries]
        return self.forms.response(request, partial(ActivityPage, "Recent activity", entries=rows))

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "GET",
                "/api/auth/activity",
                self.get_json,
                summary="What happened to the account of the bearer",
                answers=(Answer(200, "A page of it, the newest first.", JSON, ACTIVITY_SCHEMA, links=_NEXT),),
                tag="Account",
                reads_query=RANGE,
            ),
            Route(
                "GET",
                "/account/activity",
                self.get_page,
                summary="The page of what happened to the account",
                answers=(
                    Answer(200, "The page.", "text/html"),
                    Answer(303, "Not logged in: on to the login, and back here after it."),
                ),
                tag="Pages",
                page=True,
            ),
        ]


def _row(entry: Entry) -> ActivityRow:
    # What another version of the service wrote is shown by its tag.
    return ActivityRow(
        sentence={**SENTENCES, **WARNINGS}.get(entry.event, entry.event),
        is_warning=entry.event in WARNINGS,
        at=entry.recorded_at,
        address=entry.address,
        browser=user_agents.readable(entry.agent) if entry.agent else None,
    )
