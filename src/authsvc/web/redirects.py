"""Where a browser may be sent after a login: a path of this site, and nothing else."""

import re

from aiohttp import hdrs, web

DEFAULT = "/account"
MAX_LENGTH = 2048
_LOCAL_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*", re.ASCII)
# What a lenient reader could take for the start of another host, or for the end of a header.
_TREACHEROUS = re.compile(r"//|%(?:[01][0-9a-f]|2f|5c|7f)|/\.\.?(?:/|$)", re.IGNORECASE | re.ASCII)


def local_path(text: str | None) -> str:
    """Return `text` where it is a plain path of this site (with its query), else the account page."""
    if text is None or len(text) > MAX_LENGTH or not _LOCAL_PATH.fullmatch(text) or _TREACHEROUS.search(text):
        return DEFAULT
    return text


def see_other(path: str) -> web.Response:
    """Return the answer that leads to a path of this site by GET, whatever the method was (RFC 9110 §15.4.4)."""
    return web.Response(status=303, headers={hdrs.LOCATION: path})
