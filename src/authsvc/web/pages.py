"""The browser's pages: jinja2 with strict undefined, one dataclass a page, and the static files."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import aiohttp_jinja2
import jinja2
from aiohttp import hdrs, web

from authsvc import resources
from authsvc.web.routes import Answer, Route

STATIC = Path(__file__).resolve().parent / "static"
STATIC_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_ONE_YEAR = 31_536_000


@dataclass(frozen=True)
class Page:
    """What every template needs. With `signed_in` there is a button to log out, which needs `form_token`.

    None: nobody looked who is asking, and the header leads to the account, or else to the login.
    """

    template: ClassVar[str]
    title: str
    signed_in: bool | None = field(default=False, kw_only=True)
    form_token: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class HomePage(Page):
    """The first page."""

    template: ClassVar[str] = "home.html"


@dataclass(frozen=True, kw_only=True)
class FormPage(Page):
    """A page with a form of its own; `errors` are sentences by field."""

    next: str
    email: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    alert: str | None = None


@dataclass(frozen=True, kw_only=True)
class RegisterPage(FormPage):
    """Open an account."""

    template: ClassVar[str] = "register.html"
    password_min_length: int
    password_max_length: int


@dataclass(frozen=True, kw_only=True)
class LoginPage(FormPage):
    """Log in; `notice` says what just happened."""

    template: ClassVar[str] = "login.html"
    notice: str | None = None


@dataclass(frozen=True, kw_only=True)
class SessionRow:
    """One place where the account is logged in; `name` is that of the browser, `current` the one that asks."""

    id: str
    name: str
    address: str | None
    created_at: datetime
    last_used_at: datetime
    current: bool


@dataclass(frozen=True, kw_only=True)
class AccountPage(Page):
    """The account of who is logged in; `notice` says what just happened."""

    template: ClassVar[str] = "account.html"
    email: str
    subject: str
    created_at: datetime
    sessions: Sequence[SessionRow]
    notice: str | None = None


@dataclass(frozen=True, kw_only=True)
class ChangePasswordPage(FormPage):
    """Choose another password; `account` is the address of who is logged in."""

    template: ClassVar[str] = "change_password.html"
    account: str
    password_min_length: int
    password_max_length: int


@dataclass(frozen=True, kw_only=True)
class DeleteAccountPage(FormPage):
    """Delete the account of this address."""

    template: ClassVar[str] = "delete_account.html"
    account: str


@dataclass(frozen=True, kw_only=True)
class ActivityRow:
    """One thing that happened, in a sentence; a warning is what nobody does on purpose."""

    sentence: str
    is_warning: bool
    at: datetime
    address: str | None
    browser: str | None


@dataclass(frozen=True, kw_only=True)
class ActivityPage(Page):
    """What happened to the account, the newest first."""

    template: ClassVar[str] = "activity.html"
    entries: Sequence[ActivityRow]


@dataclass(frozen=True, kw_only=True)
class ProblemPage(Page):
    """A refusal, for a person."""

    template: ClassVar[str] = "problem.html"
    signed_in: bool | None = None
    status: int
    heading: str
    detail: str
    request_id: str


@dataclass(frozen=True, kw_only=True)
class DocsPage(Page):
    """The API's reference, rendered here from the OpenAPI document."""

    template: ClassVar[str] = "docs.html"
    signed_in: bool | None = None
    document: Mapping[str, Any]


class Pages:
    """Renders pages and holds the static files."""

    _templates: jinja2.Environment

    def __init__(self) -> None:
        """Read the files, which are few and small."""
        self._sources = {
            path.name: path.read_text("utf-8") for path in sorted(resources.folder("templates").glob("*.html"))
        }
        self._static = {
            path.name: path.read_bytes() for path in sorted(STATIC.iterdir()) if path.suffix in STATIC_TYPES
        }

    def install(self, app: web.Application) -> None:
        """Set up the templates of `app`, compiled, so that no request waits for a file or a compiler."""
        self._templates = aiohttp_jinja2.setup(
            app,
            loader=jinja2.DictLoader(self._sources),
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals["static"] = self.static_url
        for name in self._sources:
            self._templates.get_template(name)

    def render(self, page: Page) -> str:
        """Return the HTML of a page."""
        return self._templates.get_template(page.template).render(page=page)

    def response(self, page: Page, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
        """Return a page as an answer."""
        return web.Response(text=self.render(page), content_type="text/html", status=status, headers=headers)

    def static_url(self, name: str) -> str:
        """Return the address of a static file; it changes with the file's content, so that it can be kept for ever."""
        return f"/static/{name}?v={_version(self._static[name])}"

    def routes(self) -> list[Route]:
        """Return one route for each static file."""
        return [self._static_route(name, body) for name, body in self._static.items()]

    def _static_route(self, name: str, body: bytes) -> Route:
        content_type, version = STATIC_TYPES[Path(name).suffix], _version(body)
        for_ever = {hdrs.CACHE_CONTROL: f"public, max-age={_ONE_YEAR}, immutable"}

        async def handler(request: web.Request) -> web.StreamResponse:
            # While a new version rolls out its pages may ask here, at the old one: to be kept as the new one's file
            # would outlive the roll-out by a year.
            headers = for_ever if request.query.get("v") == version else None
            return web.Response(body=body, content_type=content_type, charset="utf-8", headers=headers)

        return Route(
            "GET",
            f"/static/{name}",
            handler,
            summary=f"The file {name} of the pages",
            answers=(Answer(200, "The file.", content_type),),
            tag="Pages",
            public=True,
        )


def _version(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
