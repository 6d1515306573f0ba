"""A light load: people who look at their account, renew and log in, each from an address of their own."""

import asyncio
import random  # noqa: TID251 - what they do next need not be unguessable
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from drills.beside import beside

PASSWORD = "correct horse battery staple"  # noqa: S105 - it protects nothing
PATIENCE_SECONDS = 20
SHARES = {"me": 0.5, "refresh": 0.3, "login": 0.2}


class Client:
    """Asks the service; each request may come from another address, as behind a proxy that is trusted."""

    def __init__(self, url: str) -> None:
        self._http = aiohttp.ClientSession(
            url,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def ask(
        self, path: str, address: str, *, body: dict[str, str] | None = None, bearer: str | None = None
    ) -> dict[str, Any] | None:
        """Return the JSON of a good answer, and None for every other, or none."""
        headers = {"X-Forwarded-For": address} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        method = "GET" if body is None else "POST"
        with suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
            async with self._http.request(method, f"/api/auth/{path}", json=body, headers=headers) as response:
                if response.ok:
                    found: dict[str, Any] = await response.json()
                    return found
        return None


def address_of(number: int) -> str:
    """Return an address for each number below 2²⁴; of those for documentation and benchmarks there are fewer."""
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@dataclass
class Person:
    """Somebody with an account and a session."""

    number: int
    name: str
    client: Client
    chance: random.Random
    tokens: dict[str, Any] = field(default_factory=dict)

    @property
    def credentials(self) -> dict[str, str]:
        """Return what this one logs in with."""
        return {"email": f"{self.name}@example.com", "password": PASSWORD}

    async def arrive(self) -> None:
        """Register, and log in."""
        await self._ask("register", body=self.credentials)
        while not self.tokens:
            await self.act("login")
            await asyncio.sleep(self.chance.random())
            if not self.tokens:
                await self._ask("register", body=self.credentials)

    async def live(self, pause_seconds: float) -> None:
        """Act again and again, until cancelled."""
        while True:
            await asyncio.sleep(self.chance.uniform(0.5, 1.5) * pause_seconds)
            (act,) = self.chance.choices(list(SHARES), list(SHARES.values()))
            await self.act(act)

    async def act(self, act: str) -> None:
        """Ask once; whatever comes back, life goes on."""
        match act:
            case "login":
                self.tokens = await self._ask("login", body=self.credentials) or self.tokens
            case "refresh":
                body = {"refresh_token": self.tokens["refresh_token"]}
                self.tokens = await self._ask("refresh", body=body) or self.tokens
            case "me":
                await self._ask("me", bearer=self.tokens["access_token"])

    async def _ask(self, path: str, **request: Any) -> dict[str, Any] | None:  # noqa: ANN401 - as `Client.ask` takes it
        return await self.client.ask(path, address_of(self.number), **request)


@asynccontextmanager
async def living(url: str, count: int, *, pause_seconds: float, seed: str) -> AsyncIterator[list[Person]]:
    """Have so many people use the service until the block ends; they have arrived when it begins."""
    client = Client(url)
    people = [
        Person(number, f"{seed}-{number}", client, random.Random(f"{seed}-{number}")) for number in range(1, count + 1)
    ]
    try:
        async with asyncio.TaskGroup() as arriving:
            for person in people:
                arriving.create_task(person.arrive())
        async with beside(*(person.live(pause_seconds) for person in people)):
            yield people
    finally:
        await client.close()
