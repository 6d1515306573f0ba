"""Refresh: POST /api/auth/refresh, for programs with the token in the body, for browsers with it in the cookie."""

from dataclasses import dataclass

from aiohttp import web

from authsvc.flows.refresh import Refresh
from authsvc.refusals import DatabaseUnavailable, FieldFault, InvalidGrant, InvalidInput
from authsvc.web.bodies import JSON, RENEWAL, TOKENS_SCHEMA, json_response, tokens_body
from authsvc.web.cookies import Cookies
from authsvc.web.origins import origin_of
from authsvc.web.reading import Input, Shape, read_json
from authsvc.web.routes import Answer, Route


@dataclass(frozen=True)
class Presented:
    """The refresh token of the body; None where it is to be found in the cookie."""

    refresh_token: str | None


SHAPE = Shape(
    Presented,
    {
        "refresh_token": Input(
            str,
            # An example, or those that are made of this would lack the field that all but browsers need.
            {"type": "string", "description": "Left out by a browser, which sends it as a cookie.", "examples": ["…"]},
            default=None,
        )
    },
)


@dataclass(frozen=True)
class RefreshDoor:
    """Renews sessions; answers the way it was asked."""

    refresh: Refresh
    cookies: Cookies

    async def post_json(self, request: web.Request) -> web.Response:
        """Answer with the next pair."""
        given = await read_json(request, SHAPE)
        if given.refresh_token is not None:
            return json_response(tokens_body(await self.refresh(given.refresh_token, origin_of(request))))
        in_cookie = self.cookies.refresh_token.read(request)
        if in_cookie is None:
            raise InvalidInput([FieldFault("refresh_token", "missing", "This field is needed.")])
        response = web.Response(status=204)
        self.cookies.write_tokens(response, await self.refresh(in_cookie, origin_of(request)))
        return response

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "POST",
                "/api/auth/refresh",
                self.post_json,
                summary="Renew a session",
                answers=(
                    Answer(200, "The next tokens. Use these from now on.", JSON, TOKENS_SCHEMA, links=RENEWAL),
                    Answer(204, "The next tokens are in the cookies.", headers={"Set-Cookie": "The cookies."}),
                ),
                public=True,
                reads=SHAPE,
                refuses=(InvalidGrant, DatabaseUnavailable),
            )
        ]
