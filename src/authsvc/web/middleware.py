"""What stands around every request: its id, the access line, the security headers, the cross-site check."""

import re
import time
from itertools import count

from aiohttp import hdrs, web
from multidict import CIMultiDict, istr

from authsvc import logs, traceparent
from authsvc.entropy import Entropy
from authsvc.metrics import Metrics
from authsvc.web.routes import Around, Handler, Route

REFUSAL_CODE = web.RequestKey("REFUSAL_CODE", str)
"""The code of the refusal that the answer is, if it is one: for the line of the request."""
REQUEST_ID_HEADER = "X-Request-Id"
# Found faster: its case is folded once.
_REQUEST_ID_HEADER = istr(REQUEST_ID_HEADER)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)

API_CSP = "default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
PAGE_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    # The name without versions (ASVS 13.4.6).
    "Server": "authsvc",
}
# Below `no-referrer` a browser sends the page's own forms with `Origin: null` (Fetch, "Origin header"), as those of
# another site: where it sends no fetch metadata either, nobody could log in or out.
OF_PAGES = {"Referrer-Policy": "same-origin", "Content-Security-Policy": PAGE_CSP}
HSTS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}


def observe(metrics: Metrics, entropy: Entropy, public_url: str, log_request: logs.RequestLog) -> Around:
    """Return what stands outermost: gives the request its id, and the answer its headers, metric and log line."""
    everywhere = {**SECURITY_HEADERS, **(HSTS if public_url.startswith("https:") else {})}
    of_pages = CIMultiDict({**everywhere, **OF_PAGES})
    of_the_api = CIMultiDict({**everywhere, "Content-Security-Policy": API_CSP})
    # Unique across instances and starts, without asking the operating system for each request.
    instance, numbers = entropy.token_bytes(12).hex(), count(1)

    def around(route: Route | None, handler: Handler) -> Handler:
        template, quiet = (route.path, route.quiet) if route else ("unmatched", False)

        async def observed(request: web.Request) -> web.StreamResponse:
            started = time.perf_counter()
            given = request.headers.get(_REQUEST_ID_HEADER)
            request_id = (
                given if given is not None and _REQUEST_ID.fullmatch(given) else f"{instance}-{next(numbers):x}"
            )
            logs.REQUEST_ID.set(request_id)
            parent = request.headers.get(traceparent.HEADER)
            if parent is not None:  # each request has a context of its own
                logs.TRACE.set(traceparent.read(parent))
            response = await handler(request)
            headers = response.headers
            headers.extend(of_pages if headers.get(hdrs.CONTENT_TYPE, "").startswith("text/html") else of_the_api)
            headers[_REQUEST_ID_HEADER] = request_id
            headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
            seconds, status = time.perf_counter() - started, response.status
            metrics.request(request.method, template, status, seconds)
            if not quiet or status >= 300:  # noqa: PLR2004 - 2xx
                log_request(request.method, template, status, seconds, request.get(REFUSAL_CODE))
            return response

        return observed

    return around
