"""What the forms of the pages share: their token, where they lead, and a refusal said beside the field it is about.

On every page for who is logged in there is one: the button that logs out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from authsvc import refusals
from authsvc.refusals import FieldFault, InvalidInput, Refusal
from authsvc.web import problems, redirects
from authsvc.web.form_tokens import FIELD, FormTokens
from authsvc.web.guard import IDENTITY
from authsvc.web.pages import FormPage, Page, Pages
from authsvc.web.reading import Shape, T

NEXT = "next"
_BESIDE = frozenset({"email", "password", "current_password", "new_password"})
"""The fields of our forms; what is wrong with any other is said above the form."""


@dataclass(frozen=True)
class Forms:
    """Shows forms and reads them."""

    pages: Pages
    tokens: FormTokens

    def response(
        self,
        request: web.Request,
        page: Callable[..., Page],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """Return a page with the token of its forms, and the cookie that the token is good with."""
        nonce = self.tokens.nonce(request)
        shown = page(signed_in=IDENTITY in request, form_token=self.tokens.issue(request, nonce))
        response = self.pages.response(shown, status=status, headers=headers)
        self.tokens.cookie.write(response, nonce, None)
        return response

    def show(
        self,
        request: web.Request,
        page: Callable[..., FormPage],
        *,
        fields: Mapping[str, str] | None = None,
        refusal: Refusal | None = None,
        **more: Any,  # noqa: ANN401 - the fields of the page's own class
    ) -> web.Response:
        """Return a page with its form: empty, or with what was typed (never the password) and why it was refused."""
        fields = fields or {}
        status, headers, errors, alert = _explain(refusal)
        filled = partial(
            page,
            next=redirects.local_path(fields.get(NEXT, request.query.get(NEXT))),
            email=fields.get("email", ""),
            errors=errors,
            alert=alert,
            **more,
        )
        return self.response(request, filled, status=status, headers=headers)

    def read(self, request: web.Request, fields: dict[str, str], shape: Shape[T]) -> T:
        """Return the typed input of a form that this browser was shown.

        Raises:
            StaleForm: its token is not good.
            InvalidInput: its fields are at fault.
        """
        self.tokens.check(request, fields)
        return shape.read({name: value for name, value in fields.items() if name not in (FIELD, NEXT)})


def wrong_password(field: str) -> InvalidInput:
    """Return the refusal of who is logged in, and did not give the password again in this field."""
    return InvalidInput([FieldFault(field, "wrong_password", "This is not your password.")])


def _explain(refusal: Refusal | None) -> tuple[int, dict[str, str], dict[str, str], str | None]:
    """Return status, headers, sentences by field, and the sentence for the form as a whole."""
    if refusal is None:
        return 200, {}, {}, None
    status, headers = problems.status_and_title(type(refusal))[0], problems.headers_of(refusal)
    if isinstance(refusal, InvalidInput):
        errors = {fault.field: fault.message for fault in reversed(refusal.faults)}
        return status, headers, errors, None if errors.keys() <= _BESIDE else refusal.detail
    if isinstance(refusal, refusals.EmailTaken):
        return status, headers, {"email": refusal.detail}, None
    return status, headers, {}, refusal.sentence
