"""A service of yours that knows who is asking: it verifies authsvc's tokens with the published keys.

Run `make run` in one shell and `.venv/bin/python examples/protected_service.py` in another, log in with the
printed curl line, and:

    curl -i http://127.0.0.1:8081/hello -H "Authorization: Bearer $ACCESS_TOKEN"
"""

from aiohttp import web

from authsvc.middleware import IDENTITY, public, require_jwt


async def hello(request: web.Request) -> web.Response:
    """Greet the bearer of the token."""
    return web.json_response({"hello": str(request[IDENTITY].subject)})


@public
async def index(_request: web.Request) -> web.Response:
    """Answer anyone."""
    return web.Response(text="Ask for /hello with a bearer token.\n")


def application(issuer: str = "http://127.0.0.1:8080") -> web.Application:
    """Return the service; `issuer` is authsvc's public URL."""
    app = web.Application(middlewares=[require_jwt(issuer)])
    app.add_routes([web.get("/", index), web.get("/hello", hello)])
    return app


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=8081)
