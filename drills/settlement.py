"""The end of a drill: all faults are over, and every promise is called in."""

import asyncio
import random  # noqa: TID251 - a sample need not be unguessable
import time
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from drills.asking import Asker
from drills.ledger import STALE_YES_SECONDS, Account, Act, Entry, Finding, Kind, Session, State, read
from drills.person import Person

AT_ONCE = 6
MOST_ACCOUNTS = 2_000
MOST_OLD_PASSWORDS = 300
TRIES = 600
# No client's own number of a session reaches this.
OUR_SESSIONS = 1_000_000_000


class Settlement:
    """Asks for all that was promised; what comes back goes into the same ledger."""

    def __init__(self, asker: Asker, instances: Sequence[str], people: Sequence[Person], chance: random.Random) -> None:
        self._asker = asker
        self._instances = instances
        self._chance = chance
        self._access = {device.number: device.access for person in people for device in person.every_device}
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._session = OUR_SESSIONS
        self.unanswered: list[Finding] = []

    async def call_in(self) -> None:
        """Log into every account; use what lives, and what has ended, at each instance."""
        history = list(self._asker.record.entries)
        accounts = list(read(history).values())
        sample = accounts if len(accounts) <= MOST_ACCOUNTS else self._chance.sample(accounts, MOST_ACCOUNTS)
        await self._all(self._log_in(account, password) for account in sample for password in account.passwords)
        await self._all(self._log_in(*each) for each in self._replaced(history))
        last = max((entry.ended for entry in history), default=0.0)
        await asyncio.sleep(max(0.0, last + STALE_YES_SECONDS + 0.5 - time.monotonic()))
        sessions = [(account, number, session) for account in accounts for number, session in account.sessions.items()]
        await self._all(self._use(*each) for each in sessions)

    def _replaced(self, history: Sequence[Entry]) -> list[tuple[Account, str]]:
        accounts = read(history)
        given = [
            (accounts[entry.account], entry.given)
            for entry in history
            if entry.act is Act.CHANGE_PASSWORD and entry.given not in accounts[entry.account].passwords
        ]
        unique = list({(account.name, password): (account, password) for account, password in given}.values())
        return unique if len(unique) <= MOST_OLD_PASSWORDS else self._chance.sample(unique, MOST_OLD_PASSWORDS)

    async def _log_in(self, account: Account, password: str) -> None:
        self._session += 1
        body = {"email": account.name, "password": password}
        await self._ask(Act.LOGIN, account, session=self._session, given=password, body=body)

    async def _use(self, account: Account, number: int, session: Session) -> None:
        if access := self._access.get(number):
            for url in self._instances:
                await self._ask(Act.ME, account, session=number, bearer=access, url=url)
        await self._refresh(account, number, session.tokens[-1])
        if session.state is State.LIVE and len(session.tokens) > 2:  # noqa: PLR2004 - older than the one just replaced
            # Reuse: whoever presents it now has stolen it.
            await self._refresh(account, number, session.tokens[0])

    async def _refresh(self, account: Account, number: int, token: str) -> None:
        await self._ask(Act.REFRESH, account, session=number, given=token, body={"refresh_token": token})

    async def _all(self, asked: Iterable[Coroutine[Any, Any, None]]) -> None:
        async with asyncio.TaskGroup() as tasks:
            for each in asked:
                tasks.create_task(each)

    async def _ask(
        self,
        act: Act,
        account: Account,
        *,
        session: int,
        given: str = "",
        body: dict[str, str] | None = None,
        bearer: str | None = None,
        url: str | None = None,
    ) -> None:
        async with self._turn:
            for _try in range(TRIES):
                began = time.monotonic()
                answer, found = await self._asker.ask(act, body=body, bearer=bearer, url=url)
                got = found.get("refresh_token", "")
                self._asker.record.keep(
                    Entry(act, account.name, answer, began, time.monotonic(), session=session, given=given, got=got)
                )
                if not answer.is_lost:
                    return
                await asyncio.sleep(0.1)
        self.unanswered.append(
            Finding(Kind.UNANSWERED, f"{account.name}, {act.name.lower()}: no answer in {TRIES} tries.")
        )
