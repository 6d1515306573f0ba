"""What fails while its account is deleted: nothing of it may be recorded about somebody who is forgotten."""

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from uuid import UUID

import pytest

from authsvc.emails import EmailAddress
from authsvc.events import LoginFailed, Origin, UserDeleted
from authsvc.flows.delete_user import delete_as_operator
from authsvc.flows.users import Users
from authsvc.password_policy import Password
from authsvc.refusals import AccountDisabled, InvalidCredentials, InvalidToken
from tests.races.conftest import PASSWORD, Flows, at_once

ROUNDS = 200
HERE = Origin("192.0.2.1", "Browser")
SESSION = UUID(int=7)
WRONG, NEW = (Password(text, text) for text in ("not this battery", "another long password"))
Fail = Callable[[Flows, UUID, EmailAddress], Awaitable[object]]


async def log_in(flows: Flows, _subject: UUID, email: EmailAddress) -> object:
    return await flows.login(email, WRONG, HERE)


async def log_in_to_a_disabled_one(flows: Flows, _subject: UUID, email: EmailAddress) -> object:
    return await flows.login(email, PASSWORD, HERE)


async def change(flows: Flows, subject: UUID, _email: EmailAddress) -> None:
    await flows.change_password.change(subject, SESSION, WRONG, NEW, HERE)


async def delete(flows: Flows, subject: UUID, _email: EmailAddress) -> None:
    await flows.delete_user.delete(subject, SESSION, WRONG, HERE)


LOGINS, REAUTHENTICATIONS = (log_in, log_in_to_a_disabled_one), (change, delete)


@pytest.mark.parametrize("fail", [*LOGINS, *REAUTHENTICATIONS])
async def test_of_a_failure_at_the_same_moment_a_deleted_account_keeps_no_entry(fail: Fail, flows: Flows) -> None:
    """SES-06 (CWE-362): either it came before and is forgotten, or it is one about nobody, or it is none."""
    refusals: Counter[object] = Counter()
    for turn in range(ROUNDS):
        subject, email = await flows.open_account(turn)
        if fail is log_in_to_a_disabled_one:
            await Users(flows.database, flows.tokens.settings, flows.clock).disable(subject)
        deleted, refusal = await at_once(
            partial(delete_as_operator, flows.database, subject), partial(fail, flows, subject, email), turn=turn
        )
        assert deleted is True, f"turn {turn}"
        async with flows.database.read() as connection:
            kept = await connection.fetch("select event, address from journal where subject = $1", subject)
            unknown = await connection.fetch("delete from journal where subject is null returning event, address")
        assert [tuple(row) for row in kept] == [(UserDeleted.tag, None)], f"turn {turn}"
        # The failed login of an unknown address is recorded; where somebody is logged in, nobody was unknown.
        assert {row["event"] for row in unknown} <= ({LoginFailed.tag} if fail in LOGINS else set()), f"turn {turn}"
        assert len(unknown) <= 1
        refusals[(refusal, len(unknown))] += 1
    assert refusals.keys() == (
        {(InvalidCredentials, 0), (InvalidCredentials, 1)}
        if fail is log_in
        else {(AccountDisabled, 0), (InvalidCredentials, 1)}
        if fail is log_in_to_a_disabled_one
        else {(InvalidCredentials, 0), (InvalidToken, 0)}
    ), "in one of the orders it was never run"
