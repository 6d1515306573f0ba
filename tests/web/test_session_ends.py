"""The journal says of each session why it ended."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from authsvc.config import Config
from authsvc.events import SessionEnded
from authsvc.flows.users import Users
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client, FrozenClock
from tests.web.helpers import CREDENTIALS, LOGIN

PASSWORDS = {"current_password": make.PASSWORD, "new_password": "another correct horse battery"}
End = Callable[["World", Any], Awaitable[object]]


class World:
    """A service with Ada, her first session and what ends it."""

    def __init__(self, client: Client, database: Database, config: Config) -> None:
        self.client, self.database, self.most = client, database, config.sessions.per_user
        self.users = Users(database, config.sessions, FrozenClock())

    async def post(self, path: str, pair: Any, body: object) -> None:
        response = await self.client.post(f"/api/auth/{path}", json=body, headers=make.bearer(pair["access_token"]))
        assert response.status == 204, await response.text()

    async def refresh(self, pair: Any) -> Any:
        response = await self.client.post("/api/auth/refresh", json={"refresh_token": pair["refresh_token"]})
        return await response.json()

    async def only(self, column: str, table: str) -> UUID:
        async with self.database.read() as connection:
            return UUID(str(await connection.fetchval(f"select {column} from {table}")))  # noqa: S608 - names of ours

    async def log_out(self, pair: Any) -> None:
        await self.post("logout", pair, {})

    async def log_out_everywhere(self, _pair: Any) -> None:
        await self.post("logout-all", await make.tokens(self.client), {})

    async def log_out_from_another(self, _pair: Any) -> None:
        path = f"/api/auth/sessions/{await self.only('id', 'sessions')}"
        headers = make.bearer(await make.access_token(self.client))
        assert (await self.client.delete(path, headers=headers)).status == 204

    async def end_as_operator(self, _pair: Any) -> None:
        await self.users.end_sessions(await self.only("public_id", "users"))

    async def disable(self, _pair: Any) -> None:
        await self.users.disable(await self.only("public_id", "users"))

    async def change_password(self, _pair: Any) -> None:
        await self.post("password", await make.tokens(self.client), PASSWORDS)

    async def revoke(self, pair: Any) -> None:
        form = {**await make.service(self.database), "token": pair["refresh_token"]}
        assert (await self.client.post("/api/auth/revoke", data=form)).status == 200

    async def reuse(self, pair: Any) -> None:
        await self.refresh(await self.refresh(pair))
        await self.refresh(pair)

    async def evict(self, _pair: Any) -> None:
        for _number in range(self.most):
            await make.tokens(self.client)

    async def log_in_again(self, pair: Any) -> None:
        headers = {"Token-Delivery": "cookie", "Cookie": f"refresh_token={pair['refresh_token']}"}
        assert (await self.client.post(LOGIN, json=CREDENTIALS, headers=headers)).status == 204


ENDS: dict[str, list[End]] = {
    "session:end:logout": [World.log_out, World.log_out_everywhere, World.log_out_from_another],
    "session:end:revoked": [World.revoke, World.end_as_operator],
    "session:end:replaced": [World.log_in_again],
    "session:end:reused": [World.reuse],
    "session:end:evicted": [World.evict],
    "session:end:password_changed": [World.change_password],
    "session:end:disabled": [World.disable],
}


@pytest.fixture
def world(client: Client, database: Database, config: Config) -> World:
    return World(client, database, config)


def test_every_kind_that_is_recorded_is_here() -> None:
    assert ENDS.keys() == {kind.tag for kind in SessionEnded.__subclasses__()} - {"session:end:deleted"}


@pytest.mark.unlimited
@pytest.mark.parametrize("tag, end", [(tag, end) for tag, ends in ENDS.items() for end in ends])
async def test_the_journal_says_why_a_session_ended(tag: str, end: End, world: World, clock: FrozenClock) -> None:
    await make.user(world.client)
    pair = await make.tokens(world.client)
    session_id = await world.only("id", "sessions")
    clock.advance(1)  # so that it is the one used longest ago
    await end(world, pair)
    async with world.database.read() as connection:
        assert await connection.fetchval("select count(*) from sessions where id = $1", session_id) == 0
        ends = "select event from journal where session_id = $1 and event like 'session:end:%'"
        assert [row["event"] for row in await connection.fetch(ends, session_id)] == [tag]
