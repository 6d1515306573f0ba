"""The public keys: GET /.well-known/jwks.json."""

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from authsvc.web.bodies import json_response
from authsvc.web.routes import Answer, Route

MAX_AGE_SECONDS = 300


@dataclass(frozen=True)
class KeysDoor:
    """Publishes the JWK set (RFC 7517 §5)."""

    published: dict[str, Any]

    async def get_json(self, _request: web.Request) -> web.Response:
        """Answer with the public keys; empty where the secret is shared."""
        return json_response(self.published, headers={"Cache-Control": f"public, max-age={MAX_AGE_SECONDS}"})

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "GET",
                "/.well-known/jwks.json",
                self.get_json,
                summary="The keys that verify access tokens",
                answers=(
                    Answer(
                        200,
                        "The public JWK set; empty for HS256.",
                        "application/json",
                        {"$ref": "#/components/schemas/JwkSet"},
                    ),
                ),
                tag="Keys",
                public=True,
            )
        ]
