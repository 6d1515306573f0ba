"""The service with a Prometheus and an Alertmanager beside it, and a light load, until Ctrl-C; alerts are told here."""

import argparse
import asyncio
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from drills import stage
from drills.alerts.monitoring import Addresses, watching
from drills.alerts.people import living
from drills.alerts.receiver import Receiver, Told
from drills.ending import end_in_order
from drills.stage import Instance, StageError
from infra.local.programs import missing

PEOPLE = 5
PAUSE_SECONDS = 1.5
PROMETHEUS_PORT, ALERTMANAGER_PORT, RECEIVER_PORT = 9091, 9093, 9094
WELCOME = """
  Service        {service}/register
  Its metrics    {admin}/metrics
  Prometheus     http://{prometheus}
  Alertmanager   http://{alertmanager}/api/v2/alerts

  {people} people look at their account, renew and log in. Alerts that fire or resolve are told here.
  Ctrl-C stops all of it, and nothing is kept.
"""


async def observe(options: argparse.Namespace, given: Mapping[str, str]) -> None:
    """Run all of it until cancelled.

    Raises:
        StageError: a program is missing or does not start, or a port is in use.
    """
    end_in_order()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(stage.temporary_folder())
        instance = _instance(folder, given)
        addresses = Addresses(
            urlsplit(instance.admin_url).netloc,
            f"127.0.0.1:{options.prometheus_port}",
            f"127.0.0.1:{options.alertmanager_port}",
            f"127.0.0.1:{options.receiver_port}",
        )
        _expect_free(urlsplit(instance.url).netloc, *vars(addresses).values())
        print("Starting PostgreSQL, the service, Prometheus and Alertmanager …", flush=True)
        stack.push_async_callback(stage.stop, instance)
        await instance.start()
        await stack.enter_async_context(Receiver(on_change=_tell).listening(options.receiver_port))
        monitored = watching(folder / "monitoring", addresses, factor=float(options.factor), dashboards=options.grafana)
        people = living(instance.url, PEOPLE, pause_seconds=PAUSE_SECONDS, seed=f"observer-{os.getpid()}")
        await stack.enter_async_context(people)
        await stack.enter_async_context(monitored)
        welcome = WELCOME.format(**vars(addresses) | {"service": instance.url}, admin=instance.admin_url, people=PEOPLE)
        print(welcome, flush=True)
        await _ended(instance)


def _instance(folder: Path, given: Mapping[str, str]) -> Instance:
    """Return `authsvc dev`, as `make run` starts it, with a database that is thrown away unless one was chosen."""
    environ = {
        "AUTHSVC_DATA_DIR": str(folder / "data"),
        # The people have addresses of their own, each with its limits.
        "AUTHSVC_TRUSTED_PROXIES": "127.0.0.1/32",
        "AUTHSVC_PORT": "8080",
        "AUTHSVC_ADMIN_PORT": "9090",
        **given,
    }
    url, admin_url = (f"http://127.0.0.1:{environ[name]}" for name in ("AUTHSVC_PORT", "AUTHSVC_ADMIN_PORT"))
    return Instance(url, admin_url, ["-m", "authsvc", "dev"], environ, folder / "service.log")


def _expect_free(*addresses: str) -> None:
    for address in addresses:
        host, _, port = address.partition(":")
        try:
            socket.create_server((host, int(port))).close()
        except OSError:
            raise StageError(
                f"{address} is in use: stop what listens there, or choose other ports"
                " (AUTHSVC_PORT, AUTHSVC_ADMIN_PORT; for the rest: make observe ARGS=--help)."
            ) from None


async def _ended(instance: Instance) -> None:
    """Return when the service ends by itself.

    Raises:
        StageError: it did.
    """
    if instance.process is not None:
        code = await asyncio.to_thread(instance.process.wait)
        raise StageError(f"The service ended with {code}.")


def _tell(told: Told) -> None:
    is_over = told.resolved is not None
    moment = time.strftime("%H:%M:%S")
    alert = told.alert
    print(
        f"  {moment}  {'resolved' if is_over else 'firing  '}  {alert.severity:<6}  {alert.title}. {alert.summary}",
        flush=True,
    )


def main() -> None:
    """Observe until Ctrl-C; one sentence and exit code 1 where that cannot be."""
    parser = argparse.ArgumentParser(prog="make observe", description=__doc__)
    parser.add_argument(
        "--factor", type=Fraction, default=Fraction(1), help="all windows times this: 1/60, to see alerts soon"
    )
    parser.add_argument("--grafana", metavar="URL", help="where Grafana is, for the links of alerts")
    for name, port in (
        ("prometheus", PROMETHEUS_PORT),
        ("alertmanager", ALERTMANAGER_PORT),
        ("receiver", RECEIVER_PORT),
    ):
        parser.add_argument(f"--{name}-port", type=int, default=port, help=f"default {port}")
    options = parser.parse_args()
    if sentence := missing():
        sys.exit(sentence)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(observe(options, os.environ))  # noqa: TID251 - a command of its own
    except StageError as error:
        sys.exit(str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\nStopped.")


if __name__ == "__main__":
    main()
