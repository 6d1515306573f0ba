"""Whether another site's page sent a request (OWASP, Cross-Site Request Forgery Prevention).

Fetch metadata decides where the browser sends it, else the Origin; a client that sends neither is no browser of today,
and a form then still carries its token.
"""

from dataclasses import dataclass

from aiohttp import hdrs, web

from authsvc.refusals import CrossSiteRequest


@dataclass(frozen=True)
class SameSite:
    """Knows the origin that this service is reached at."""

    public_url: str

    def check(self, request: web.Request) -> None:
        """Accept what a page of this site, or no page at all, sends.

        Raises:
            CrossSiteRequest: another site's page sent it.
        """
        site = request.headers.get("Sec-Fetch-Site")
        if site is not None:
            is_foreign = site not in ("same-origin", "none")
        else:
            # A page cannot choose the Host header that its visitor's browser sends.
            here = f"{self.public_url.partition('://')[0]}://{request.headers.get(hdrs.HOST)}"
            is_foreign = request.headers.get(hdrs.ORIGIN, here) not in (self.public_url, here)
        if is_foreign:
            raise CrossSiteRequest
