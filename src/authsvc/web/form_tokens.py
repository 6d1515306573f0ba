"""The token in each form: an HMAC over this browser's nonce cookie and its session (OWASP's signed double submit)."""

import base64
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from aiohttp import web

from authsvc.entropy import Entropy
from authsvc.refusals import StaleForm
from authsvc.web.cookies import Cookie
from authsvc.web.guard import IDENTITY

FIELD = "form_token"
_NONCE = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)


@dataclass(frozen=True)
class FormTokens:
    """Issues and checks form tokens. The first key makes them; every key is good for checking."""

    keys: Sequence[bytes]
    cookie: Cookie
    entropy: Entropy

    def nonce(self, request: web.Request) -> str:
        """Return this browser's nonce, or a new one: the page that shows a form sets the cookie."""
        return self._shown(request) or base64.urlsafe_b64encode(self.entropy.token_bytes(24)).decode()

    def issue(self, request: web.Request, nonce: str) -> str:
        """Return the token for a form on a page of this request."""
        return self._token(self.keys[0], request, nonce)

    def check(self, request: web.Request, fields: dict[str, str]) -> None:
        """Accept a form that this browser was shown in its present session.

        Raises:
            StaleForm: its token is missing, edited, another browser's or an earlier session's.
        """
        nonce, given = self._shown(request), fields.get(FIELD, "")
        if nonce is None or not given.isascii():
            raise StaleForm
        if not any(hmac.compare_digest(self._token(key, request, nonce), given) for key in self.keys):
            raise StaleForm

    def _shown(self, request: web.Request) -> str | None:
        """Return the nonce that this browser was given; never a text that is none of ours, for it is sent back."""
        value = self.cookie.read(request)
        return value if value is not None and _NONCE.fullmatch(value) else None

    def _token(self, key: bytes, request: web.Request, nonce: str) -> str:
        identity = request.get(IDENTITY)
        bound_to = f"{nonce}\n{identity.session_id if identity else ''}"
        return base64.urlsafe_b64encode(hmac.digest(key, bound_to.encode(), "sha256")).decode()
