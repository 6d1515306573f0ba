"""A token is issued as of the moment that its session's row was written with, however long the database took."""

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from authsvc.emails import EmailAddress
from authsvc.events import OPERATOR
from authsvc.session_tokens import TokenPair
from authsvc.signing import LEEWAY_SECONDS
from tests.races.conftest import Flows, until_somebody_waits

# Beyond the 5 % of its life that a token may lack.
WAIT = 120


async def log_in(flows: Flows, email: EmailAddress, _first: TokenPair) -> TokenPair:
    return await flows.log_in(email)


async def refresh(flows: Flows, _email: EmailAddress, first: TokenPair) -> TokenPair:
    return await flows.refresh(first.refresh_token)


@pytest.mark.parametrize(
    "act, lock",
    [(log_in, "select id from users for update"), (refresh, "select id from sessions for update")],
)
async def test_no_access_token_outlives_what_its_session_says_of_it(
    act: Callable[[Flows, EmailAddress, TokenPair], Coroutine[Any, Any, TokenPair]], lock: str, flows: Flows
) -> None:
    """CWE-367: else whoever ends the session would tell the other instances of it for too short a time."""
    subject, email = await flows.open_account()
    first = await flows.open_session(subject)
    async with asyncio.TaskGroup() as group:
        async with flows.database.transaction(OPERATOR) as slow:
            await slow.connection.fetch(lock)
            acting = group.create_task(act(flows, email, first))
            await until_somebody_waits(flows.database)
            flows.clock.advance(WAIT)
        pair = await acting
    async with flows.database.read() as connection:
        access_until = await connection.fetchval(
            "select access_until from sessions where id = $1", flows.session_of(pair)
        )
    payload = pair.access_token.text.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    ends = datetime.fromtimestamp(claims["exp"], UTC)
    assert ends + timedelta(seconds=LEEWAY_SECONDS) <= access_until
    # A client counts from when it hears of it.
    assert ends == flows.clock.now() + timedelta(seconds=pair.access_token.expires_in)
