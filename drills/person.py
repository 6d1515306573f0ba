"""A client: an account, some sessions, and a conscience about what was acknowledged.

Whatever answer was lost is asked for again until there is one, as a real client would. The waits are shorter than
`Retry-After` asks: it is the service's recovery that is measured, not the clients' patience.
"""

import asyncio
import random  # noqa: TID251 - what a client does next need not be unguessable
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from drills.asking import Asker
from drills.ledger import Act, Answer, Entry

THINK_SECONDS = (0.15, 0.35)
AGAIN_SECONDS = (0.15, 0.35)
PROBE_AFTER_SECONDS = 7.5
DEVICES = 2

_numbers = count(1)


@dataclass
class Device:
    """A session as its client holds it."""

    account: str
    number: int
    access: str
    refresh: str


@dataclass
class Person:
    """Somebody with an account, logged in on up to two devices."""

    name: str
    asker: Asker
    chance: random.Random
    email: str = ""
    password: str = ""
    devices: list[Device] = field(default_factory=list)
    left: list[tuple[float, Device]] = field(default_factory=list)
    """Sessions that ended, with the time from which they must be refused."""
    is_in: asyncio.Event = field(default_factory=asyncio.Event)
    every_device: list[Device] = field(default_factory=list)
    _accounts: "count[int]" = field(default_factory=count)

    async def live(self, is_over: Callable[[], bool]) -> None:
        """Register, and act until it is over."""
        await self.register()
        while not is_over():
            await self._think()
            await self._act()

    async def register(self) -> None:
        """Open an account; the former one stays as it is."""
        self.email, self.password = f"{self.name}-{next(self._accounts)}@example.com", self._new_password()
        self.devices.clear()
        body = {"email": self.email, "password": self.password}
        await self._until_answered(Act.REGISTER, body=body, given=self.password)

    async def _act(self) -> None:
        if not self.devices:
            await self._log_in()
            return
        device = self.chance.choice(self.devices)
        acts: list[tuple[float, Callable[[Device], Coroutine[Any, Any, None]]]] = [
            (0.31, self._look),
            (0.20, self._verify),
            (0.30, self._refresh),
            (0.06, self._refresh_in_two_tabs),
            (0.03, self._probe),
            (0.05, self._log_out),
            (0.006, self._another_device),
            (0.004, self._change_password),
            (0.004, self._another_account),
        ]
        weights, choices = zip(*acts, strict=True)
        await self.chance.choices(choices, weights)[0](device)

    async def _look(self, device: Device) -> None:
        await self._use(Act.ME, device)

    async def _verify(self, device: Device) -> None:
        await self._use(Act.VERIFY, device)

    async def _use(self, act: Act, device: Device) -> None:
        answer, _body = await self._ask(act, bearer=device.access, session=device.number)
        if answer.code == "invalid_token":
            self._leave(device)

    async def _refresh(self, device: Device) -> None:
        answer, body = await self._until_answered(
            Act.REFRESH, body={"refresh_token": device.refresh}, session=device.number, given=device.refresh
        )
        self._renewed(device, answer, body)

    async def _refresh_in_two_tabs(self, device: Device) -> None:
        """Both present the same token, and must be given the same."""
        asked = [
            self._until_answered(
                Act.REFRESH, body={"refresh_token": device.refresh}, session=device.number, given=device.refresh
            )
            for _tab in range(2)
        ]
        for answer, body in await asyncio.gather(*asked):
            self._renewed(device, answer, body)

    def _renewed(self, device: Device, answer: Answer, body: dict[str, Any]) -> None:
        if answer.is_good:
            device.access, device.refresh = body["access_token"], body["refresh_token"]
        else:
            self._leave(device)

    async def _log_in(self) -> None:
        number = next(_numbers)
        answer, body = await self._until_answered(
            Act.LOGIN, body={"email": self.email, "password": self.password}, session=number, given=self.password
        )
        if answer.is_good:
            device = Device(self.email, number, body["access_token"], body["refresh_token"])
            self.devices.append(device)
            self.every_device.append(device)
            self.is_in.set()
        else:  # the ledger says that this must not be; there is nothing else to do with this account
            await self.register()

    async def _another_device(self, _device: Device) -> None:
        if len(self.devices) < DEVICES:
            await self._log_in()

    async def _another_account(self, _device: Device) -> None:
        await self.register()

    async def _log_out(self, device: Device) -> None:
        await self._until_answered(Act.LOGOUT, bearer=device.access, session=device.number)
        self._leave(device)

    async def _change_password(self, device: Device) -> None:
        current, new = self.password, self._new_password()
        answer, _body = await self._until_answered(
            Act.CHANGE_PASSWORD,
            body={"current_password": current, "new_password": new},
            bearer=device.access,
            session=device.number,
            given=current,
            got=new,
        )
        if answer.code == "invalid_token":
            self._leave(device)
            return
        # Refused for the current password: an answer was lost, and the change was made.
        self.password = new
        for other in [each for each in self.devices if each is not device]:
            self._leave(other)

    async def _probe(self, _device: Device) -> None:
        """Use what has ended: once it must be known everywhere, nobody may accept it."""
        if self.left and self.left[0][0] < time.monotonic():
            _since, device = self.left.pop(0)
            await self._ask(Act.VERIFY, account=device.account, bearer=device.access, session=device.number)

    def _leave(self, device: Device) -> None:
        if device in self.devices:
            self.devices.remove(device)
            self.left.append((time.monotonic() + PROBE_AFTER_SECONDS, device))

    def _new_password(self) -> str:
        return f"drill {self.chance.getrandbits(64):016x}"

    async def _think(self) -> None:
        await asyncio.sleep(self.chance.uniform(*THINK_SECONDS))

    async def _until_answered(self, act: Act, **request: Any) -> tuple[Answer, dict[str, Any]]:  # noqa: ANN401 - as `_ask` takes it
        while True:
            answer, body = await self._ask(act, **request)
            if not answer.is_lost:
                return answer, body
            await asyncio.sleep(self.chance.uniform(*AGAIN_SECONDS))

    async def _ask(
        self,
        act: Act,
        *,
        body: dict[str, str] | None = None,
        bearer: str | None = None,
        account: str | None = None,
        session: int = 0,
        given: str = "",
        got: str = "",
    ) -> tuple[Answer, dict[str, Any]]:
        account, began = account or self.email, time.monotonic()
        answer, found = await self.asker.ask(act, body=body, bearer=bearer)
        got = found.get("refresh_token", got)
        entry = Entry(act, account, answer, began, time.monotonic(), session=session, given=given, got=got)
        self.asker.record.keep(entry)
        return answer, found
