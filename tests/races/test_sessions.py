"""Refreshes, logouts and logins at the same moment, on real connections: whoever comes first, what must hold holds."""

import asyncio
from collections import Counter
from functools import partial

import argon2
import pytest

from authsvc.events import OPERATOR
from authsvc.refusals import InvalidGrant
from authsvc.session_tokens import TokenPair
from authsvc.store import credentials
from tests import make
from tests.conftest import Client
from tests.races.conftest import PASSWORD, Flows, at_once, refusal_of

ROUNDS = 200
# argon2i: the next good login renews it.
WEAK = argon2.PasswordHasher(1, 8, 1, type=argon2.Type.I).hash(make.PASSWORD)


async def test_two_refreshes_of_one_token_yield_one_successor(flows: Flows) -> None:
    """REF-03 (ASVS 2.3.4)"""
    subject, _email = await flows.open_account()
    current = await flows.open_session(subject)
    for turn in range(ROUNDS):
        refresh = partial(flows.refresh, current.refresh_token)
        pairs = [pair for pair in await at_once(refresh, refresh, turn=turn) if isinstance(pair, TokenPair)]
        assert len({pair.refresh_token for pair in pairs}) == 1, f"turn {turn}"
        assert len(pairs) == 2, f"turn {turn}: one was refused"
        assert flows.counter_of(pairs[0]) == flows.counter_of(current) + 1
        current = pairs[0]
        assert await flows.living(subject) == {flows.session_of(current): flows.counter_of(current)}


async def test_fifty_refreshes_of_one_token_yield_one_successor_over_http(client: Client) -> None:
    """REF-03 (ASVS 2.3.4)"""
    await make.user(client)
    answer = await client.post("/api/auth/login", json={"email": make.EMAIL, "password": make.PASSWORD})
    token = (await answer.json())["refresh_token"]

    async def refresh(given: str) -> tuple[int, str]:
        response = await client.post("/api/auth/refresh", json={"refresh_token": given})
        return response.status, (await response.json()).get("refresh_token", "")

    for turn in range(6):
        answers = Counter(await asyncio.gather(*(refresh(token) for _number in range(50))))
        ((status, successor),) = answers
        assert (status, answers[status, successor]) == (200, 50), f"turn {turn}"
        assert successor != token
        token = successor


async def test_a_retry_that_crosses_the_use_of_its_successor_never_forks_the_session(flows: Flows) -> None:
    """REF-03, REF-04 (RFC 9700 §4.14.2): the retry yields the same, or comes too late and ends the session for both."""
    outcomes: Counter[bool] = Counter()
    subject, _email = await flows.open_account()
    for turn in range(ROUNDS):
        first = await flows.open_session(subject)
        newest = await flows.refresh(first.refresh_token)
        retried, following = await at_once(
            partial(flows.refresh, first.refresh_token), partial(flows.refresh, newest.refresh_token), turn=turn
        )
        assert isinstance(following, TokenPair), f"turn {turn}"
        assert flows.counter_of(following) == 3
        is_over = retried is InvalidGrant
        outcomes[is_over] += 1
        if is_over:
            await flows.assert_ended(following)
        else:
            assert isinstance(retried, TokenPair)
            assert retried.refresh_token == newest.refresh_token
            assert (await flows.living(subject))[flows.session_of(first)] == 3
    assert len(outcomes) == 2, "in one of the orders it was never run"


@pytest.mark.parametrize("everywhere", [False, True])
async def test_a_refresh_never_outlives_a_logout(everywhere: bool, flows: Flows) -> None:  # noqa: FBT001 - a parameter
    """SES-02 (CWE-613): all that it was given is dead, and every instance hears so for as long as it could be good."""
    outcomes: Counter[bool] = Counter()
    subject, _email = await flows.open_account()
    for turn in range(ROUNDS):
        before = await flows.open_session(subject)
        session_id = flows.session_of(before)
        flows.clock.advance(60)  # so that what a refresh gives lives longer than what was there
        log_out = (
            partial(flows.sessions.log_out_everywhere, subject, OPERATOR, kept=None)
            if everywhere
            else partial(flows.sessions.log_out, subject, session_id, OPERATOR)
        )
        refreshed, logged_out = await at_once(partial(flows.refresh, before.refresh_token), log_out, turn=turn)
        assert logged_out is None, f"turn {turn}"
        assert await flows.living(subject) == {}
        assert session_id in await flows.revoked()
        outcomes[isinstance(refreshed, TokenPair)] += 1
        if isinstance(refreshed, TokenPair):
            await flows.assert_ended(refreshed)
        else:
            assert refreshed is InvalidGrant
        assert await refusal_of(flows.refresh(before.refresh_token)) == "invalid_grant"
    assert len(outcomes) == 2, "in one of the orders it was never run"


async def test_two_logouts_of_one_session_are_both_done_and_recorded_once(flows: Flows) -> None:
    """CWE-362."""
    subject, _email = await flows.open_account()
    for turn in range(ROUNDS):
        pair = await flows.open_session(subject)
        one = partial(flows.sessions.log_out, subject, flows.session_of(pair), OPERATOR)
        everywhere = partial(flows.sessions.log_out_everywhere, subject, OPERATOR, kept=None)
        assert await at_once(one, everywhere, one, turn=turn) == [None, None, None], f"turn {turn}"
        async with flows.database.read() as connection:
            ends = "select count(*) from journal where session_id = $1 and event = 'session:end:logout'"
            assert await connection.fetchval(ends, flows.session_of(pair)) == 1


async def test_logins_at_once_that_renew_a_weak_hash_all_succeed(flows: Flows) -> None:
    """CWE-362."""
    for turn in range(ROUNDS // 5):
        subject, email = await flows.open_account(turn, WEAK)
        pairs = await at_once(*[flows.logging_in(email)] * 6, turn=turn)
        assert all(isinstance(pair, TokenPair) for pair in pairs), f"turn {turn}: {pairs}"
        assert len(await flows.living(subject)) == 6
        async with flows.database.read() as connection:
            credential = await credentials.by_subject(connection, subject)
        assert credential is not None
        assert not flows.passwords.needs_rehash(PASSWORD, credential.password_hash or "")


async def test_two_hundred_logins_at_once_keep_to_the_most_sessions_of_one_account(flows: Flows) -> None:
    """SES-07 (ASVS 7.1.2): those at the same moment do not see each other; the next one ends what is too many."""
    most = flows.tokens.settings.per_user
    subject, email = await flows.open_account()
    pairs = await asyncio.gather(*(flows.log_in(email) for _number in range(2 * most)))
    assert len(await flows.living(subject)) <= most + flows.database.connections
    flows.clock.advance(1)
    last = await flows.log_in(email)
    living = await flows.living(subject)
    assert len(living) == most
    assert flows.session_of(last) in living
    ended = {flows.session_of(pair) for pair in pairs} - living.keys()
    assert (await flows.revoked()).keys() == ended
