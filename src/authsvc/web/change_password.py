"""Change the password: POST /api/auth/password."""

from dataclasses import dataclass
from functools import cached_property

from aiohttp import web

from authsvc.flows.change_password import ChangePassword
from authsvc.password_policy import PasswordPolicy
from authsvc.refusals import Busy, InvalidCredentials
from authsvc.web.guard import IDENTITY
from authsvc.web.inputs import PasswordChange, password_change
from authsvc.web.origins import origin_of
from authsvc.web.reading import Shape, read_json
from authsvc.web.routes import Answer, Route


@dataclass(frozen=True)
class ChangePasswordDoor:
    """Lets people choose another password."""

    change_password: ChangePassword
    policy: PasswordPolicy

    @cached_property
    def _shape(self) -> Shape[PasswordChange]:
        return password_change(self.policy)

    async def post_json(self, request: web.Request) -> web.Response:
        """Change the password of the bearer."""
        identity, given = request[IDENTITY], await read_json(request, self._shape)
        await self.change_password.change(
            identity.subject, identity.session_id, given.current_password, given.new_password, origin_of(request)
        )
        return web.Response(status=204)

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
                refuses=(InvalidCredentials, Busy),
            )
        ]
