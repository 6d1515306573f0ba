"""Every page renders under strict undefined, and what it is given stays text."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any, get_type_hints

import jinja2
import pytest
from aiohttp import web

from authsvc import resources
from authsvc.app import compose
from authsvc.config import Config
from authsvc.web import openapi
from authsvc.web.pages import ActivityRow, HomePage, Page, Pages, SessionRow
from authsvc.web.routes import ROUTES
from tests.conftest import SIGNING_KEYS

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7*7 }}</textarea></title>"
HARMLESS = "Harmless"


def family(kind: type[Page]) -> Iterator[type[Page]]:
    for child in kind.__subclasses__():
        yield child
        yield from family(child)


ROWS: tuple[type, ...] = (SessionRow, ActivityRow)
PAGES = [kind for kind in family(Page) if "template" in vars(kind)]


class Skeleton(HTMLParser):
    """The tags of a page with the names of their attributes: what no value may change."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _value in attrs)))


@pytest.fixture(scope="module")
def pages() -> Pages:
    pages = Pages()
    pages.install(web.Application())
    return pages


def filled(kind: type[Any], text: str, document: Mapping[str, Any], *, sparse: bool = False) -> Any:
    """Return a page, or a row of one, with `text` wherever a text can be; `sparse`: without what may be absent."""
    examples: dict[object, Any] = {
        str: text,
        str | None: None if sparse else text,
        int: 403,
        bool: not sparse,
        bool | None: None if sparse else True,
        datetime: datetime(2026, 11, 22, tzinfo=UTC),
        Mapping[str, str]: {}
        if sparse
        else dict.fromkeys(("email", "password", "current_password", "new_password"), text),
        Mapping[str, Any]: document,
    }
    if kind not in ROWS:
        rows = {row: [filled(row, text, document, sparse=each) for each in (True, False)] for row in ROWS}
        examples[Sequence[SessionRow]] = [] if sparse else rows[SessionRow]
        examples[Sequence[ActivityRow]] = [] if sparse else rows[ActivityRow]
    hints = get_type_hints(kind)
    return kind(**{field.name: examples[hints[field.name]] for field in dataclasses.fields(kind)})


def with_text(value: Any, text: str) -> Any:
    """Return the document with `text` in place of each sentence for people."""
    if isinstance(value, Mapping):
        people = ("description", "summary", "title", "detail")
        return {
            key: text if key in people and isinstance(each, str) else with_text(each, text)
            for key, each in value.items()
        }
    return [with_text(each, text) for each in value] if isinstance(value, list | tuple) else value


@pytest.fixture(scope="module")
def document() -> Mapping[str, Any]:
    nowhere = {"AUTHSVC_DATABASE_URL": "postgresql://localhost/nowhere", "AUTHSVC_JWT_KEYS": SIGNING_KEYS}
    service = compose(Config.read(nowhere))
    return openapi.document(list(dict.fromkeys(service.public[ROUTES].values())), "http://127.0.0.1:8080")


@pytest.mark.parametrize("sparse", [False, True], ids=["full", "sparse"])
@pytest.mark.parametrize("kind", PAGES, ids=lambda kind: kind.__name__)
def test_a_page_renders_and_no_value_becomes_markup(
    kind: type[Page], pages: Pages, document: Mapping[str, Any], *, sparse: bool
) -> None:
    """FRM-11, RST-17 (ASVS 1.1.2, 3.2.2)"""
    harmless = pages.render(filled(kind, HARMLESS, with_text(document, HARMLESS), sparse=sparse))
    hostile = pages.render(filled(kind, HOSTILE, with_text(document, HOSTILE), sparse=sparse))
    assert Skeleton(hostile).tags == Skeleton(harmless).tags
    assert "<script>" not in hostile


def test_a_template_that_asks_for_more_than_its_page_has_fails(pages: Pages) -> None:
    with pytest.raises(jinja2.UndefinedError):
        pages._templates.from_string("{{ page.nothing_of_the_kind }}").render(page=HomePage("Welcome"))


def test_every_template_is_a_page_or_a_part_of_one() -> None:
    shipped = {path.name for path in resources.folder("templates").rglob("*.*")}
    assert {name for name in shipped if not name.startswith("_")} == {kind.template for kind in PAGES} | {"base.html"}
