"""A real Prometheus and a real Alertmanager, set up as infra/local/ says, on ports that are given."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from drills.stage import ROOT, StageError, until_answered
from infra.local import programs
from infra.local.configuration import Targets, configure

RUNBOOKS = ROOT / "docs" / "runbooks"


@dataclass(frozen=True)
class Addresses:
    """Where each of them listens, as host:port."""

    service: str
    """The admin port."""
    prometheus: str
    alertmanager: str
    receiver: str


@dataclass(frozen=True)
class Monitoring:
    """The two of them, while they run."""

    prometheus: str
    alertmanager: str
    _http: aiohttp.ClientSession

    async def value(self, query: str) -> float | None:
        """Return the value of a query now; None where there is none."""
        found = await self._ask("query", {"query": query})
        return float(found["result"][0]["value"][1]) if found["result"] else None

    async def series(self, query: str, began: float, ended: float, step: float) -> list[dict[str, Any]]:
        """Return what a query gave over a time: of each series `values`, pairs of time and text."""
        params = {"query": query, "start": began, "end": ended, "step": step}
        result: list[dict[str, Any]] = (await self._ask("query_range", params))["result"]
        return result

    async def alerts(self) -> list[dict[str, Any]]:
        """Return the alerts that are pending or firing, as Prometheus has them."""
        found: list[dict[str, Any]] = (await self._ask("alerts", {}))["alerts"]
        return found

    async def _ask(self, what: str, params: Mapping[str, Any]) -> dict[str, Any]:
        async with self._http.get(f"{self.prometheus}/api/v1/{what}", params=params) as response:
            answer = await response.json()
        if answer["status"] != "success":
            raise StageError(f"Prometheus does not answer {params}: {answer['error']}.")
        data: dict[str, Any] = answer["data"]
        return data


@asynccontextmanager
async def watching(
    folder: Path,
    addresses: Addresses,
    *,
    factor: float = 1.0,
    without: Sequence[str] = (),
    dashboards: str | None = None,
) -> AsyncIterator[Monitoring]:
    """Run both until the block ends; all times are `factor` times what the files say, and alerts `without` left out.

    Alerts link to the runbooks of this checkout, and to panels of the Grafana at `dashboards`.

    Raises:
        StageError: a program is missing, or does not start.
    """
    if sentence := programs.missing():
        raise StageError(sentence)
    targets = Targets(addresses.service, addresses.alertmanager, addresses.receiver)
    configure(folder, targets, factor=factor, without=without, runbooks=RUNBOOKS.as_uri(), dashboards=dashboards)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        for name, address in (("Alertmanager", addresses.alertmanager), ("Prometheus", addresses.prometheus)):
            program = programs.start(name, folder, address)
            stack.push_async_callback(asyncio.to_thread, program.end)
            try:
                await until_answered(f"http://{address}/-/ready", program.process)
            except StageError as error:
                raise StageError(f"{name} does not start. {program.last_line()}") from error
        yield Monitoring(f"http://{addresses.prometheus}", f"http://{addresses.alertmanager}", http)
