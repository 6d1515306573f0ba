"""The connection dies at COMMIT: what became of the transaction is looked up and not guessed, and to ask again is safe.

Of 99 transactions that were cancelled near their COMMIT 65 had committed: whoever answers 503 to all of them sends two
of three clients to do again what is done.
"""

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from aiohttp import ClientResponse

from tests import make
from tests.faults.conftest import Fallible, ProxiedScene, Scene, assert_unavailable, until
from tests.faults.proxy import Strike

NEW_PASSWORD = "a rather different passphrase"


async def register(scene: Scene) -> ClientResponse:
    return await scene.register()


async def log_in(scene: Scene) -> ClientResponse:
    return await scene.log_in()


async def log_out(scene: Scene) -> ClientResponse:
    return await scene.client.post("/api/auth/logout", headers=make.bearer(scene.token))


async def change_password(scene: Scene) -> ClientResponse:
    body = {"current_password": make.PASSWORD, "new_password": NEW_PASSWORD}
    return await scene.client.post("/api/auth/password", json=body, headers=make.bearer(scene.token))


async def delete_account(scene: Scene) -> ClientResponse:
    body = {"password": make.PASSWORD}
    return await scene.client.delete("/api/auth/me", json=body, headers=make.bearer(scene.token))


async def fail_to_log_in(scene: Scene) -> ClientResponse:
    return await scene.client.post("/api/auth/login", json={"email": make.EMAIL, "password": "not the password"})


class Act(NamedTuple):
    """Something that is asked for, its status, what it leaves in the journal, and the answer to who asks again."""

    ask: Callable[[Scene], Awaitable[ClientResponse]]
    status: int
    event: str
    again: tuple[int, str]


ACTS = {
    "register": Act(register, 201, "user:register:success", (409, "email_taken")),
    "log in": Act(log_in, 200, "session:login:success", (200, "")),
    "log out": Act(log_out, 204, "session:end:logout", (401, "invalid_token")),
    "change the password": Act(change_password, 204, "credential:change:success", (401, "invalid_credentials")),
    "delete the account": Act(delete_account, 204, "user:delete:success", (401, "invalid_token")),
    "a wrong password": Act(fail_to_log_in, 401, "session:login:failure", (401, "invalid_credentials")),
}
act_and_answer = pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())


async def code_of(response: ClientResponse) -> tuple[int, str]:
    body = await response.json() if response.content_type.endswith("json") else {}
    return response.status, body.get("code", "")


async def counted(fallible: Fallible, event: str) -> int:
    question = f"select count(*) from journal where event = '{event}'"  # noqa: S608 - a word of this file
    return int(await asyncio.to_thread(fallible.ask, question))


def outcomes(log: io.StringIO) -> list[Any]:
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line["outcome"] for line in lines if line["event"] == "commit_looked_up"]


@act_and_answer
@pytest.mark.parametrize("strike", [Strike.CUT_AFTER, Strike.SWALLOW_ANSWER], ids=lambda strike: strike.name.lower())
async def test_what_had_committed_is_answered_as_done(
    strike: Strike, act: Act, fallible: Fallible, proxied: ProxiedScene, log: io.StringIO
) -> None:
    """DBF-14, REG-24 (ASVS 2.3.3)"""
    before = await counted(fallible, act.event)
    proxied.proxy.strike(strike)
    assert (await act.ask(proxied)).status == act.status
    assert (proxied.proxy.struck, outcomes(log)) == (1, ["committed"])
    assert await counted(fallible, act.event) == before + 1
    assert await code_of(await act.ask(proxied)) == act.again, "as docs/operations.md says"


@act_and_answer
async def test_what_had_not_committed_is_503_leaves_nothing_behind_and_can_be_sent_again(
    act: Act, fallible: Fallible, proxied: ProxiedScene, log: io.StringIO
) -> None:
    """DBF-01, DBF-14 (ASVS 2.3.3)"""
    before = await counted(fallible, act.event)
    proxied.proxy.strike(Strike.CUT_BEFORE)
    await assert_unavailable(await act.ask(proxied))
    assert (proxied.proxy.struck, outcomes(log)) == (1, ["rolled_back"])
    assert await counted(fallible, act.event) == before
    assert (await act.ask(proxied)).status == act.status
    assert await counted(fallible, act.event) == before + 1


async def test_a_session_that_ended_by_a_commit_whose_answer_was_lost_is_known_as_dead_at_once(
    proxied: ProxiedScene,
) -> None:
    """DBF-14 (CWE-613): what is looked up as committed is published as any other, before this instance looks again."""
    proxied.proxy.strike(Strike.CUT_AFTER)
    assert (await log_out(proxied)).status == 204
    assert (await proxied.client.get("/api/auth/verify", headers=make.bearer(proxied.token))).status == 401


async def test_where_nobody_says_what_became_of_it_it_is_503_and_a_repeat_shows_it(
    fallible: Fallible, proxied: ProxiedScene, log: io.StringIO
) -> None:
    """DBF-14 (SQLSTATE 08007): the server goes away at that very moment, and for longer than the look-up takes."""
    proxied.proxy.strike(Strike.SWALLOW_ANSWER)
    asked = asyncio.ensure_future(register(proxied))  # noqa: TID251 - awaited below
    await until(lambda: asyncio.sleep(0, proxied.proxy.struck), 1)
    proxied.proxy.black_hole()
    await assert_unavailable(await asked)
    assert outcomes(log) == ["unknown"]
    proxied.proxy.let_through()
    await proxied.until_ready()
    assert await code_of(await register(proxied)) == (409, "email_taken")
    assert await counted(fallible, "user:register:success") == 2


async def test_a_refresh_whose_answer_is_lost_yields_the_same_successor_again(proxied: ProxiedScene) -> None:
    """REF-07 (RFC 9700 §4.14.2): one statement, which is its own transaction: there is nothing to look up."""
    first = (await make.tokens(proxied.client))["refresh_token"]
    profile = await (await proxied.me()).json()
    # Of what is asked next only the renewed session's row has it.
    proxied.proxy.strike(Strike.CUT_AFTER, UUID(profile["id"]).bytes)

    async def refresh() -> tuple[int, str]:
        response = await proxied.client.post("/api/auth/refresh", json={"refresh_token": first})
        return response.status, (await response.json()).get("refresh_token", "")

    assert (await refresh())[0] == 503
    assert proxied.proxy.struck == 1
    [(status, second), (_, again)] = [await refresh(), await refresh()]
    assert status == 200
    assert second == again != first
