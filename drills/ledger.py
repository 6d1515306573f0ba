"""The ledger: what each client asked and was answered, and what in it breaks a promise.

A pure function over the recorded history. It follows each account as its owner would: which passwords may be right,
which sessions live. Whoever lost an answer does not know, and then both outcomes are right until an answer tells.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

STALE_YES_SECONDS = 7.0
"""AUTHSVC_REVOCATION_STALE_SECONDS by default, and the time of a look at the database."""
ENDED_CODES = frozenset({"invalid_token", "invalid_grant"})
EXPECTED_CODES = ENDED_CODES | {"invalid_credentials", "email_taken"}
"""What a well-formed request may be refused with, but for what is lost."""


class Act(Enum):
    """What a client can ask for: method and path."""

    REGISTER = ("POST", "/api/auth/register")
    LOGIN = ("POST", "/api/auth/login")
    REFRESH = ("POST", "/api/auth/refresh")
    LOGOUT = ("POST", "/api/auth/logout")
    CHANGE_PASSWORD = ("POST", "/api/auth/password")
    ME = ("GET", "/api/auth/me")
    VERIFY = ("GET", "/api/auth/verify")


class Source(Enum):
    """Who answered."""

    SERVICE = "the service"
    PROXY = "the proxy"
    NOBODY = "nobody"


@dataclass(frozen=True)
class Answer:
    """What came back; status 0 where nothing did."""

    status: int
    code: str = ""
    source: Source = Source.SERVICE

    @property
    def is_lost(self) -> bool:
        """Tell whether the client cannot know what was done."""
        return self.source is not Source.SERVICE or self.status in {500, 503}

    @property
    def is_good(self) -> bool:
        """Tell whether it was done."""
        return 200 <= self.status < 300  # noqa: PLR2004 - 2xx


@dataclass(frozen=True)
class Entry:
    """One request and its answer. Times are seconds of one steady clock."""

    act: Act
    account: str
    answer: Answer
    began: float = 0.0
    ended: float = 0.0
    session: int = 0
    """The client's own number of the session that asked or was opened."""
    given: str = ""
    """The password, or the refresh token."""
    got: str = ""
    """The new refresh token; of a change of password the new password."""


class Kind(Enum):
    """What promise was broken."""

    LOST = "an acknowledgement was lost"
    FORKED = "a chain of refresh tokens forked"
    LOGGED_OUT = "somebody was logged out who did not ask"
    STALE_YES = "what had ended was still accepted"
    UNDOCUMENTED = "an answer was not a documented one"
    UNANSWERED = "a promise could not be called in"


@dataclass(frozen=True)
class Finding:
    """A broken promise, in a sentence."""

    kind: Kind
    sentence: str


class State(Enum):
    """Of a session, as far as its client can know."""

    LIVE = "live"
    PERHAPS = "perhaps ended"
    ENDED = "ended"


@dataclass
class Session:
    """What its client knows of a session."""

    tokens: list[str]
    state: State = State.LIVE
    ended_at: float = 0.0

    def end(self, at: float) -> None:
        """It has ended, at the latest then."""
        if self.state is not State.ENDED:
            self.state, self.ended_at = State.ENDED, at

    def perhaps_end(self) -> None:
        """Its end was asked for, and the answer was lost."""
        if self.state is State.LIVE:
            self.state = State.PERHAPS


@dataclass
class Account:
    """What its owner knows of an account."""

    name: str
    is_asked_for: bool = False
    is_promised: bool = False
    passwords: set[str] = field(default_factory=set)
    """Those that may be right: two while the answer to a change is lost."""
    sessions: dict[int, Session] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    _doomed: dict[str, list[Session]] = field(default_factory=dict)
    """By new password: the sessions that end with the change to it."""

    def read(self, entry: Entry) -> None:
        """Take one entry in, in the order in which they ended."""
        {
            Act.REGISTER: self._register,
            Act.LOGIN: self._login,
            Act.REFRESH: self._refresh,
            Act.LOGOUT: self._logout,
            Act.CHANGE_PASSWORD: self._change_password,
            Act.ME: self._use,
            Act.VERIFY: self._use,
        }[entry.act](entry)

    def _find(self, kind: Kind, entry: Entry, sentence: str) -> None:
        what = f"{entry.answer.status} {entry.answer.code}".strip()
        self.findings.append(Finding(kind, f"{self.name}, {entry.act.name.lower()} → {what}: {sentence}"))

    def _register(self, entry: Entry) -> None:
        match entry.answer.status:
            case 201 if self.is_promised:
                self._find(Kind.LOST, entry, "the address was registered before.")
            case 409 if not self.is_asked_for:
                self._find(Kind.LOST, entry, "nobody had asked for this address.")
            case 201 | 409:
                self.is_promised = True
                self.passwords = {entry.given}
        self.is_asked_for = True

    def _login(self, entry: Entry) -> None:
        if entry.answer.is_good:
            if entry.given not in self.passwords:
                self._find(Kind.LOST, entry, "this password was replaced, and is accepted.")
            else:
                self._settle_password(entry.given, entry.ended)
            self.sessions[entry.session] = Session([entry.got])
        elif entry.answer.code == "invalid_credentials":
            self._refuse_password(entry, entry.given)

    def _change_password(self, entry: Entry) -> None:
        if entry.answer.is_good:
            if entry.given not in self.passwords:
                self._find(Kind.LOST, entry, "the current password given was replaced, and is accepted.")
            self._doomed[entry.got] = self._others(entry.session)
            self._settle_password(entry.got, entry.ended)
            self._use(entry)
        elif entry.answer.is_lost:
            self.passwords.add(entry.got)
            self._doomed[entry.got] = self._others(entry.session)
            for session in self._doomed[entry.got]:
                session.perhaps_end()
        elif entry.answer.code == "invalid_credentials":
            self._refuse_password(entry, entry.given)
        else:
            self._use(entry)

    def _refuse_password(self, entry: Entry, password: str) -> None:
        if self.passwords == {password} and self.is_promised:
            self._find(Kind.LOST, entry, "the password that was acknowledged last is refused.")
        elif password in self.passwords:
            [left] = self.passwords - {password}
            self._settle_password(left, entry.ended)

    def _settle_password(self, password: str, at: float) -> None:
        self.passwords = {password}
        for session in self._doomed.pop(password, []):
            session.end(at)
        self._doomed.clear()

    def _refresh(self, entry: Entry) -> None:
        session = self.sessions[entry.session]
        older = len(session.tokens) - 1 - session.tokens.index(entry.given)
        if entry.answer.is_good:
            if session.state is State.ENDED:
                self._find(Kind.LOST, entry, "the session had ended, and was renewed.")
            if older > 1:
                self._find(Kind.FORKED, entry, "a token older than the one just replaced was renewed.")
            elif older == 1 and entry.got != session.tokens[-1]:
                self._find(Kind.FORKED, entry, "one token has two successors.")
            if entry.got not in session.tokens:
                session.tokens.append(entry.got)
        elif entry.answer.code == "invalid_grant":
            if session.state is State.LIVE and older <= 1:
                self._find(Kind.LOGGED_OUT, entry, "the refresh token was good.")
            session.end(entry.ended)

    def _logout(self, entry: Entry) -> None:
        session = self.sessions[entry.session]
        if entry.answer.is_good:
            session.end(entry.ended)
        elif entry.answer.is_lost:
            session.perhaps_end()
        else:
            self._use(entry)

    def _use(self, entry: Entry) -> None:
        session = self.sessions[entry.session]
        if entry.answer.is_good:
            if session.state is State.ENDED and entry.began > session.ended_at + STALE_YES_SECONDS:
                self._find(Kind.STALE_YES, entry, "the session had ended before.")
        elif entry.answer.code in ENDED_CODES:
            if session.state is State.LIVE:
                self._find(Kind.LOGGED_OUT, entry, "the access token was good.")
            session.end(entry.ended)

    def _others(self, kept: int) -> list[Session]:
        return [session for number, session in self.sessions.items() if number != kept]


def read(history: Iterable[Entry]) -> dict[str, Account]:
    """Return what the clients know in the end, by account."""
    accounts: dict[str, Account] = {}
    for entry in history:
        accounts.setdefault(entry.account, Account(entry.account)).read(entry)
    return accounts


def findings(history: Sequence[Entry], documented: Mapping[Act, frozenset[int]]) -> list[Finding]:
    """Return every promise that the history breaks. `documented` are the statuses that each act may have."""
    found = [
        Finding(
            Kind.UNDOCUMENTED, f"{entry.account}, {entry.act.name.lower()} → {answer.status} {answer.code}: {fault}"
        )
        for entry in history
        for answer in [entry.answer]
        if answer.source is Source.SERVICE and (fault := _fault_of(answer, documented[entry.act]))
    ]
    for account in read(history).values():
        found += account.findings
    return found


def _fault_of(answer: Answer, documented: frozenset[int]) -> str | None:
    if answer.status >= 500 and answer.status != 503:  # noqa: PLR2004 - whatever the description says
        return "an internal error."
    if answer.status not in documented:
        return "this status is not documented."
    if answer.is_good or answer.is_lost or answer.code in EXPECTED_CODES:
        return None
    return "the request was well-formed."
