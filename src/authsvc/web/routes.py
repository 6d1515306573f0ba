"""The route table: each route says who may call it, what it reads, what it answers and how it refuses.

The router, the guard, the metrics' labels and the OpenAPI document are all made from it, so that they cannot disagree.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import hdrs, web

from authsvc.refusals import MalformedRequest, MethodNotAllowed, NotFound, Refusal
from authsvc.web.reading import Shape

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
MALFORMED = web.RequestKey("MALFORMED", bool)
"""There where the parser has found no HTTP: a request is made up, that the answer takes the road of all."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ANYTHING = r"{path:[\s\S]*}"


@dataclass(frozen=True)
class Answer:
    """One good answer of a route. `schema` names a schema of the document, or is one.

    `links` tells which operation takes what of it (OpenAPI 3.1 §4.8.20), by the name of the link.
    """

    status: int
    description: str
    content_type: str | None = None
    schema: Mapping[str, Any] | None = None
    headers: Mapping[str, str] | None = None
    links: Mapping[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True, eq=False)
class Route:
    """One method at one path. Not public unless it says so: a forgotten route is closed.

    Good answers of a `quiet` route leave no line in the log: it is asked at each request of other services, and the
    metrics count it.
    """

    method: str
    path: str
    handler: Handler
    summary: str
    answers: tuple[Answer, ...]
    tag: str = "Authentication"
    public: bool = False
    page: bool = False
    quiet: bool = False
    client: bool = False
    """For services: a form as OAuth has it, with the credential of the service, which is no matter of the guard."""
    reads: "Shape[Any] | None" = None
    reads_query: "Shape[Any] | None" = None
    reads_headers: Mapping[str, str] | None = None
    refuses: tuple[type[Refusal], ...] = ()

    @property
    def has_body(self) -> bool:
        """Whether it reads a body: a page's form always has its token."""
        return self.reads is not None or (self.page and self.method == "POST")

    @property
    def reads_form(self) -> bool:
        """Whether the body is an URL-encoded form, not JSON."""
        return self.page or self.client


Around = Callable[["Route | None", Handler], Handler]
"""What stands around a handler. It is called once for each route, and once for what matches none."""

ROUTES: web.AppKey[Mapping[web.AbstractRoute, Route]] = web.AppKey("ROUTES")
AROUND: web.AppKey[Sequence[Around]] = web.AppKey("AROUND")


def install(app: web.Application, table: Iterable[Route], around: Sequence[Around] = ()) -> None:
    """Add the routes to the router, HEAD beside each GET, and remember which is which; `around` begins outermost.

    aiohttp's own middlewares would find the route anew for each request. `{path}` stands for the rest of the address,
    slashes and newlines included.
    """
    installed: dict[web.AbstractRoute, Route] = {}
    for route in table:
        methods = (route.method, "HEAD") if route.method == "GET" else (route.method,)
        pattern = route.path.replace("{path}", _ANYTHING)
        handler = _within(around, route, route.handler)
        for method in methods:
            installed[app.router.add_route(method, pattern, handler)] = route
    app.router.add_route("*", f"/{_ANYTHING}", _within(around, None, _unmatched))
    app[ROUTES], app[AROUND] = installed, around


def without_detour(app: web.Application, router: Handler) -> Handler:
    """Return what answers as `router` does, and asks it only where a request is not spelt as its route is.

    The very text of a path that holds nothing else leads to the same handler, in a fraction of the time.
    """
    direct: dict[tuple[str, str], web.UrlMappingMatchInfo] = {}
    for entry, route in app.get(ROUTES, {}).items():
        if "{" not in route.path:
            found = direct[entry.method, route.path] = web.UrlMappingMatchInfo({}, entry)
            found.add_app(app)
            found.freeze()

    def handler(request: web.Request) -> Awaitable[web.StreamResponse]:
        found = direct.get((request.method, request.raw_path))
        if found is None or hdrs.EXPECT in request.headers:
            return router(request)
        request._match_info = found  # noqa: SLF001 - where the router puts it, too
        return found.handler(request)

    return handler


def _within(around: Sequence[Around], route: Route | None, handler: Handler) -> Handler:
    for each in reversed(around):
        handler = each(route, handler)
    return handler


async def _unmatched(request: web.Request) -> web.StreamResponse:
    """Refuse an unknown path, or a method that a known one does not have, as the router does by itself."""
    if MALFORMED in request:
        raise MalformedRequest
    allowed: set[str] = set()
    for resource in {route.resource for route in request.app[ROUTES]}:
        assert resource is not None  # noqa: S101 - `install` has made them
        allowed |= (await resource.resolve(request))[1]
    if allowed:
        raise MethodNotAllowed(sorted(allowed))
    raise NotFound
