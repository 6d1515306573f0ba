"""What a page says about what was just done.

The page before names it in the query: a link made by somebody else can choose among these sentences, and never write
one.
"""

from collections.abc import Mapping
from urllib.parse import urlencode

from aiohttp import web

from authsvc.web import redirects

QUERY = "notice"

REGISTERED = "registered"
LOGGED_OUT = "logged-out"
SESSION_ENDED = "session-ended"
OTHERS_ENDED = "others-ended"

ON_LOGIN: Mapping[str, str] = {
    REGISTERED: "Your account is ready. Log in.",
    LOGGED_OUT: "You are no longer logged in, and nothing was changed. Log in, and try again.",
}
ON_ACCOUNT: Mapping[str, str] = {
    SESSION_ENDED: "That browser is logged out.",
    OTHERS_ENDED: "Every other browser is logged out.",
}


def of(request: web.Request, sentences: Mapping[str, str]) -> str | None:
    """Return the sentence that the request names among those of its page."""
    return sentences.get(request.query.get(QUERY, ""))


def see_other(path: str, notice: str) -> web.Response:
    """Return the answer that leads to a page of this site, which then says `notice`."""
    return redirects.see_other(f"{path}?{urlencode({QUERY: notice})}")
