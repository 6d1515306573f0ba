"""A real Prometheus and a real Alertmanager, set up as infra/monitoring/local/ says, on ports that are given."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from drills.stage import ROOT, StageError, until_answered
from infra.monitoring import RULES, rules

LOCAL = RULES.parent / "local"
RUNBOOKS = ROOT / "docs" / "runbooks"
UNPACKED = ROOT / "build" / "prometheus"
ASSETS = UNPACKED / "usr" / "share" / "prometheus" / "web"
PROGRAMS = {
    "Prometheus": ("prometheus", str(UNPACKED / "usr/bin/prometheus")),
    "Alertmanager": ("prometheus-alertmanager", "alertmanager", str(UNPACKED / "usr/bin/prometheus-alertmanager")),
}
TIMES = ("scrape_interval", "evaluation_interval", "group_wait", "group_interval", "repeat_interval")


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


def missing() -> str | None:
    """Return one sentence about what is not installed; None where all is there."""
    lacking = [name for name in PROGRAMS if _found(name) is None]
    if not lacking:
        return None
    return f"There is no {' and no '.join(lacking)}: run tests/install-prometheus, or install the two with your system."


@asynccontextmanager
async def watching(
    folder: Path, addresses: Addresses, *, factor: float = 1.0, without: Sequence[str] = ()
) -> AsyncIterator[Monitoring]:
    """Run both until the block ends; all times are `factor` times what the files say, and alerts `without` left out.

    Raises:
        StageError: a program is missing, or does not start.
    """
    if sentence := missing():
        raise StageError(sentence)
    _configure(folder, addresses, factor, without)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        await _start(
            stack, folder, "Alertmanager", addresses.alertmanager,
            "--cluster.listen-address=", f"--storage.path={folder / 'alertmanager'}",
        )  # fmt: skip
        assets = [f"--web.local-assets={ASSETS}"] if _found("Prometheus") == PROGRAMS["Prometheus"][-1] else []
        await _start(
            stack, folder, "Prometheus", addresses.prometheus,
            f"--storage.tsdb.path={folder / 'prometheus'}", "--log.level=warn", *assets,
        )  # fmt: skip
        yield Monitoring(f"http://{addresses.prometheus}", f"http://{addresses.alertmanager}", http)


def _found(name: str) -> str | None:
    return next((found for place in PROGRAMS[name] if (found := shutil.which(place))), None)


async def _start(stack: AsyncExitStack, folder: Path, name: str, address: str, *options: str) -> None:
    config = folder / f"{name.lower()}.yml"
    command = [str(_found(name)), f"--config.file={config}", f"--web.listen-address={address}", *options]
    log = folder / f"{name.lower()}.log"
    with log.open("wb") as file:
        # In a session of its own: a Ctrl-C is for us, who put all away in order.
        process = subprocess.Popen(  # noqa: ASYNC220 - a fork, and no wait
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={"PATH": os.defpath},
            start_new_session=True,
        )
    stack.push_async_callback(_end, process)
    try:
        await until_answered(f"http://{address}/-/ready", process)
    except StageError as error:
        raise StageError(f"{name} does not start. {_last_line(log)}") from error


async def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(process.wait)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "It says nothing."


def _configure(folder: Path, addresses: Addresses, factor: float, without: Sequence[str]) -> None:
    folder.mkdir()
    _write_rules(folder / "rules", factor, without)
    _write(folder / "prometheus.yml", _prometheus(addresses, folder / "rules", factor))
    _write(folder / "alertmanager.yml", _alertmanager(addresses, factor))


def _write_rules(folder: Path, factor: float, without: Sequence[str]) -> None:
    folder.mkdir()
    for path in sorted(RULES.glob("*.yml")):
        read = rules.linked(rules.scaled(rules.read(path), factor), runbooks=RUNBOOKS.as_uri())
        for group in read["groups"]:
            group["rules"] = [rule for rule in group["rules"] if rule.get("alert") not in without]
        (folder / path.name).write_text(rules.write(read), "utf-8")


def _prometheus(addresses: Addresses, folder: Path, factor: float) -> dict[str, Any]:
    config = _read("prometheus.yml", factor)
    config["rule_files"] = [f"{folder}/*.yml"]
    (alertmanager,) = config["alerting"]["alertmanagers"]
    alertmanager["static_configs"][0]["targets"] = [addresses.alertmanager]
    (service,) = (job for job in config["scrape_configs"] if job["job_name"] == "authsvc")
    service["static_configs"][0]["targets"] = [addresses.service]
    return config


def _alertmanager(addresses: Addresses, factor: float) -> dict[str, Any]:
    config = _read("alertmanager.yml", factor)
    for receiver in config["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = f"http://{addresses.receiver}/{receiver['name']}"
    return config


def _read(name: str, factor: float) -> dict[str, Any]:
    config: dict[str, Any] = _scaled(yaml.safe_load((LOCAL / name).read_text("utf-8")), factor)
    return config


def _scaled(value: Any, factor: float) -> Any:  # noqa: ANN401 - whatever YAML holds
    match value:
        case dict():
            return {
                key: rules.scaled_duration(each, factor) if key in TIMES else _scaled(each, factor)
                for key, each in value.items()
            }
        case list():
            return [_scaled(each, factor) for each in value]
        case _:
            return value


def _write(path: Path, config: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(config, sort_keys=False), "utf-8")
