"""The API's description: /api/openapi.json, and /api/docs, a page to read it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
from aiohttp import web

from authsvc.web import openapi
from authsvc.web.bodies import JSON
from authsvc.web.pages import DocsPage, Pages
from authsvc.web.routes import Answer, Route

PIECE_BYTES = 16 * 1024


@dataclass(frozen=True)
class DocsDoor:
    """Serves the description of `described` and of itself."""

    described: Sequence[Route]
    public_url: str
    pages: Pages

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """The OpenAPI document."""
        return openapi.document([*self.described, *self.routes()], self.public_url)

    async def get_json(self, _request: web.Request) -> web.Response:
        """Answer with the OpenAPI document."""
        return _response(self._json, content_type=JSON)

    # The bytes themselves, sent piece by piece: of each who does not take his answer no more than a piece is kept.
    @cached_property
    def _json(self) -> bytes:
        return orjson.dumps(self.document)

    @cached_property
    def _html(self) -> bytes:
        return self.pages.render(DocsPage("API reference", document=self.document)).encode()

    async def render(self, _app: web.Application) -> None:
        """Render the page, which never changes, before the first request: it takes some 100 ms."""
        _ = self._html

    async def get_page(self, _request: web.Request) -> web.Response:
        """Show the document as a page that loads nothing from elsewhere."""
        return _response(self._html, content_type="text/html", charset="utf-8")

    def routes(self) -> list[Route]:
        """Return the routes of this door."""
        return [
            Route(
                "GET",
                "/api/openapi.json",
                self.get_json,
                summary="This description, as OpenAPI 3.1",
                answers=(Answer(200, "The OpenAPI document.", JSON, {"type": "object"}),),
                tag="Description",
                public=True,
            ),
            Route(
                "GET",
                "/api/docs",
                self.get_page,
                summary="This description, as a page",
                answers=(Answer(200, "The page.", "text/html"),),
                tag="Description",
                public=True,
                page=True,
            ),
        ]


def _response(content: bytes, content_type: str, charset: str | None = None) -> web.Response:
    length = {"Content-Length": str(len(content))}
    return web.Response(body=_pieces(content), headers=length, content_type=content_type, charset=charset)


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), PIECE_BYTES):
        yield content[start : start + PIECE_BYTES]
