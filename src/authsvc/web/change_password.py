"""Change the password: POST /api/auth/password, and the form at /account/password."""

from dataclasses import dataclass
from functools import cached_property, partial

from aiohttp import web

from authsvc.flows.change_password import ChangePassword
from authsvc.flows.profile import Profile
from authsvc.password_policy import PasswordPolicy
from authsvc.refusals import Busy, InvalidCredentials, InvalidToken, RateLimited, Refusal
from authsvc.web import notices, redirects
from authsvc.web.forms import Forms, wrong_password
from authsvc.web.guard import IDENTITY
from authsvc.web.inputs import PasswordChange, password_change
from authsvc.web.notices import Notice
from authsvc.web.origins import origin_of
from authsvc.web.pages import ChangePasswordPage
from authsvc.web.reading import Shape, read_form, read_json
from authsvc.web.routes import Answer, Route


@dataclass(frozen=True)
class ChangePasswordDoor:
    """Lets people choose another password."""

    change_password: ChangePassword
    profile: Profile
    policy: PasswordPolicy
    forms: Forms

    @cached_property
    def _shape(self) -> Shape[PasswordChange]:
        return password_change(self.policy)

    async def post_json(self, request: web.Request) -> web.Response:
        """Change the password of the bearer."""
        # Before the body is read, as a login does.
        self.change_password.passwords.refuse_when_busy()
        await self._change(request, await read_json(request, self._shape))
        return web.Response(status=204)

    async def get_page(self, request: web.Request) -> web.Response:
        """Show the empty form."""
        return await self._show(request)

    async def get_well_known(self, _request: web.Request) -> web.Response:
        """Lead a password manager to the form (W3C, A Well-Known URL for Changing Passwords)."""
        return redirects.see_other("/account/password")

    async def post_form(self, request: web.Request) -> web.Response:
        """Change the password and lead back to the account page; a refusal shows the form again, empty."""
        try:
            self.change_password.passwords.refuse_when_busy()
        except Busy as refusal:
            return await self._show(request, refusal)
        fields = await read_form(request)
        try:
            await self._change(request, self.forms.read(request, fields, self._shape))
        except InvalidCredentials:
            return await self._show(request, wrong_password("current_password"))
        except InvalidToken:
            raise
        except Refusal as refusal:
            return await self._show(request, refusal)
        return notices.see_other("/account", Notice.PASSWORD_CHANGED)

    async def _change(self, request: web.Request, given: PasswordChange) -> None:
        identity = request[IDENTITY]
        await self.change_password.change(
            identity.subject, identity.session_id, given.current_password, given.new_password, origin_of(request)
        )

    async def _show(self, request: web.Request, refusal: Refusal | None = None) -> web.Response:
        user = await self.profile(request[IDENTITY].subject)
        page = partial(
            ChangePasswordPage,
            "Change your password",
            account=user.email,
            password_min_length=self.policy.min_length,
            password_max_length=self.policy.max_length,
        )
        return self.forms.show(request, page, refusal=refusal)

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "POST",
                "/api/auth/password",
                self.post_json,
                summary="Change the password",
                answers=(Answer(204, "It is changed, and every other session has ended."),),
                tag="Account",
                reads=self._shape,
                refuses=(InvalidCredentials, RateLimited, Busy),
            ),
            Route(
                "GET",
                "/.well-known/change-password",
                self.get_well_known,
                summary="Where a password is changed, for password managers",
                answers=(Answer(303, "To the form."),),
                tag="Pages",
                public=True,
            ),
            Route(
                "GET",
                "/account/password",
                self.get_page,
                summary="The form that changes the password",
                answers=(
                    Answer(200, "The form.", "text/html"),
                    Answer(303, "Not logged in: on to the login, and back here after it."),
                ),
                tag="Pages",
                page=True,
            ),
            Route(
                "POST",
                "/account/password",
                self.post_form,
                summary="Send the form that changes the password",
                answers=(Answer(303, "Changed: back to the account page. Not logged in: on to the login."),),
                tag="Pages",
                page=True,
                reads=self._shape,
                refuses=(RateLimited, Busy),
            ),
        ]
