"""Refusals: each has a code of its own, a status, and a place in the reference."""

import re
from collections.abc import Iterator

from authsvc import refusals
from authsvc.refusals import Refusal
from authsvc.web import problems
from tests.conftest import Client


def family(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for child in kind.__subclasses__():
        yield child
        yield from family(child)


KINDS = list(family(Refusal))


def test_every_refusal_has_a_status_of_its_own_or_of_an_ancestor() -> None:
    assert all(400 <= problems.status_and_title(kind)[0] < 600 for kind in KINDS)


def test_every_row_of_the_table_is_a_refusal_that_exists() -> None:
    assert problems.TABLE.keys() <= set(KINDS)


def test_every_refusal_has_a_code_of_its_own_and_a_sentence() -> None:
    assert len({kind.code for kind in KINDS}) == len(KINDS)
    assert all(kind.code.replace("_", "").isalpha() and kind.code.islower() for kind in KINDS)
    assert all(kind.detail.endswith(".") and "detail" in vars(kind) for kind in KINDS)


def test_the_tree_that_is_drawn_is_the_tree_that_is() -> None:
    def drawn(kind: type[Refusal], before: str = "") -> Iterator[str]:
        children = kind.__subclasses__()
        for child in children:
            is_last = child is children[-1]
            yield f"{before}{'└' if is_last else '├'}── {child.__name__}"
            yield from drawn(child, before + ("    " if is_last else "│   "))

    assert re.findall(r"^[│├└ ]*── \w+", refusals.__doc__ or "", re.MULTILINE) == list(drawn(Refusal))


async def test_every_code_that_can_be_met_is_in_the_reference_under_its_address(client: Client) -> None:
    page = await (await client.get("/api/docs")).text()
    leaves = [kind for kind in KINDS if not kind.__subclasses__()]
    assert not [kind.code for kind in leaves if f'id="problem-{kind.code}"' not in page]


async def test_the_type_of_a_problem_leads_to_the_reference(client: Client) -> None:
    problem = await (await client.get("/api/nothing")).json()
    path, _, anchor = problem["type"].removeprefix("http://127.0.0.1:8080").partition("#")
    assert f'id="{anchor}"' in await (await client.get(path)).text()
