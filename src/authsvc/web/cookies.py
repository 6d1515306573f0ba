"""The cookies of the site: a browser's two tokens, the nonce that its forms are bound to, and that it was here before.

`__Host-` (RFC 6265bis §4.1.3.2) keeps sibling hosts from setting them; on plain-http localhost, where browsers refuse
the prefix, the same without it and without `Secure`.
"""

from dataclasses import dataclass

from aiohttp import hdrs, web

from authsvc.session_tokens import TokenPair

# Not "cookies": a browser would clear those of sibling hosts, too.
CLEAR = {"Clear-Site-Data": '"cache", "storage"'}
CLEARS = {"Set-Cookie": "Clears the cookies.", "Clear-Site-Data": "What a browser keeps of this site."}
"""What the description says of it."""


@dataclass(frozen=True)
class Cookie:
    """One cookie by its full name: HttpOnly, SameSite=Lax, the whole site and no other host."""

    name: str
    secure: bool

    def read(self, request: web.Request) -> str | None:
        """Return its value; None where it is absent, or there twice: then somebody tossed one in.

        `request.cookies` strips Unicode spaces from names, and a browser lets a sibling host set `\u2000__Host-…`,
        which for it has no prefix.
        """
        sent = ";".join(request.headers.getall(hdrs.COOKIE, [])).split(";")
        pairs = [pair.strip(" \t").partition("=") for pair in sent]
        values = [value for name, _, value in pairs if name == self.name]
        return values[0] or None if len(values) == 1 else None

    def write(self, response: web.StreamResponse, value: str, max_age: int | None) -> None:
        """Set it, for `max_age` seconds or until the browser closes."""
        response.set_cookie(
            self.name, value, max_age=max_age, path="/", secure=self.secure, httponly=True, samesite="Lax"
        )

    def clear(self, response: web.StreamResponse) -> None:
        """Have the browser forget it."""
        response.del_cookie(self.name, path="/", secure=self.secure, httponly=True, samesite="Lax")


@dataclass(frozen=True)
class Cookies:
    """The cookies of the site at `public_url`."""

    access_token: Cookie
    refresh_token: Cookie
    form_nonce: Cookie
    known_browser: Cookie

    @classmethod
    def of(cls, public_url: str) -> "Cookies":
        """Return the cookies for https, or for localhost without TLS."""
        secure = public_url.startswith("https:")
        prefix = "__Host-" if secure else ""
        names = ("access_token", "refresh_token", "form_nonce", "known_browser")
        return cls(*(Cookie(f"{prefix}{name}", secure) for name in names))

    def write_tokens(self, response: web.StreamResponse, pair: TokenPair) -> None:
        """Give the browser a pair of tokens, each for as long as it is good."""
        self.access_token.write(response, pair.access_token.text, pair.access_token.expires_in)
        self.refresh_token.write(response, pair.refresh_token, pair.refresh_expires_in)

    def clear_tokens(self, response: web.StreamResponse) -> None:
        """Have the browser forget its tokens."""
        self.access_token.clear(response)
        self.refresh_token.clear(response)

    def goodbye(self, response: web.Response) -> web.Response:
        """Return the answer after it was made to have the browser forget its tokens, and what it keeps of this site."""
        response.headers.update(CLEAR)
        self.clear_tokens(response)
        return response

    def decides_tokens(self, response: web.StreamResponse) -> bool:
        """Tell whether an answer gives or takes the browser's tokens already."""
        return self.access_token.name in response.cookies
