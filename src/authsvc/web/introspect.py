"""Introspection: POST /api/auth/introspect, for services with a credential (RFC 7662)."""

from dataclasses import dataclass

from aiohttp import web

from authsvc.flows.clients import ClientCheck
from authsvc.flows.introspect import ActiveRefreshToken, Identity, Introspect
from authsvc.web.bodies import INTROSPECTION_SCHEMA, JSON, json_response
from authsvc.web.routes import Answer, Route
from authsvc.web.service_clients import REFUSES, SHAPE, read_token


@dataclass(frozen=True)
class IntrospectDoor:
    """Tells services what a token is worth."""

    check: ClientCheck
    introspect: Introspect

    async def post_form(self, request: web.Request) -> web.Response:
        """Answer with what an active token says, and nothing but that about any other."""
        return json_response(_body(await self.introspect(await read_token(request, self.check))))

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "POST",
                "/api/auth/introspect",
                self.post_form,
                summary="What a token is worth",
                answers=(Answer(200, "Whether it is active, and what it says if it is.", JSON, INTROSPECTION_SCHEMA),),
                tag="Services",
                public=True,
                client=True,
                reads=SHAPE,
                refuses=REFUSES,
            )
        ]


def _body(token: Identity | ActiveRefreshToken | None) -> dict[str, object]:
    match token:
        case None:
            return {"active": False}
        case ActiveRefreshToken():
            return {
                "active": True,
                "token_type": "refresh_token",
                "sub": str(token.subject),
                "sid": str(token.session_id),
                "exp": int(token.expires_at.timestamp()),
            }
        case Identity():
            return {
                "active": True,
                "token_type": "Bearer",
                "iss": token.issuer,
                "sub": str(token.subject),
                "aud": token.audience,
                "exp": token.expires_at,
                "iat": token.issued_at,
                "jti": token.token_text,
                "sid": str(token.session_id),
            }
