"""What a page says about what was just done.

The page before names it in the query: a link made by somebody else can choose among these sentences, and never write
one.
"""

from collections.abc import Mapping
from enum import StrEnum, auto
from urllib.parse import urlencode

from aiohttp import web

from authsvc.web import redirects

QUERY = "notice"


class Notice(StrEnum):
    """What was just done."""

    REGISTERED = auto()
    LOGGED_OUT = auto()
    ACCOUNT_DELETED = auto()
    SESSION_ENDED = auto()
    SESSION_GONE = auto()
    OTHERS_ENDED = auto()
    PASSWORD_CHANGED = auto()


ON_LOGIN: Mapping[str, str] = {
    Notice.REGISTERED: "Your account is ready. Log in.",
    Notice.LOGGED_OUT: "You are no longer logged in, and nothing was changed. Log in, and try again.",
    Notice.ACCOUNT_DELETED: "Your account is deleted, and you are logged out everywhere.",
}
ON_ACCOUNT: Mapping[str, str] = {
    Notice.SESSION_ENDED: "That browser is logged out.",
    Notice.SESSION_GONE: "That browser was logged out already.",
    Notice.OTHERS_ENDED: "Every other browser is logged out.",
    Notice.PASSWORD_CHANGED: "Your password is changed; every other browser was logged out.",
}


def of(request: web.Request, sentences: Mapping[str, str]) -> str | None:
    """Return the sentence that the request names among those of its page."""
    return sentences.get(request.query.get(QUERY, ""))


def see_other(path: str, notice: Notice) -> web.Response:
    """Return the answer that leads to a page of this site, which then says `notice`."""
    return redirects.see_other(f"{path}?{urlencode({QUERY: notice})}")
