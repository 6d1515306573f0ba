"""Delete one's account: DELETE /api/auth/me."""

from dataclasses import dataclass
from functools import cached_property

from aiohttp import web

from authsvc.flows.delete_user import DeleteUser
from authsvc.password_policy import PasswordPolicy
from authsvc.refusals import Busy, InvalidCredentials
from authsvc.web.cookies import CLEARS, Cookies
from authsvc.web.guard import IDENTITY
from authsvc.web.inputs import PasswordAgain, password_again
from authsvc.web.origins import origin_of
from authsvc.web.reading import Shape, read_json
from authsvc.web.routes import Answer, Route


@dataclass(frozen=True)
class DeleteUserDoor:
    """Lets people go."""

    delete_user: DeleteUser
    policy: PasswordPolicy
    cookies: Cookies

    @cached_property
    def _shape(self) -> Shape[PasswordAgain]:
        return password_again(self.policy)

    async def delete_json(self, request: web.Request) -> web.Response:
        """Delete the account of the bearer."""
        identity, given = request[IDENTITY], await read_json(request, self._shape)
        await self.delete_user.delete(identity.subject, identity.session_id, given.password, origin_of(request))
        return self.cookies.goodbye()

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "DELETE",
                "/api/auth/me",
                self.delete_json,
                summary="Delete the account of the bearer",
                answers=(Answer(204, "It is gone, with its sessions and what was recorded about it.", headers=CLEARS),),
                tag="Account",
                reads=self._shape,
                refuses=(InvalidCredentials, Busy),
            )
        ]
