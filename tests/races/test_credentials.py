"""A password changed, an account disabled or deleted, while others log in and out and refresh: nobody slips through."""

from collections import Counter
from functools import partial
from uuid import UUID

import pytest

from authsvc.events import OPERATOR
from authsvc.flows.users import Users
from authsvc.password_policy import Password
from authsvc.refusals import AccountDisabled, InvalidCredentials, InvalidGrant, InvalidToken
from authsvc.session_tokens import TokenPair
from tests.races.conftest import PASSWORD, Flows, at_once, refusal_of

ROUNDS = 200
NEW, NEWER = (Password(text, text) for text in ("another long password", "a third, longer password"))


class Accounts:
    """What changes an account."""

    def __init__(self, flows: Flows) -> None:
        self._flows = flows
        self._changing, self._deleting = flows.change_password, flows.delete_user
        self._users = Users(flows.database, flows.tokens.settings, flows.clock)

    async def change(self, subject: UUID, by: TokenPair, new: Password = NEW) -> None:
        await self._changing.change(subject, self._flows.session_of(by), PASSWORD, new, OPERATOR)

    async def delete(self, subject: UUID, by: TokenPair) -> None:
        await self._deleting.delete(subject, self._flows.session_of(by), PASSWORD, OPERATOR)

    async def disable(self, subject: UUID) -> None:
        await self._users.disable(subject)


@pytest.fixture
def accounts(flows: Flows) -> Accounts:
    return Accounts(flows)


async def test_of_two_changes_of_a_password_one_wins(flows: Flows, accounts: Accounts) -> None:
    """CWE-362: the other is told that its current password is wrong."""
    for turn in range(ROUNDS):
        subject, email = await flows.open_account(turn)
        one, other = await flows.open_session(subject), await flows.open_session(subject)
        by_whom = (one, one) if turn % 3 == 0 else (one, other)
        first, second = await at_once(
            partial(accounts.change, subject, by_whom[0], NEW),
            partial(accounts.change, subject, by_whom[1], NEWER),
            turn=turn,
        )
        assert [first, second].count(None) == 1, f"turn {turn}: {first}, {second}"
        winner = 0 if first is None else 1
        assert {first, second} <= {None, InvalidCredentials, InvalidToken}
        assert await refusal_of(flows.log_in(email, (NEW, NEWER)[1 - winner])) == "invalid_credentials"
        assert (await flows.living(subject)).keys() == {flows.session_of(by_whom[winner])}
        assert await refusal_of(flows.log_in(email, (NEW, NEWER)[winner])) is None


async def test_after_a_change_of_the_password_no_session_but_the_one_that_asked_lives(
    flows: Flows, accounts: Accounts
) -> None:
    """REF-10, SES-04, TOK-26 (ASVS 7.4.3): none that refreshes or logs in by the old password meanwhile."""
    logins: Counter[object] = Counter()
    for turn in range(ROUNDS):
        subject, email = await flows.open_account(turn)
        kept, other = await flows.open_session(subject), await flows.open_session(subject)
        flows.clock.advance(60)
        changed, logged_in, refreshed, renewed = await at_once(
            partial(accounts.change, subject, kept),
            partial(flows.log_in, email),
            partial(flows.refresh, other.refresh_token),
            partial(flows.refresh, kept.refresh_token),
            turn=turn,
        )
        assert changed is None, f"turn {turn}"
        assert isinstance(renewed, TokenPair), f"turn {turn}: the one that asked was logged out"
        assert (await flows.living(subject)).keys() == {flows.session_of(kept)}
        assert await refusal_of(flows.refresh(renewed.refresh_token)) is None
        for outcome, refusal in ((logged_in, InvalidCredentials), (refreshed, InvalidGrant)):
            if isinstance(outcome, TokenPair):
                await flows.assert_ended(outcome)
            else:
                assert outcome is refusal, f"turn {turn}"
        logins[isinstance(logged_in, TokenPair)] += 1
    assert len(logins) == 2, "in one of the orders it was never run"


async def test_a_session_that_is_logged_out_changes_no_password_at_the_same_moment(
    flows: Flows, accounts: Accounts
) -> None:
    """CWE-367: either it was changed first, or not at all; and nobody is left logged in."""
    outcomes: Counter[object] = Counter()
    for turn in range(ROUNDS):
        subject, email = await flows.open_account(turn)
        pair, other = await flows.open_session(subject), await flows.open_session(subject)
        everywhere = partial(flows.sessions.log_out_everywhere, subject, OPERATOR, kept=None)
        changed, logged_out = await at_once(partial(accounts.change, subject, pair), everywhere, turn=turn)
        assert logged_out is None
        assert changed in (None, InvalidToken), f"turn {turn}"
        assert await flows.living(subject) == {}
        await flows.assert_ended(pair)
        await flows.assert_ended(other)
        good, bad = (NEW, PASSWORD) if changed is None else (PASSWORD, NEW)
        assert await refusal_of(flows.log_in(email, bad)) == "invalid_credentials"
        assert await refusal_of(flows.log_in(email, good)) is None
        outcomes[changed] += 1
    assert len(outcomes) == 2, "in one of the orders it was never run"


async def test_a_disabled_account_has_no_session_whoever_logs_in_or_refreshes_meanwhile(
    flows: Flows, accounts: Accounts
) -> None:
    """LGN-18, REF-10 (ASVS 7.4.2, CWE-367): disabled between the check of the password and the session's row."""
    logins: Counter[object] = Counter()
    for turn in range(ROUNDS):
        subject, email = await flows.open_account(turn)
        before = await flows.open_session(subject)
        disabled, *outcomes = await at_once(
            partial(accounts.disable, subject),
            partial(flows.log_in, email),
            partial(flows.log_in, email),
            partial(flows.refresh, before.refresh_token),
            turn=turn,
        )
        assert disabled is None, f"turn {turn}"
        assert await flows.living(subject) == {}, f"turn {turn}"
        for outcome in outcomes:
            if isinstance(outcome, TokenPair):
                await flows.assert_ended(outcome)
            else:
                assert outcome in (AccountDisabled, InvalidGrant)
        await flows.assert_ended(before)
        logins.update(isinstance(outcome, TokenPair) for outcome in outcomes[:2])
    assert len(logins) == 2, "in one of the orders it was never run"


async def test_a_deleted_account_leaves_no_session_whoever_logs_in_or_refreshes_meanwhile(
    flows: Flows, accounts: Accounts
) -> None:
    """SES-06 (ASVS 7.4.2, CWE-367)"""
    logins: Counter[object] = Counter()
    for turn in range(ROUNDS):
        subject, email = await flows.open_account(turn)
        by = await flows.open_session(subject)
        deleted, *outcomes = await at_once(
            partial(accounts.delete, subject, by),
            partial(flows.log_in, email),
            partial(flows.log_in, email),
            partial(flows.refresh, by.refresh_token),
            turn=turn,
        )
        assert deleted is None, f"turn {turn}"
        assert await flows.living(subject) == {}
        for outcome in outcomes:
            if isinstance(outcome, TokenPair):
                await flows.assert_ended(outcome)
            else:
                assert outcome in (InvalidCredentials, InvalidGrant)
        await flows.assert_ended(by)
        logins.update(isinstance(outcome, TokenPair) for outcome in outcomes[:2])
    assert len(logins) == 2, "in one of the orders it was never run"


async def test_a_password_is_not_changed_on_an_account_that_is_deleted_at_the_same_moment(
    flows: Flows, accounts: Accounts
) -> None:
    """CWE-367: whoever came first, the other is told so, and half a deletion there is none."""
    for turn in range(ROUNDS):
        subject, _email = await flows.open_account(turn)
        one, other = await flows.open_session(subject), await flows.open_session(subject)
        changed, deleted = await at_once(
            partial(accounts.change, subject, one), partial(accounts.delete, subject, other), turn=turn
        )
        # Where the change came first, the password given for the deletion is not the account's any more.
        assert (changed, deleted) in [(None, InvalidCredentials), (InvalidToken, None)], f"turn {turn}"
        assert len(await flows.living(subject)) == (1 if changed is None else 0)
        await flows.assert_ended(other)
