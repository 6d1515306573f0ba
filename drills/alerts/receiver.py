"""What Alertmanager calls: a webhook that keeps each change of each alert."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web


@dataclass(frozen=True)
class Alert:
    """One alert of the rules, with what tells it from others of its name."""

    name: str
    severity: str
    burn_rate: str
    """Of objectives; empty for causes."""
    summary: str
    fingerprint: str

    @classmethod
    def read(cls, given: dict[str, Any]) -> Self:
        """Read one of a notification's alerts."""
        labels = given["labels"]
        return cls(
            labels["alertname"],
            labels.get("severity", ""),
            labels.get("burn_rate", ""),
            given["annotations"].get("summary", ""),
            given["fingerprint"],
        )

    @property
    def is_page(self) -> bool:
        """Tell whether somebody gets up for it."""
        return self.severity == "page"

    @property
    def title(self) -> str:
        """Return its name, and how quickly the budget burns, where it is about one."""
        return f"{self.name} {self.burn_rate}x" if self.burn_rate else self.name


@dataclass
class Told:
    """An alert that somebody was told of; times of `time.time`, which Prometheus goes by."""

    alert: Alert
    fired: float
    resolved: float | None = None


@dataclass
class Receiver:
    """Who is told; listens on loopback."""

    url: str = ""
    told: list[Told] = field(default_factory=list)
    on_change: Callable[[Told], None] = field(default=lambda _told: None)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[Self]:
        """Listen until the block ends.

        Raises:
            OSError: the port is in use.
        """
        app = web.Application()
        app.router.add_post("/{queue}", self._hear)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
            self.url = f"http://127.0.0.1:{port}"
            yield self
        finally:
            await runner.cleanup()

    @property
    def active(self) -> list[Told]:
        """Return what has fired and not resolved."""
        return [told for told in self.told if told.resolved is None]

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until something told makes `condition` true; False where it did not in time."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            return False
        return True

    async def _hear(self, request: web.Request) -> web.Response:
        now = time.time()  # noqa: TID251 - compared with Prometheus' own times
        notification = await request.json()
        async with self._changed:
            # A notification repeats all of its group: only changes are kept.
            for given in notification["alerts"]:
                self._keep(Alert.read(given), now, is_firing=given["status"] == "firing")
            self._changed.notify_all()
        return web.Response()

    def _keep(self, alert: Alert, now: float, *, is_firing: bool) -> None:
        known = next((told for told in self.active if told.alert.fingerprint == alert.fingerprint), None)
        if is_firing and known is None:
            known = Told(alert, now)
            self.told.append(known)
        elif known is not None and not is_firing:
            known.resolved = now
        else:
            return
        self.on_change(known)
