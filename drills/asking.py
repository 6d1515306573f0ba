"""Asking the service through the proxy, and keeping every answer: for the ledger, and for the rates."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from drills.ledger import Act, Answer, Entry, Source

# Beyond the longest time of a request at the proxy: who gave up earlier would not know what is still under way.
PATIENCE_SECONDS = 30
PROXYS_OWN = frozenset({502, 503, 504})


@dataclass
class Record:
    """All that was asked and answered, in the order of the answers."""

    entries: list[Entry] = field(default_factory=list)
    good: dict[Act, list[float]] = field(default_factory=lambda: {act: [] for act in Act})
    """When each good answer came, of the clock `time.monotonic`."""

    def keep(self, entry: Entry) -> None:
        """Take an entry in."""
        self.entries.append(entry)

    def count(self, began: float, ended: float) -> Counter[str]:
        """Return how many answers of each sort came within a time."""
        return Counter(_sort_of(entry.answer) for entry in self.entries if began <= entry.ended < ended)


def _sort_of(answer: Answer) -> str:
    match answer.source:
        case Source.NOBODY:
            return "no answer"
        case Source.PROXY:
            return f"{answer.status} of the proxy"
        case Source.SERVICE:
            return f"{answer.status}"


class Asker:
    """A client of the service: one pool of connections, as the proxy sees from browsers and programs."""

    def __init__(self, url: str, record: Record) -> None:
        self.record = record
        self._url = url
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def ask(
        self,
        act: Act,
        *,
        body: Mapping[str, str] | None = None,
        bearer: str | None = None,
        url: str | None = None,
    ) -> tuple[Answer, dict[str, Any]]:
        """Return the answer and its JSON; at `url` rather than through the proxy, if it is given."""
        method, path = act.value
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {bearer}"} if bearer else {})
        data = None if body is None else orjson.dumps(body)
        try:
            async with self._http.request(method, (url or self._url) + path, data=data, headers=headers) as response:
                given = await response.read()
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            return Answer(0, source=Source.NOBODY), {}
        # Every answer of the service has an id; what the proxy says for itself has none.
        if response.status in PROXYS_OWN and "X-Request-Id" not in response.headers:
            return Answer(response.status, source=Source.PROXY), {}
        found = orjson.loads(given) if given and "json" in response.content_type else {}
        answer = Answer(response.status, found.get("code", ""))
        if answer.is_good:
            self.record.good[act].append(time.monotonic())
        return answer, found
