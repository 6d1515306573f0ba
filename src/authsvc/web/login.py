"""Log in: POST /api/auth/login, and the form at /login."""

from dataclasses import dataclass
from functools import cached_property, partial

from aiohttp import web

from authsvc.flows.login import Login
from authsvc.limits import KNOWN_SECONDS
from authsvc.password_policy import PasswordPolicy
from authsvc.refusals import (
    AccountDisabled,
    Busy,
    DatabaseUnavailable,
    FieldFault,
    InvalidCredentials,
    InvalidInput,
    RateLimited,
    Refusal,
)
from authsvc.web import notices, redirects
from authsvc.web.bodies import JSON, RENEWAL, TOKENS_SCHEMA, json_response, tokens_body
from authsvc.web.cookies import Cookies
from authsvc.web.forms import NEXT, Forms
from authsvc.web.inputs import Credentials, credentials
from authsvc.web.origins import origin_of
from authsvc.web.pages import LoginPage
from authsvc.web.reading import Shape, read_form, read_json
from authsvc.web.routes import Answer, Route

DELIVERY_HEADER = "Token-Delivery"


@dataclass(frozen=True)
class LoginDoor:
    """Logs people and programs in."""

    login: Login
    policy: PasswordPolicy
    cookies: Cookies
    forms: Forms

    @cached_property
    def _shape(self) -> Shape[Credentials]:
        return credentials(self.policy)

    async def post_json(self, request: web.Request) -> web.Response:
        """Answer with the tokens; or put them into cookies, where the page's script asks for that."""
        # Before the body is read: of what is refused in a flood, its parsing would cost the most.
        self.login.passwords.refuse_when_busy()
        given = await read_json(request, self._shape)
        if _in_cookies(request):
            response = web.Response(status=204)
            await self._deliver(request, response, given)
            return response
        return json_response(tokens_body(await self.login(given.email, given.password, origin_of(request))))

    async def get_page(self, request: web.Request) -> web.Response:
        """Show the empty form."""
        notice = notices.of(request, notices.ON_LOGIN)
        return self.forms.show(request, partial(LoginPage, "Log in", notice=notice))

    async def post_form(self, request: web.Request) -> web.Response:
        """Set the cookies and lead on; a refusal shows the form again with the address that was typed."""
        fields = await read_form(request)
        try:
            given = self.forms.read(request, fields, self._shape)
            response = redirects.see_other(redirects.local_path(fields.get(NEXT)))
            await self._deliver(request, response, given)
        except Refusal as refusal:
            return self.forms.show(request, partial(LoginPage, "Log in"), fields=fields, refusal=refusal)
        return response

    async def _deliver(self, request: web.Request, response: web.Response, given: Credentials) -> None:
        """Log in, and put the tokens into the browser's cookies, in place of those that are there."""
        replaces = self.cookies.refresh_token.read(request)
        pair = await self.login(given.email, given.password, origin_of(request), replaces=replaces)
        self.cookies.write_tokens(response, pair)
        self.cookies.known_browser.write(response, self.login.mark(given.email), KNOWN_SECONDS)

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        refuses = (InvalidCredentials, AccountDisabled, RateLimited, Busy, DatabaseUnavailable)
        return [
            Route(
                "POST",
                "/api/auth/login",
                self.post_json,
                summary="Log in",
                answers=(
                    Answer(200, "The tokens of a new session.", JSON, TOKENS_SCHEMA, links=RENEWAL),
                    Answer(204, "The tokens are in HttpOnly cookies.", headers={"Set-Cookie": "The cookies."}),
                ),
                public=True,
                reads=self._shape,
                reads_headers={
                    DELIVERY_HEADER: "`cookie`: for pages of this site, whose script shall never see the token."
                },
                refuses=refuses,
            ),
            Route(
                "GET",
                "/login",
                self.get_page,
                summary="The login form",
                answers=(Answer(200, "The form.", "text/html"),),
                tag="Pages",
                public=True,
                page=True,
            ),
            Route(
                "POST",
                "/login",
                self.post_form,
                summary="Send the login form",
                answers=(Answer(303, "Logged in: on to the page asked for.", headers={"Set-Cookie": "The cookies."}),),
                tag="Pages",
                public=True,
                page=True,
                reads=self._shape,
                refuses=refuses,
            ),
        ]


def _in_cookies(request: web.Request) -> bool:
    """Tell where the tokens go. A word that is misspelt must not hand them to the script that asked not to see them."""
    asked = request.headers.getall(DELIVERY_HEADER, [])
    if asked not in ([], ["cookie"]):
        raise InvalidInput([FieldFault(DELIVERY_HEADER, "invalid", "This header must be `cookie`, or be left out.")])
    return bool(asked)
