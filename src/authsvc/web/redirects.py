"""Where a browser may be sent after a login: a path of this site, and nothing else."""

import re

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
