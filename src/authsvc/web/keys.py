"""What services that verify our tokens start from: the public keys, and where everything is (RFC 8414)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from aiohttp import hdrs, web

from authsvc.key_sets import MAX_AGE_SECONDS
from authsvc.web.bodies import JSON
from authsvc.web.routes import Answer, Route

JWKS_PATH = "/.well-known/jwks.json"

_CLIENT_AUTHENTICATION = ["client_secret_basic", "client_secret_post"]
_VALIDATORS = {"ETag": "Names this version of the document.", "Cache-Control": "How long it may be kept."}


@dataclass(frozen=True)
class CachedDocument:
    """A JSON document that never changes while the service runs, and need not be sent twice (RFC 9110 §13.1.2)."""

    value: Mapping[str, Any]

    @cached_property
    def _body(self) -> bytes:
        return orjson.dumps(self.value)

    @cached_property
    def _etag(self) -> str:
        # Of the body alone: every instance with these keys gives the same.
        return hashlib.sha256(self._body).hexdigest()

    async def get(self, request: web.Request) -> web.Response:
        """Answer with the document, or with 304 where `If-None-Match` names it."""
        headers = {"ETag": f'"{self._etag}"', "Cache-Control": f"public, max-age={MAX_AGE_SECONDS}"}
        if self._is_known(request):
            return web.Response(status=304, headers=headers)
        return web.Response(body=self._body, content_type=JSON, headers=headers)

    def _is_known(self, request: web.Request) -> bool:
        # By hand, for aiohttp cannot tell * from "*". Otherwise the comparison is weak: W/ makes no difference.
        if request.headers.get(hdrs.IF_NONE_MATCH) == "*":
            return True
        return any(tag.value == self._etag for tag in request.if_none_match or ())


@dataclass(frozen=True)
class KeysDoor:
    """Publishes the JWK set (RFC 7517 §5), and the metadata of the issuer."""

    published: Mapping[str, Any]
    issuer: str
    public_url: str

    def metadata(self) -> dict[str, Any]:
        """Return the authorization server metadata (RFC 8414 §2).

        There is no authorization and no token endpoint, so the lists of what they support are empty. §3.2 would leave
        empty lists out, but §2 requires the first, and without the second two grants would count as supported. A shared
        secret has no JWK set.
        """
        keys = {"jwks_uri": f"{self.public_url}{JWKS_PATH}"} if self.published["keys"] else {}
        return {
            "issuer": self.issuer,
            **keys,
            "response_types_supported": [],
            "grant_types_supported": [],
            "introspection_endpoint": f"{self.public_url}/api/auth/introspect",
            "introspection_endpoint_auth_methods_supported": _CLIENT_AUTHENTICATION,
            "revocation_endpoint": f"{self.public_url}/api/auth/revoke",
            "revocation_endpoint_auth_methods_supported": _CLIENT_AUTHENTICATION,
            "service_documentation": f"{self.public_url}/api/docs",
        }

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            _route(
                JWKS_PATH,
                self.published,
                "JwkSet",
                "The keys that verify access tokens",
                "The public JWK set; empty for HS256.",
            ),
            _route(
                "/.well-known/oauth-authorization-server",
                self.metadata(),
                "IssuerMetadata",
                "The issuer, and where its keys and endpoints are",
                "The authorization server metadata (RFC 8414).",
            ),
        ]


def _route(path: str, value: Mapping[str, Any], schema: str, summary: str, description: str) -> Route:
    return Route(
        "GET",
        path,
        CachedDocument(value).get,
        summary=summary,
        answers=(
            Answer(200, description, JSON, {"$ref": f"#/components/schemas/{schema}"}, _VALIDATORS),
            Answer(304, "`If-None-Match` names what there is.", headers=_VALIDATORS),
        ),
        tag="Keys",
        public=True,
        reads_headers={hdrs.IF_NONE_MATCH: "ETags of the versions that the client has, or `*`."},
    )
