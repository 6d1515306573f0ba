"""What the drill is played on: PostgreSQL, one instance, people, Prometheus, Alertmanager, and who is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

import psycopg

from authsvc import config, embedded
from authsvc.store import migrations
from drills import stage
from drills.alerts.monitoring import Addresses, Monitoring, watching
from drills.alerts.people import Person, living
from drills.alerts.receiver import Receiver
from drills.ports import free_ports
from drills.stage import Instance

PEOPLE = 12
PAUSE_SECONDS = 0.5
SETTINGS = {
    # The people and the attackers have addresses of their own, as behind a proxy.
    "AUTHSVC_TRUSTED_PROXIES": "127.0.0.1/32",
    # One, so that to saturate it leaves the other cores to those who watch.
    "AUTHSVC_PASSWORD_THREADS": "1",
    # Each of them stands for several, who log in more often than one does.
    "AUTHSVC_LIMIT_ORIGIN": "600/300",
    "AUTHSVC_DRAIN_SECONDS": "0",
    # Nobody logs out here, and that should end no session.
    "AUTHSVC_SESSIONS_PER_USER": "10000",
}


@dataclass
class Scene:
    """Everything that something can be done to, and everybody who sees it."""

    server: embedded.Server
    instance: Instance
    people: list[Person]
    monitoring: Monitoring
    receiver: Receiver

    @classmethod
    @asynccontextmanager
    async def up(cls, factor: float, *, without: Sequence[str] = ()) -> AsyncIterator[Self]:
        """Lend it, and take all of it down at the end. Alerts `without` are left out of the rules.

        Raises:
            StageError: a program is missing, or does not start.
            EmbeddedError: there is no PostgreSQL.
        """
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(stage.temporary_folder())
            server = await asyncio.to_thread(stack.enter_context, embedded.serve(folder / "data", durable=False))
            await asyncio.to_thread(migrations.apply, config.DatabaseUrl(server.url))
            environ = stage.environ_of(folder, {"AUTHSVC_DATABASE_URL": server.url, **SETTINGS})
            instance = stage.instance_of(folder, 0, ["-m", "authsvc", "serve"], environ)
            stack.push_async_callback(stage.stop, instance)
            await instance.start()
            prometheus, alertmanager, hook = free_ports(3)
            receiver = await stack.enter_async_context(Receiver().listening(hook))
            addresses = Addresses(
                urlsplit(instance.admin_url).netloc,
                f"127.0.0.1:{prometheus}",
                f"127.0.0.1:{alertmanager}",
                f"127.0.0.1:{hook}",
            )
            # Nobody watches yet: they arrive all at once, which is no light load.
            people = await stack.enter_async_context(
                living(instance.url, PEOPLE, pause_seconds=PAUSE_SECONDS, seed="person")
            )
            watched = watching(folder / "monitoring", addresses, factor=factor, without=without)
            monitoring = await stack.enter_async_context(watched)
            yield cls(server, instance, people, monitoring, receiver)

    async def connect(self) -> psycopg.AsyncConnection:
        """Return an administrator's connection, in a transaction from its first statement on."""
        return await psycopg.AsyncConnection.connect(self.server.url)
