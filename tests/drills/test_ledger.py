"""The ledger's own judgement: it finds each broken promise, and nothing in what only looks like one."""

import pytest

from drills.ledger import STALE_YES_SECONDS, Act, Answer, Entry, Kind, Source, State, findings, read

ADA = "ada@example.com"
DOCUMENTED = {act: frozenset({200, 201, 204, 400, 401, 409, 422, 500, 503}) for act in Act}
LOST = (Answer(503, "temporarily_unavailable"), Answer(502, source=Source.PROXY), Answer(0, source=Source.NOBODY))
INVALID_GRANT, INVALID_TOKEN = Answer(400, "invalid_grant"), Answer(401, "invalid_token")
INVALID_CREDENTIALS = Answer(401, "invalid_credentials")


def register(answer: Answer = Answer(201), *, given: str = "old") -> Entry:  # noqa: B008 - it is frozen
    return Entry(Act.REGISTER, ADA, answer, given=given)


def login(session: int, answer: Answer = Answer(200), *, given: str = "old", ended: float = 0.0) -> Entry:  # noqa: B008
    return Entry(Act.LOGIN, ADA, answer, session=session, given=given, got=f"{session}.1", ended=ended)


def refresh(given: str, got: str = "", answer: Answer = Answer(200)) -> Entry:  # noqa: B008
    return Entry(Act.REFRESH, ADA, answer, session=int(given[0]), given=given, got=got)


def logout(session: int, answer: Answer = Answer(204)) -> Entry:  # noqa: B008
    return Entry(Act.LOGOUT, ADA, answer, session=session)


def change(session: int, answer: Answer = Answer(204), *, given: str = "old", got: str = "new") -> Entry:  # noqa: B008
    return Entry(Act.CHANGE_PASSWORD, ADA, answer, session=session, given=given, got=got)


def me(session: int, answer: Answer = Answer(200), *, began: float = 0.0) -> Entry:  # noqa: B008
    return Entry(Act.ME, ADA, answer, session=session, began=began, ended=began)


def kinds(*history: Entry) -> list[Kind]:
    return [finding.kind for finding in findings([register(), *history], DOCUMENTED)]


LATE = STALE_YES_SECONDS + 1
HONEST = {
    "a life": [
        login(1),
        me(1),
        refresh("1.1", "1.2"),
        login(2),
        change(1),
        me(2, INVALID_TOKEN),
        login(3, given="new"),
        login(4, INVALID_CREDENTIALS),
        logout(1),
        me(1, INVALID_TOKEN, began=LATE),
        refresh("1.2", answer=INVALID_GRANT),
    ],
    "two tabs": [login(1), refresh("1.1", "1.2"), refresh("1.1", "1.2"), refresh("1.2", "1.3")],
    "reuse": [login(1), refresh("1.1", "1.2"), refresh("1.2", "1.3"), refresh("1.1", answer=INVALID_GRANT)],
    "seen within the bound": [login(1), logout(1), me(1, began=1.0)],
}


@pytest.mark.parametrize("history", HONEST.values(), ids=HONEST.keys())
def test_what_was_promised_and_held_is_no_finding(history: list[Entry]) -> None:
    assert kinds(*history) == []


@pytest.mark.parametrize("lost", LOST, ids=lambda lost: lost.source.name)
def test_a_lost_answer_leaves_both_outcomes_open_until_one_tells(lost: Answer) -> None:
    assert [
        finding.sentence for finding in findings([register(lost), register(Answer(409, "email_taken"))], DOCUMENTED)
    ] == []
    assert kinds(login(1), refresh("1.1", answer=lost), refresh("1.1", "1.2"), refresh("1.2", "1.3")) == []
    assert kinds(login(1), logout(1, lost), me(1)) == []
    assert kinds(login(1), logout(1, lost), logout(1, INVALID_TOKEN), refresh("1.1", answer=INVALID_GRANT)) == []
    made = [login(1), change(1, lost), change(1, INVALID_CREDENTIALS)]
    assert kinds(*made, login(2, given="new")) == []
    assert kinds(*made, login(2, given="new"), login(3, given="old")) == [Kind.LOST], "either, and not both"
    assert kinds(*made, login(2, INVALID_CREDENTIALS, given="new")) == [Kind.LOST], "either, and not none"
    not_made = [login(1), change(1, lost), login(2, given="old")]
    assert kinds(*not_made) == []
    assert kinds(*not_made, login(3, given="new")) == [Kind.LOST]


def test_a_change_that_was_made_after_all_ended_the_other_sessions() -> None:
    history = [login(1), login(2), change(1, LOST[0]), change(1, INVALID_CREDENTIALS)]
    assert [each.state for each in read([register(), *history])[ADA].sessions.values()] == [State.LIVE, State.ENDED]
    assert kinds(*history, refresh("2.1", "2.2")) == [Kind.LOST]


BROKEN = {
    "a registration": ([login(1, INVALID_CREDENTIALS)], Kind.LOST),
    "a registration, again": ([register()], Kind.LOST),
    "a logout, renewed": ([login(1), logout(1), refresh("1.1", "1.2")], Kind.LOST),
    "a logout, still used": ([login(1), logout(1), me(1, began=LATE)], Kind.STALE_YES),
    "a change of password, undone": ([login(1), change(1), login(2, INVALID_CREDENTIALS, given="new")], Kind.LOST),
    "a change of password, both": ([login(1), change(1), login(2, given="old")], Kind.LOST),
    "a change of password, others live": ([login(1), login(2), change(1), me(2, began=LATE)], Kind.STALE_YES),
    "two successors": ([login(1), refresh("1.1", "1.2"), refresh("1.1", "1.3")], Kind.FORKED),
    "an old token": ([login(1), refresh("1.1", "1.2"), refresh("1.2", "1.3"), refresh("1.1", "1.4")], Kind.FORKED),
    "a good refresh token": ([login(1), refresh("1.1", answer=INVALID_GRANT)], Kind.LOGGED_OUT),
    "a token just replaced": (
        [login(1), refresh("1.1", "1.2"), refresh("1.1", answer=INVALID_GRANT)],
        Kind.LOGGED_OUT,
    ),
    "a good access token": ([login(1), me(1, INVALID_TOKEN)], Kind.LOGGED_OUT),
    "a status nobody knows": ([login(1), me(1, Answer(404, "not_found"))], Kind.UNDOCUMENTED),
    "an internal error": ([login(1), me(1, Answer(500, "internal_error"))], Kind.UNDOCUMENTED),
    "a refusal without a reason": ([login(1), me(1, Answer(422, "invalid_input"))], Kind.UNDOCUMENTED),
}


@pytest.mark.parametrize("history, kind", BROKEN.values(), ids=BROKEN.keys())
def test_each_broken_promise_is_found(history: list[Entry], kind: Kind) -> None:
    assert kinds(*history) == [kind]


def test_an_address_that_was_taken_before_anybody_asked_is_found() -> None:
    assert [each.kind for each in findings([register(Answer(409, "email_taken"))], DOCUMENTED)] == [Kind.LOST]


def test_what_follows_a_fork_is_still_read() -> None:
    forked = [login(1), refresh("1.1", "1.2"), refresh("1.1", "1.3"), refresh("1.3", "1.4")]
    assert kinds(*forked) == [Kind.FORKED]
    renewed = [login(1), refresh("1.1", "1.2"), refresh("1.2", "1.3"), refresh("1.1", "1.4"), refresh("1.4", "1.5")]
    assert kinds(*renewed) == [Kind.FORKED]
