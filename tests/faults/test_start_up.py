"""Before it is ready, and when it is no more."""

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from authsvc.app import Service
from authsvc.store import migrations
from tests.conftest import Serve
from tests.faults.conftest import Fallible, Scene
from tests.faults.test_database import full, lasting, locked_out


@pytest.fixture
async def beginning(service: Service, serve: Serve) -> Scene:
    """The service, before anybody registered."""
    return Scene(await serve(service.public), await serve(service.admin))


@pytest.fixture
def stopped(fallible: Fallible) -> Fallible:
    fallible.server.stop()
    return fallible


async def test_started_before_its_database_it_serves_what_it_can_and_becomes_ready_later(
    stopped: Fallible, beginning: Scene
) -> None:
    """DEP-16, DBF-06 (ASVS 16.5.2)"""
    beginning.token = "not.a.token"
    assert await beginning.readiness() == (503, "database_unavailable")
    assert (await beginning.admin.get("/livez")).status == 200
    assert (await beginning.client.get("/login")).status == 200
    assert (await beginning.client.get("/.well-known/jwks.json")).status == 200
    assert (await beginning.register()).status == 503
    assert (await beginning.me()).status == 401
    await asyncio.to_thread(stopped.server.start)
    await beginning.until_ready()
    assert (await beginning.register()).status == 201


async def test_before_its_migrations_it_is_not_ready_and_503_not_500(unmigrated: Fallible, beginning: Scene) -> None:
    """CWE-755."""
    assert await beginning.readiness() == (503, "migrations_pending")
    assert (await beginning.register()).status == 503
    await asyncio.to_thread(migrations.apply, unmigrated.url)
    assert await beginning.readiness() == (200, "ready")
    assert (await beginning.register()).status == 201


async def test_a_database_of_a_later_version_is_good_for_this_one(fallible: Fallible, beginning: Scene) -> None:
    """DEP-06, DEP-19 (CWE-439): the next version has migrated already, or this one was rolled back to."""
    later = "insert into _yoyo_migration select 'x', '9999.later', applied_at_utc from _yoyo_migration limit 1"
    await asyncio.to_thread(fallible.run, later)
    assert await beginning.readiness() == (200, "ready")


async def test_while_draining_it_is_not_ready_and_still_answers(scene: Scene, service: Service) -> None:
    """CWE-404: a request in flight is not dropped by a new version."""
    assert await scene.readiness() == (200, "ready")
    service.readiness.draining = True
    assert await scene.readiness() == (503, "draining")
    assert (await scene.admin.get("/livez")).status == 200
    assert [(await ask()).status for ask in (scene.me, scene.log_in, scene.register)] == [200, 200, 201]


@contextmanager
def away(fallible: Fallible) -> Iterator[None]:
    fallible.server.stop()
    yield
    fallible.server.start()


@contextmanager
def no_database(fallible: Fallible) -> Iterator[None]:
    fallible.administer(f"alter database {fallible.name} rename to elsewhere")
    yield
    fallible.administer(f"alter database elsewhere rename to {fallible.name}")


FAULTS: dict[str, Callable[[Fallible], AbstractContextManager[None]]] = {
    "unreachable": away,
    "not_admitted": locked_out,
    "too_many_connections": full,
    "no_database": no_database,
}


@pytest.mark.parametrize("word", FAULTS)
async def test_a_start_into_a_fault_serves_says_which_it_is_and_recovers(
    word: str, fallible: Fallible, service: Service, serve: Serve, log: io.StringIO
) -> None:
    """DEP-16, DBF-06, DBF-17 (ASVS 16.3.4, 16.5.2)"""
    async with lasting(FAULTS[word], fallible):
        scene = Scene(await serve(service.public), await serve(service.admin))
        assert await scene.readiness() == (503, "database_unavailable")
        assert (await scene.admin.get("/livez")).status == 200
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        told = {(line["fault"], line["advice"]) for line in lines if line["event"] == "database_unavailable"}
        assert [fault for fault, _advice in told] == [word], "one word, one sentence"
    await scene.until_ready()
    assert (await scene.register()).status == 201


async def test_a_start_before_the_migrations_says_to_run_them(
    unmigrated: Fallible, beginning: Scene, log: io.StringIO
) -> None:
    """CWE-755."""
    assert unmigrated.name
    assert (await beginning.register()).status == 503
    assert '"fault":"not_migrated"' in log.getvalue()
    assert "run `authsvc migrate`" in log.getvalue()
