"""Delete one's account: DELETE /api/auth/me, and the form at /account/delete."""

from dataclasses import dataclass
from functools import cached_property, partial

from aiohttp import web

from authsvc.flows.delete_user import DeleteUser
from authsvc.flows.profile import Profile
from authsvc.password_policy import PasswordPolicy
from authsvc.refusals import Busy, InvalidCredentials, InvalidToken, RateLimited, Refusal
from authsvc.web import notices
from authsvc.web.farewell import Farewell
from authsvc.web.forms import Forms, wrong_password
from authsvc.web.guard import IDENTITY
from authsvc.web.inputs import PasswordAgain, password_again
from authsvc.web.notices import Notice
from authsvc.web.origins import origin_of
from authsvc.web.pages import DeleteAccountPage
from authsvc.web.reading import Shape, read_form, read_json
from authsvc.web.routes import Answer, Route


@dataclass(frozen=True)
class DeleteUserDoor:
    """Lets people go."""

    delete_user: DeleteUser
    profile: Profile
    policy: PasswordPolicy
    farewell: Farewell
    forms: Forms

    @cached_property
    def _shape(self) -> Shape[PasswordAgain]:
        return password_again(self.policy)

    async def delete_json(self, request: web.Request) -> web.Response:
        """Delete the account of the bearer."""
        # Before the body is read, as a login does.
        self.delete_user.passwords.refuse_when_busy()
        identity, given = request[IDENTITY], await read_json(request, self._shape)
        await self.delete_user.delete(identity.subject, identity.session_id, given.password, origin_of(request))
        return self.farewell.of(request, web.Response(status=204), identity, everywhere=True)

    async def get_page(self, request: web.Request) -> web.Response:
        """Show the form, and what it deletes."""
        return await self._show(request)

    async def post_form(self, request: web.Request) -> web.Response:
        """Delete the account, clear the cookies and lead to the login; a refusal shows the form again."""
        try:
            self.delete_user.passwords.refuse_when_busy()
        except Busy as refusal:
            return await self._show(request, refusal)
        identity, fields = request[IDENTITY], await read_form(request)
        try:
            given = self.forms.read(request, fields, self._shape)
            await self.delete_user.delete(identity.subject, identity.session_id, given.password, origin_of(request))
        except InvalidCredentials:
            return await self._show(request, wrong_password("password"))
        except InvalidToken:
            raise
        except Refusal as refusal:
            return await self._show(request, refusal)
        return self.farewell.cookies.goodbye(notices.see_other("/login", Notice.ACCOUNT_DELETED))

    async def _show(self, request: web.Request, refusal: Refusal | None = None) -> web.Response:
        user = await self.profile(request[IDENTITY].subject)
        page = partial(DeleteAccountPage, "Delete your account", account=user.email)
        return self.forms.show(request, page, refusal=refusal)

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "DELETE",
                "/api/auth/me",
                self.delete_json,
                summary="Delete the account of the bearer",
                answers=(Answer(204, "It is gone, with its sessions and what was recorded about it."),),
                tag="Account",
                reads=self._shape,
                refuses=(InvalidCredentials, RateLimited, Busy),
            ),
            Route(
                "GET",
                "/account/delete",
                self.get_page,
                summary="The form that deletes the account",
                answers=(
                    Answer(200, "The form.", "text/html"),
                    Answer(303, "Not logged in: on to the login, and back here after it."),
                ),
                tag="Pages",
                page=True,
            ),
            Route(
                "POST",
                "/account/delete",
                self.post_form,
                summary="Send the form that deletes the account",
                answers=(Answer(303, "Deleted, and the cookies are cleared; or not logged in: on to the login."),),
                tag="Pages",
                page=True,
                reads=self._shape,
                refuses=(RateLimited, Busy),
            ),
        ]
