"""Verify: what reverse proxies ask about each request before they pass it on.

GET /api/auth/verify is for those that ask with a request of their own and take any 2xx (nginx `auth_request`, Traefik
ForwardAuth, Caddy `forward_auth`). Envoy's HTTP ext_authz asks with the method and the path of the client, behind a
prefix, and takes 200 alone.

The busiest routes of the service: all that they need is in the token and in memory.
"""

from aiohttp import web

from authsvc.web.guard import IDENTITY
from authsvc.web.routes import Answer, Route

USER_ID = "X-Auth-User-Id"
SESSION_ID = "X-Auth-Session-Id"
_WHO = {USER_ID: "The subject (`sub`) of the token.", SESSION_ID: "Its session (`sid`)."}
# Whatever else a client may send, Envoy is answered 405, and refuses it.
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


async def get(request: web.Request) -> web.Response:
    """Tell the proxy who is asking."""
    return web.Response(status=204, headers=_headers(request))


async def any_method(request: web.Request) -> web.Response:
    """Tell Envoy who is asking; nothing is changed, whatever the method."""
    return web.Response(headers=_headers(request))


def _headers(request: web.Request) -> dict[str, str]:
    identity = request[IDENTITY]
    return {USER_ID: identity.subject_text, SESSION_ID: identity.session_text}


def routes() -> list[Route]:
    """Return the routes of this door."""
    return [
        Route(
            "GET",
            "/api/auth/verify",
            get,
            summary="Who is asking, for a reverse proxy",
            answers=(Answer(204, "The request may pass.", headers=_WHO),),
            tag="Proxies",
            quiet=True,
        ),
        *(
            Route(
                method,
                "/api/auth/verify/envoy/{path}",
                any_method,
                summary=f"Who is asking with {method}, for Envoy's ext_authz",
                answers=(Answer(200, "The request may pass.", headers=_WHO),),
                tag="Proxies",
                quiet=True,
            )
            for method in _METHODS
        ),
    ]
