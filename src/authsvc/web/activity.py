"""Activity: GET /api/auth/activity."""

from dataclasses import dataclass

from aiohttp import web

from authsvc.flows.activity import Activity
from authsvc.web.bodies import ACTIVITY_SCHEMA, JSON, entry_body, json_response
from authsvc.web.guard import IDENTITY
from authsvc.web.inputs import whole_number
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


@dataclass(frozen=True)
class ActivityDoor:
    """Shows people what happened to their account."""

    activity: Activity

    async def get_json(self, request: web.Request) -> web.Response:
        """Answer with a page of the bearer's journal."""
        asked = read_query(request, RANGE)
        page = await self.activity.of(request[IDENTITY].subject, before=asked.before, limit=asked.limit)
        return json_response({"activity": [entry_body(entry) for entry in page.entries], "next": page.next})

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "GET",
                "/api/auth/activity",
                self.get_json,
                summary="What happened to the account of the bearer",
                answers=(Answer(200, "A page of it, the newest first.", JSON, ACTIVITY_SCHEMA),),
                tag="Account",
                reads_query=RANGE,
            )
        ]
