"""No two transactions ever wait for each other: that is why the service repeats none of them."""

import asyncio
import dataclasses
import io
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from itertools import combinations
from uuid import UUID

import argon2
import pytest

from authsvc.config import Config
from authsvc.entropy import SystemEntropy
from authsvc.events import OPERATOR
from authsvc.flows.delete_user import delete_as_operator
from authsvc.flows.import_users import ImportUsers, Row
from authsvc.flows.sweep import Sweep
from authsvc.flows.users import Users
from authsvc.refusals import DatabaseUnavailable, Refusal
from authsvc.store import credentials
from authsvc.store.database import Database
from tests import make
from tests.races.conftest import HASH, PASSWORD, Flows, at_once

Act = Callable[[], Awaitable[object]]
ROUNDS = 200
ACTS = 5
"""At one time: with all of them the first ones leave the others nothing to do."""
PER_USER = 40
# The next good login renews it: it writes to the account, too.
WEAK = argon2.PasswordHasher(1, 8, 1, type=argon2.Type.I).hash(make.PASSWORD)


@pytest.fixture
def config(config: Config) -> Config:
    """Each login ends older sessions; and a connection for each act."""
    return dataclasses.replace(
        config,
        sessions=dataclasses.replace(config.sessions, per_user=PER_USER),
        database=dataclasses.replace(config.database, pool_size=20),
    )


GATES = (
    "select id from sessions where subject = :subject order by id limit 1 for update",
    "select public_id from users where public_id = :subject for update",
    "select id from sessions where subject = :subject order by id desc limit 1 for update",
)
WAITING = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"


async def together(database: Database, locked: str, acts: Iterable[Act]) -> list[object]:
    """Begin all of them while what they need is `locked`, let go once each waits or is done; return what came of them.

    So each has the locks that come before in its own order, whatever the speed of the machine.
    """

    async def do(act: Act) -> object:
        try:
            return await act()
        except Refusal as refusal:
            return type(refusal)

    async with asyncio.TaskGroup() as tasks, database.transaction(OPERATOR) as gate, database.read() as connection:
        await gate.connection.execute(locked)
        begun = [tasks.create_task(do(act)) for act in acts]
        while sum(not each.done() for each in begun) > await connection.fetchval(WAITING):
            await connection.execute("select pg_sleep(0.002)")
    return [each.result() for each in begun]


def assert_none_waited_for_each_other(results: list[object], log: io.StringIO) -> None:
    assert DatabaseUnavailable not in results
    assert '"fault":"conflict"' not in log.getvalue()


async def weaken(flows: Flows, subject: UUID) -> None:
    async with flows.database.read() as connection:
        assert await credentials.replace_password_hash(
            connection, subject=subject, old_hash=HASH, new_hash=WEAK, now=flows.clock.now()
        )


async def test_whatever_is_done_at_once_on_one_account_ends_without_a_deadlock(
    flows: Flows, config: Config, log: io.StringIO
) -> None:
    """DBF-10 (CWE-833, SQLSTATE 40P01)"""
    users = Users(flows.database, config.sessions, flows.clock)
    change, delete = flows.change_password.change, flows.delete_user.delete
    sweep = Sweep(flows.database, config.sessions, config.journal, flows.clock)
    for turn in range(ROUNDS):
        subject, email = await flows.open_account(turn)
        pairs = await asyncio.gather(*(flows.open_session(subject) for _session in range(PER_USER)))
        await weaken(flows, subject)
        pairs.sort(key=flows.session_of)
        # The first of all: whoever ends all of them has it before he waits for the others.
        own, other, third = (flows.session_of(pair) for pair in pairs[:3])
        acts: list[Act] = [
            flows.logging_in(email),
            flows.logging_in(email),
            flows.logging_in(email),
            partial(change, subject, own, PASSWORD, PASSWORD, OPERATOR),
            partial(change, subject, other, PASSWORD, PASSWORD, OPERATOR),
            partial(flows.sessions.log_out_everywhere, subject, OPERATOR, kept=None),
            partial(flows.sessions.log_out_everywhere, subject, OPERATOR, kept=other),
            partial(flows.sessions.end, subject, third, OPERATOR),
            partial(flows.refresh, pairs[0].refresh_token),
            partial(flows.refresh, pairs[1].refresh_token),
            partial(users.disable, subject),
            partial(users.enable, subject),
            partial(sweep, lambda _retention, _swept: None),
            partial(users.end_sessions, subject),
            partial(delete, subject, own, PASSWORD, OPERATOR),
            partial(delete_as_operator, flows.database, subject),
        ]
        choices = list(combinations(acts, ACTS))
        chosen = choices[turn * len(choices) // ROUNDS]
        locked = GATES[turn % len(GATES)].replace(":subject", f"'{subject}'")
        assert_none_waited_for_each_other(await together(flows.database, locked, chosen), log)


async def test_two_imports_of_the_same_addresses_in_opposite_order_both_end(flows: Flows, log: io.StringIO) -> None:
    """DBF-10 (CWE-833, SQLSTATE 40P01): each inserts what the other is about to."""
    load = ImportUsers(flows.database, flows.clock, SystemEntropy())
    for turn in range(4):
        rows = [Row(line, f"ada{turn}-{line}@example.com", HASH) for line in range(1_000)]
        done = await at_once(partial(load, rows, print), partial(load, rows[::-1], print), turn=turn)
        assert_none_waited_for_each_other(done, log)
