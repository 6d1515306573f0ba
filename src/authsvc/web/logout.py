"""Log out: the form at the account page."""

from dataclasses import dataclass

from aiohttp import web

from authsvc.web import redirects
from authsvc.web.cookies import Cookie
from authsvc.web.form_tokens import FormTokens
from authsvc.web.reading import read_form
from authsvc.web.routes import Answer, Route


@dataclass(frozen=True)
class LogoutDoor:
    """Makes a browser forget its access token."""

    cookie: Cookie
    tokens: FormTokens

    async def post_form(self, request: web.Request) -> web.Response:
        """Clear the cookie and lead to the login."""
        fields = await read_form(request)
        if self.tokens.guard.signed_in(request) is not None:
            self.tokens.check(request, fields)
        response = redirects.see_other("/login")
        self.cookie.clear(response)
        return response

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "POST",
                "/logout",
                self.post_form,
                summary="Log out of the pages",
                answers=(Answer(303, "Logged out: on to the login.", headers={"Set-Cookie": "Clears the cookie."}),),
                tag="Pages",
                # A browser whose access token has expired meanwhile may still ask to forget it.
                public=True,
                page=True,
            )
        ]
