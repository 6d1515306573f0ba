"""Export: GET /api/auth/me/export."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import orjson
from aiohttp import web

from authsvc.flows.export_user import Entry, ExportUser
from authsvc.web.bodies import EXPORT_SCHEMA, JSON, entry_body, session_body, timestamp, user_body
from authsvc.web.guard import IDENTITY
from authsvc.web.routes import Answer, Route


@dataclass(frozen=True)
class ExportUserDoor:
    """Gives people what is held about them (GDPR Art. 15 and 20)."""

    export_user: ExportUser

    async def get_json(self, request: web.Request) -> web.Response:
        """Answer with all that is held about the bearer, as a file to keep.

        It is sent as it is read. Where the database fails meanwhile the connection ends before the last chunk, which is
        how HTTP says that this was not all (RFC 9112 §8).
        """
        identity = request[IDENTITY]
        export = await self.export_user(identity.subject)
        disabled_at = export.disabled_at
        head = {
            "user": user_body(export.user) | {"disabled_at": disabled_at and timestamp(disabled_at)},
            "sessions": [session_body(session, identity.session_id) for session in export.sessions],
        }
        return web.Response(
            body=_parts(orjson.dumps(head), export.activity),
            content_type=JSON,
            headers={"Content-Disposition": 'attachment; filename="authsvc-export.json"'},
        )

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "GET",
                "/api/auth/me/export",
                self.get_json,
                summary="All that is held about the bearer",
                answers=(
                    Answer(
                        200,
                        "All of it; of the password there is only a hash, which is not a part of it.",
                        JSON,
                        EXPORT_SCHEMA,
                        headers={"Content-Disposition": "A name for the file."},
                    ),
                ),
                tag="Account",
            )
        ]


async def _parts(head: bytes, activity: AsyncIterator[list[Entry]]) -> AsyncIterator[bytes]:
    """Write the object `head` with one member more, the array `activity`."""
    yield head[:-1] + b',"activity":['
    separator = b""
    async for page in activity:
        if page:
            yield separator + orjson.dumps([entry_body(entry) for entry in page])[1:-1]
            separator = b","
    yield b"]}"
