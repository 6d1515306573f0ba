"""The sweep: what is due goes, what is not stays, to the second."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from authsvc.config import Config
from authsvc.config import Journal as JournalSettings
from authsvc.entropy import SystemEntropy
from authsvc.events import OPERATOR
from authsvc.flows import sweep
from authsvc.flows.sweep import Retention, Sweep
from authsvc.revocations import GRACE_SECONDS
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client, FrozenClock
from tests.web.helpers import ME

DAY = 86_400
LIFETIME, IDLE, ACCESS = 30 * DAY, 7 * DAY, 900 + 30
SUBJECT = UUID("00000000-0000-4000-8000-0000000000aa")


@pytest.fixture
def swept(database: Database, config: Config, clock: FrozenClock) -> Any:
    """Sweep; return how many rows of each line of the table went, but for the limits' counts."""

    async def run(days: int = 365) -> list[int]:
        counts: dict[Retention, int] = {}
        await Sweep(database, config.sessions, JournalSettings(days), clock)(counts.__setitem__)
        return [swept for line, swept in counts.items() if line.table != "attempts"]

    return run


async def count(database: Database, table: str) -> int:
    async with database.read() as connection:
        return int(await connection.fetchval(f"select count(*) from {table}"))  # noqa: S608 - the test's own names


async def test_an_idle_session_goes_a_day_after_its_last_chance(
    client: Client, database: Database, clock: FrozenClock, swept: Any
) -> None:
    await make.user(client)
    await make.access_token(client)
    clock.advance(IDLE + DAY)
    assert (await swept())[0] == 0
    clock.advance(1)
    assert (await swept())[0] == 1
    assert await count(database, "sessions") == await count(database, "revocations") == 0


async def test_a_session_of_age_goes_a_day_after_its_end(
    client: Client, database: Database, clock: FrozenClock, swept: Any
) -> None:
    await make.user(client)
    await make.access_token(client)
    clock.advance(LIFETIME - DAY)
    async with database.read() as connection:
        await connection.execute("update sessions set last_used_at = $1", clock.now())
    clock.advance(2 * DAY)
    assert (await swept())[0] == 0
    clock.advance(1)
    assert (await swept())[0] == 1


async def test_a_session_stays_while_an_access_token_of_it_may_be_good(
    client: Client, database: Database, clock: FrozenClock, swept: Any
) -> None:
    """Without its row nobody could end it any more: no revocation would be written."""
    await make.user(client)
    await make.access_token(client)
    clock.advance(LIFETIME + 2 * DAY)
    async with database.read() as connection:
        await connection.execute("update sessions set access_until = $1", clock.now() - timedelta(days=1))
    assert (await swept())[0] == 0
    clock.advance(1)
    assert (await swept())[0] == 1


async def test_who_is_logged_in_stays_so(client: Client, clock: FrozenClock, swept: Any) -> None:
    await make.user(client)
    await make.access_token(client)
    clock.advance(IDLE + 2 * DAY)
    token = await make.access_token(client)
    assert (await swept())[0] == 1
    assert (await client.get(ME, headers=make.bearer(token))).status == 200


async def test_a_revocation_outlives_its_access_tokens_by_the_grace(
    client: Client, database: Database, clock: FrozenClock, swept: Any
) -> None:
    await make.user(client)
    token = await make.access_token(client)
    assert (await client.post("/api/auth/logout", headers=make.bearer(token))).status == 204
    clock.advance(ACCESS + GRACE_SECONDS)
    assert (await swept())[1] == 0
    clock.advance(1)
    assert (await swept())[1] == 1
    assert await count(database, "revocations") == 0


async def test_the_journal_is_kept_as_long_as_the_setting_says(
    client: Client, database: Database, clock: FrozenClock, swept: Any
) -> None:
    await make.user(client)
    clock.advance(10 * DAY)
    assert await swept(10) == [0, 0, 0, 0]
    clock.advance(1)
    assert await swept(11) == [0, 0, 0, 0]
    assert await swept(10) == [0, 0, 0, 1]
    assert await count(database, "journal") == 0


async def test_failed_logins_of_nobody_go_first(client: Client, clock: FrozenClock, swept: Any) -> None:
    await make.user(client)
    for email in (make.EMAIL, "nobody@example.com"):
        await client.post("/api/auth/login", json={"email": email, "password": "not the password"})
    clock.advance(30 * DAY)
    assert await swept() == [0, 0, 0, 0]
    clock.advance(1)
    assert await swept() == [0, 0, 1, 0]
    assert await swept() == [0, 0, 0, 0]


async def fill(database: Database, clock: FrozenClock, rows: int) -> None:
    """Write `rows` of each kind, that are all due."""
    long_ago = clock.now() - timedelta(days=400)
    async with database.transaction(OPERATOR) as transaction:
        connection = transaction.connection
        await connection.execute(
            "insert into users (public_id, email, created_at, updated_at) values ($1, 'a@example.com', $2, $2)",
            SUBJECT,
            long_ago,
        )
        ids = [SystemEntropy().new_id() for _ in range(rows)]
        await connection.execute(
            "insert into sessions (id, subject, counter, created_at, last_used_at, expires_at, access_until,"
            " authentication_methods) select id, $1, 1, $2, $2, $2, $2, '{pwd}' from unnest($3::uuid[]) as id",
            SUBJECT,
            long_ago,
            ids,
        )
        await connection.execute(
            "insert into revocations (session_id, expires_at) select id, $1 from unnest($2::uuid[]) as id",
            long_ago,
            ids,
        )
        await connection.execute(
            "insert into journal (recorded_at, event, subject) select $1, 'session:login:failure',"
            " case when number % 2 = 0 then $2::uuid end from generate_series(1, $3 * 2) as number",
            long_ago,
            SUBJECT,
            rows,
        )


async def test_batches_follow_each_other_until_all_is_gone(
    database: Database, clock: FrozenClock, swept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "BATCH", 10)
    await fill(database, clock, 35)
    assert await swept() == [35, 35, 35, 35]
    assert await swept() == [0, 0, 0, 0]


async def test_several_at_once_neither_wait_for_ever_nor_count_twice(
    database: Database, clock: FrozenClock, swept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "BATCH", 10)
    await fill(database, clock, 200)
    runs = await asyncio.gather(*(swept() for _ in range(4)))
    assert [sum(column) for column in zip(*runs, await swept(), strict=True)] == [200] * 4


async def test_a_row_that_somebody_holds_is_left_for_the_next_run(
    database: Database, clock: FrozenClock, swept: Any
) -> None:
    await fill(database, clock, 3)
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute("select from sessions limit 1 for update")
        assert (await swept())[0] == 2
    assert (await swept())[0] == 1
