"""Register: POST /api/auth/register, and the form at /register."""

from dataclasses import dataclass
from functools import cached_property, partial
from urllib.parse import urlencode

from aiohttp import web

from authsvc.flows.register import Register
from authsvc.refusals import Busy, DatabaseUnavailable, EmailTaken, RateLimited, Refusal
from authsvc.web import notices, redirects
from authsvc.web.bodies import JSON, USER_SCHEMA, json_response, user_body
from authsvc.web.forms import NEXT, Forms
from authsvc.web.inputs import Credentials, new_credentials
from authsvc.web.notices import Notice
from authsvc.web.origins import origin_of
from authsvc.web.pages import RegisterPage
from authsvc.web.reading import Shape, read_form, read_json
from authsvc.web.routes import Answer, Route


@dataclass(frozen=True)
class RegisterDoor:
    """Opens accounts."""

    register: Register
    forms: Forms

    @cached_property
    def _shape(self) -> Shape[Credentials]:
        return new_credentials(self.register.policy)

    @cached_property
    def _page(self) -> partial[RegisterPage]:
        policy = self.register.policy
        return partial(
            RegisterPage,
            "Create your account",
            password_min_length=policy.min_length,
            password_max_length=policy.max_length,
        )

    async def post_json(self, request: web.Request) -> web.Response:
        """Open an account and answer with it."""
        # Before the body is read, as a login does.
        self.register.passwords.refuse_when_busy()
        given = await read_json(request, self._shape)
        user = await self.register(given.email, given.password, origin_of(request))
        return json_response(user_body(user), status=201, headers={"Location": "/api/auth/me"})

    async def get_page(self, request: web.Request) -> web.Response:
        """Show the empty form."""
        return self.forms.show(request, self._page)

    async def post_form(self, request: web.Request) -> web.Response:
        """Open an account and lead to the login; a refusal shows the form again with what was typed."""
        fields = await read_form(request)
        try:
            given = self.forms.read(request, fields, self._shape)
            await self.register(given.email, given.password, origin_of(request))
        except Refusal as refusal:
            return self.forms.show(request, self._page, fields=fields, refusal=refusal)
        query = urlencode({notices.QUERY: Notice.REGISTERED, NEXT: redirects.local_path(fields.get(NEXT))})
        return redirects.see_other(f"/login?{query}")

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        refuses = (EmailTaken, RateLimited, Busy, DatabaseUnavailable)
        return [
            Route(
                "POST",
                "/api/auth/register",
                self.post_json,
                summary="Open an account",
                answers=(
                    Answer(201, "The new account.", JSON, USER_SCHEMA, {"Location": "Where the account is read."}),
                ),
                public=True,
                reads=self._shape,
                refuses=refuses,
            ),
            Route(
                "GET",
                "/register",
                self.get_page,
                summary="The registration form",
                answers=(Answer(200, "The form.", "text/html"),),
                tag="Pages",
                public=True,
                page=True,
            ),
            Route(
                "POST",
                "/register",
                self.post_form,
                summary="Send the registration form",
                answers=(Answer(303, "Registered: on to the login."),),
                tag="Pages",
                public=True,
                page=True,
                reads=self._shape,
                refuses=refuses,
            ),
        ]
