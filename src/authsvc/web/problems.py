"""Refusals as answers: RFC 9457 problem documents for the API, pages for people.

One table from refusal to status and title, looked up along the class tree; one way that every error takes, the
404 and 405 of what matches no route and the unforeseen too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson
import structlog
from aiohttp import hdrs, web

from authsvc import logs, refusals
from authsvc.refusals import Refusal
from authsvc.web import notices, redirects
from authsvc.web.middleware import REFUSAL_CODE
from authsvc.web.notices import Notice
from authsvc.web.pages import Pages, ProblemPage
from authsvc.web.routes import SAFE_METHODS, Around, Handler, Route

CONTENT_TYPE = "application/problem+json"

TABLE: dict[type[Refusal], tuple[int, str]] = {
    refusals.MalformedRequest: (400, "Malformed request"),
    refusals.InvalidJson: (400, "Invalid JSON"),
    refusals.InvalidForm: (400, "Invalid form"),
    refusals.InvalidTokenRequest: (400, "Invalid token request"),
    refusals.UnsupportedMediaType: (415, "Unsupported media type"),
    refusals.BodyTooLarge: (413, "Body too large"),
    refusals.BodyTimeout: (408, "Body too slow"),
    refusals.InvalidInput: (422, "Invalid input"),
    refusals.Unauthenticated: (401, "Not logged in"),
    refusals.MissingCredentials: (401, "Not logged in"),
    refusals.InvalidRequest: (401, "Malformed credentials"),
    refusals.InvalidToken: (401, "Invalid access token"),
    refusals.InvalidCredentials: (401, "Wrong address or password"),
    refusals.InvalidClient: (401, "Invalid client"),
    refusals.InvalidGrant: (400, "Invalid refresh token"),
    refusals.Forbidden: (403, "Not allowed"),
    refusals.CrossSiteRequest: (403, "Cross-site request"),
    refusals.StaleForm: (403, "Form no longer valid"),
    refusals.AccountDisabled: (403, "Account disabled"),
    refusals.EmailTaken: (409, "Address in use"),
    refusals.NotFound: (404, "Not found"),
    refusals.SessionNotFound: (404, "No such session"),
    refusals.MethodNotAllowed: (405, "Method not allowed"),
    refusals.RateLimited: (429, "Too many attempts"),
    refusals.Unavailable: (503, "Not available"),
    refusals.DatabaseUnavailable: (503, "Temporarily not available"),
    refusals.Busy: (503, "Too busy"),
    refusals.InternalError: (500, "Internal error"),
}


def status_and_title(refusal: type[Refusal]) -> tuple[int, str]:
    """Return the HTTP status and the title of a refusal, of its nearest ancestor where it has none of its own."""
    return next(TABLE[kind] for kind in refusal.__mro__ if kind in TABLE)


def headers_of(refusal: Refusal) -> dict[str, str]:
    """Return the headers that belong to a refusal."""
    match refusal:
        case refusals.InvalidToken() | refusals.InvalidRequest():
            # RFC 6750 §3: the code, and no hint why.
            headers = {"WWW-Authenticate": f'Bearer error="{refusal.code}"'}
        case refusals.InvalidClient():
            headers = {"WWW-Authenticate": 'Basic realm="authsvc"'}
        case refusals.Unauthenticated():
            headers = {"WWW-Authenticate": "Bearer"}
        case refusals.Unavailable():
            headers = {"Retry-After": str(refusal.retry_after)}
        case refusals.RateLimited():
            # draft-ietf-httpapi-ratelimit-headers-10: a policy by its name, and what is left of it.
            window = "" if refusal.seconds is None else f";w={refusal.seconds}"
            headers = {
                "Retry-After": str(refusal.retry_after),
                "RateLimit-Policy": f'"{refusal.limit}";q={refusal.burst}{window}',
                "RateLimit": f'"{refusal.limit}";r=0;t={refusal.retry_after}',
            }
        case refusals.MethodNotAllowed():
            headers = {"Allow": ", ".join(refusal.allowed)}
        case refusals.UnsupportedMediaType():
            headers = {"Accept-Encoding": "identity"}
        case _:
            headers = {}
    return headers


@dataclass(frozen=True)
class Problems:
    """Writes refusals as problem documents whose types live under `public_url`."""

    public_url: str

    def document(self, refusal: Refusal, request_id: str) -> dict[str, Any]:
        """Return the members of RFC 9457 §3.1, with our `code`; for input `errors`, for OAuth clients `error`."""
        status, title = status_and_title(type(refusal))
        document: dict[str, Any] = {
            "type": f"{self.public_url}/api/docs#problem-{refusal.code}",
            "title": title,
            "status": status,
            "detail": refusal.sentence,
            "code": refusal.code,
            "instance": f"urn:authsvc:request:{request_id}",
        }
        if refusal.oauth_error is not None:
            document["error"] = refusal.oauth_error
        if isinstance(refusal, refusals.InvalidInput):
            document["errors"] = [
                {"field": fault.field, "code": fault.code, "message": fault.message} for fault in refusal.faults
            ]
        return document

    def response(self, refusal: Refusal, request_id: str) -> web.Response:
        """Return the answer for a client of the API."""
        document = self.document(refusal, request_id)
        return web.Response(
            status=document["status"],
            body=orjson.dumps(document),
            content_type=CONTENT_TYPE,
            headers=headers_of(refusal),
        )


def handle_refusals(problems: Problems, pages: Pages) -> Around:
    """Return what opens the one `try` around every request."""

    def around(route: Route | None, handler: Handler) -> Handler:
        async def refusing(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except Exception as error:  # noqa: BLE001 - the last resort: whatever it is becomes an answer without details
                refusal = as_refusal(error)
            request[REFUSAL_CODE] = refusal.code
            try:
                response = answer(route, request, refusal)
            except Exception as error:  # noqa: BLE001 - a fault of these very lines must not escape to aiohttp's own page
                response = problems.response(as_refusal(error), logs.REQUEST_ID.get())
            if isinstance(refusal, (refusals.BodyTooLarge, refusals.BodyTimeout)):
                response.force_close()  # the rest of the body is not read
            return response

        return refusing

    def answer(route: Route | None, request: web.Request, refusal: Refusal) -> web.Response:
        request_id = logs.REQUEST_ID.get()
        if not wants_page(route, request):
            return problems.response(refusal, request_id)
        if isinstance(refusal, refusals.Unauthenticated):
            if request.method in SAFE_METHODS:
                return redirects.see_other("/login?" + urlencode({"next": request.raw_path}))
            return notices.see_other("/login", Notice.LOGGED_OUT)
        status, title = status_and_title(type(refusal))
        page = ProblemPage(title, status=status, heading=title, detail=refusal.sentence, request_id=request_id)
        return pages.response(page, status=status, headers=headers_of(refusal))

    return around


def as_refusal(error: Exception) -> Refusal:
    """Return the refusal that an exception stands for; whatever is unforeseen is recorded."""
    if isinstance(error, Refusal):
        return error
    structlog.get_logger().error("unforeseen", exc_info=error)
    return refusals.InternalError()


def wants_page(route: Route | None, request: web.Request) -> bool:
    """Tell whether a person in a browser asked: a page's route, or an unknown path outside the API."""
    if route is not None:
        accept = request.headers.get(hdrs.ACCEPT, "*/*")
        return route.page and ("text/html" in accept or "*/*" in accept)
    return not request.path.startswith(("/api", "/.well-known")) and "text/html" in request.headers.get("Accept", "")


def described(kinds: Iterable[type[Refusal]]) -> list[dict[str, Any]]:
    """Return code, status, title and description of refusals, for the document."""
    return [
        {"code": kind.code, "status": status, "title": title, "description": kind.detail}
        for kind in kinds
        for status, title in [status_and_title(kind)]
    ]
