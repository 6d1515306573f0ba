"""Two real servers: the primary dies under load, its standby is promoted, and the service goes on there by itself."""

import asyncio
import dataclasses
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import psycopg
import pytest

from authsvc import embedded
from authsvc.app import compose
from authsvc.config import Config, DatabaseUrl
from authsvc.installations import ENVIRONMENT
from authsvc.store.faults import READ_ONLY, classify
from tests.cli.conftest import eventually
from tests.conftest import FrozenClock, Serve
from tests.faults.conftest import PATIENCE_SECONDS, Fallible, ProxiedScene, Scene
from tests.faults.crowd import crowded


class Standby:
    """A server that follows another, and waits in a folder of sockets of its own."""

    def __init__(self, primary: Fallible, folder: Path) -> None:
        self._cluster = primary.server._cluster
        self.sockets = folder / "sockets"
        data = folder / "data"
        source = parse_qs(urlsplit(primary.server.url).query)["host"][0]
        for each in (folder, self.sockets):
            each.mkdir(exist_ok=True)
            if self._cluster.owner:
                os.chown(each, *self._cluster.owner)
        copied = self._cluster.run(
            *("pg_basebackup", "--pgdata", str(data), "--host", source, "--username", "authsvc"),
            *("--write-recovery-conf", "--checkpoint", "fast"),
        )
        assert copied.returncode == 0, copied.stderr
        flags = ("-D", str(data), "-h", "", "-k", str(self.sockets), "-p", str(embedded._PORT))
        self._process = subprocess.Popen(
            self._cluster.command("postgres", *flags, *primary.server._settings),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd="/", env=ENVIRONMENT, start_new_session=True,
        )  # fmt: skip
        eventually(lambda: self.says("select pg_is_in_recovery()"), "the standby answers")

    @property
    def socket(self) -> str:
        return f"{self.sockets}/.s.PGSQL.{embedded._PORT}"

    def says(self, question: str) -> object:
        """Return its answer, or None where it does not answer."""
        with (
            suppress(psycopg.Error),
            psycopg.connect(f"postgresql://authsvc@/authsvc?host={self.sockets}") as connection,
        ):
            row = connection.execute(question.encode()).fetchone()
            return row[0] if row else None
        return None

    def promote(self) -> None:
        assert self.says("select pg_promote()")
        eventually(lambda: self.says("select not pg_is_in_recovery()"), "the standby is the primary")

    def stop(self) -> None:
        embedded._end(self._process.pid, lambda: self._process.poll() is None)


@pytest.fixture
def standby(fallible: Fallible, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standby]:
    """What the primary acknowledges the standby has: else a fail-over may lose it, whatever the service does."""
    folder = tmp_path_factory.mktemp("standby")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o711)
    standby = Standby(fallible, folder)
    try:
        fallible.administer("alter system set synchronous_standby_names = '*'", "select pg_reload_conf()")
        sync = "select count(*) = 1 from pg_stat_replication where sync_state = 'sync'"
        eventually(lambda: fallible.ask(sync), "the standby is synchronous")
        yield standby
    finally:
        standby.stop()
        fallible.server.start()
        fallible.administer("alter system reset synchronous_standby_names", "select pg_reload_conf()")


async def test_where_the_address_follows_the_primary_a_fail_over_loses_nothing(
    standby: Standby, fallible: Fallible, proxied: ProxiedScene
) -> None:
    """DBF-07 (SQLSTATE 25006): it meets the standby first, while that still follows and refuses each write."""
    async with crowded(proxied) as crowd:
        await asyncio.to_thread(fallible.server.kill)
        proxied.proxy.socket = standby.socket
        await crowd.is_refused()
        await asyncio.to_thread(standby.promote)


async def test_a_standby_refuses_an_unlogged_table_by_a_word_of_its_own(standby: Standby, fallible: Fallible) -> None:
    """DBF-07, DBF-08 (SQLSTATE 0A000): by its class that error could be a feature that nobody has."""
    url = f"postgresql://authsvc@/{fallible.name}?host={standby.sockets}"
    async with asyncio.timeout(PATIENCE_SECONDS):
        connection = await asyncpg.connect(url)
        with pytest.raises(asyncpg.FeatureNotSupportedError) as refused:
            await connection.fetch("select key from attempts")
        await connection.close()
    assert classify(refused.value) is READ_ONLY


@pytest.fixture
async def of_both(config: Config, standby: Standby, fallible: Fallible, clock: FrozenClock, serve: Serve) -> Scene:
    """The service, with both servers in its URL."""
    first = parse_qs(urlsplit(fallible.url.reveal()).query)["host"][0]
    hosts = f"host={standby.sockets},{first}&port=5432,5432&target_session_attrs=read-write"
    url = DatabaseUrl(f"postgresql://authsvc@/{fallible.name}?{hosts}")
    config = dataclasses.replace(config, database=dataclasses.replace(config.database, url=url))
    service = await asyncio.to_thread(compose, config, clock=clock)
    scene = Scene(await serve(service.public), await serve(service.admin))
    await scene.begin()
    return scene


async def test_where_the_url_names_both_servers_the_one_that_writes_is_found(
    standby: Standby, fallible: Fallible, of_both: Scene
) -> None:
    """DBF-07 (SQLSTATE 25006): as docs/configuration.md says of `target_session_attrs`."""
    async with crowded(of_both) as crowd:
        await asyncio.to_thread(fallible.server.kill)
        await crowd.is_refused()
        await asyncio.to_thread(standby.promote)
