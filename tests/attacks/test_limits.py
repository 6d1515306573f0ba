"""Guessing, spraying, locking others out, filling the tables: what the limits stand in the way of."""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse

from authsvc.app import compose
from authsvc.config import Config, RateLimit
from authsvc.environment import trusted_proxies
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.make import EMAIL, PASSWORD
from tests.web.helpers import CREDENTIALS, LOGIN, REGISTER, composed, form, problem, send

WRONG = "not this battery"
BURST, DELAY = 10, 900
STRANGER, OWNER = "198.51.100.66", "203.0.113.7"
NAMES = (EMAIL, "nobody@example.com")


@pytest.fixture
def config(config: Config) -> Config:
    """Production's limits; the tests' own requests stand for clients behind a proxy."""
    return dataclasses.replace(config, http=dataclasses.replace(config.http, trusted_proxies=trusted_proxies("1")))


async def guess(
    client: Client, email: str = EMAIL, password: str = WRONG, *, address: str = STRANGER, **headers: str
) -> ClientResponse:
    given = {"X-Forwarded-For": address, **{name.replace("_", "-"): text for name, text in headers.items()}}
    return await client.post(LOGIN, json={"email": email, "password": password}, headers=given)


def from_anywhere() -> Callable[[], str]:
    """Return what yields another network's address each time: a botnet."""
    numbers = iter(range(2**16))
    return lambda: f"2001:db8:{next(numbers):x}::1"


async def statuses(*acts: Awaitable[ClientResponse]) -> list[int]:
    return [(await act).status for act in acts]


async def use_up(client: Client, email: str = EMAIL, address: str = STRANGER) -> None:
    for _ in range(BURST):
        await problem(await guess(client, email, address=address), 401, "invalid_credentials")


async def test_the_answer_to_too_many_says_how_long_to_wait(client: Client) -> None:
    """LGN-06: 429 with Retry-After (RFC 6585 §4), and draft-ietf-httpapi-ratelimit-headers-10."""
    await make.user(client)
    await use_up(client)
    response = await guess(client)
    document = await problem(response, 429, "rate_limited")
    assert document["detail"] == "There were too many attempts. Try again in 6 seconds."
    assert response.headers["Retry-After"] == "6"
    assert response.headers["RateLimit-Policy"] == '"account";q=10'
    assert response.headers["RateLimit"] == '"account";r=0;t=6'


async def test_the_right_password_is_not_looked_at_while_there_is_no_slot(client: Client, clock: FrozenClock) -> None:
    """LGN-06 (CWE-307): who guesses right beyond the limit does not hear of it."""
    await make.user(client)
    await use_up(client)
    assert (await guess(client, password=PASSWORD)).status == 429
    clock.advance(6)
    assert (await guess(client, password=PASSWORD)).status == 200


@pytest.mark.parametrize("email", NAMES)
async def test_each_further_guess_waits_twice_as_long_up_to_the_bound(
    email: str, client: Client, clock: FrozenClock
) -> None:
    """LGN-01, LGN-06 (CWE-307, CWE-204): and a name that no account has is limited as one that has."""
    await make.user(client)
    anywhere = from_anywhere()
    for _ in range(BURST):
        assert (await guess(client, email, address=anywhere())).status == 401
    waits = []
    for _ in range(11):
        refused = await guess(client, email, address=anywhere())
        assert refused.status == 429
        waits.append(int(refused.headers["Retry-After"]))
        clock.advance(waits[-1] - 1)
        assert (await guess(client, email, address=anywhere())).status == 429
        clock.advance(1)
        assert (await guess(client, email, address=anywhere())).status == 401
    assert waits == [6, 12, 24, 48, 96, 192, 384, 768, DELAY, DELAY, DELAY]


async def test_after_a_hundred_failures_there_are_at_most_a_hundred_guesses_a_day(
    client: Client, clock: FrozenClock
) -> None:
    """LGN-06: NIST SP 800-63B-4 §3.2.2, by its own second means, a wait that grows: see docs/decisions/0011."""
    await make.user(client)
    anywhere, evaluated, second = from_anywhere(), 0, 0
    evaluated_by_day = []
    for day in (1, 2):
        while second < day * 86_400:
            answer = await guess(client, address=anywhere())
            if answer.status == 401:
                evaluated += 1
            else:
                wait = int(answer.headers["Retry-After"])
                clock.advance(wait)
                second += wait
        evaluated_by_day.append(evaluated)
    assert evaluated_by_day[0] <= 112
    assert evaluated_by_day[1] - evaluated_by_day[0] <= 96


async def test_who_waits_for_the_delays_to_be_forgotten_gets_fewer_guesses_than_who_does_not(
    client: Client, clock: FrozenClock
) -> None:
    """LGN-06 (CWE-307): resetting the count by patience."""
    await make.user(client)
    anywhere = from_anywhere()
    for _ in range(BURST + 2):
        answer = await guess(client, address=anywhere())
        clock.advance(int(answer.headers.get("Retry-After", 0)))
    clock.advance(86_400 - 1)
    granted = [(await guess(client, address=anywhere())).status for _ in range(BURST)].count(401)
    assert granted < BURST
    clock.advance(2 * 86_400)
    assert [(await guess(client, address=anywhere())).status for _ in range(BURST + 1)].count(401) == BURST


async def test_success_gives_back_the_account_s_slots_and_not_the_origin_s(client: Client) -> None:
    """LGN-14 (NIST SP 800-63B-4 §3.2.2): the next failure counts from one again."""
    await make.user(client)
    for _ in range(6):
        answers = [guess(client) for _ in range(BURST - 1)] + [guess(client, password=PASSWORD)]
        assert await statuses(*answers) == [401] * (BURST - 1) + [200]
    refused = await guess(client, password=PASSWORD)
    await problem(refused, 429, "rate_limited")
    assert refused.headers["RateLimit-Policy"] == '"origin";q=60;w=300'
    assert await statuses(guess(client, address=OWNER), guess(client, password=PASSWORD, address=OWNER)) == [401, 200]


async def test_one_password_on_many_accounts_from_one_origin_is_stopped(
    client: Client, admin: Client, clock: FrozenClock
) -> None:
    """LGN-10 (CWE-307): spraying; the metric tells of it."""
    answers = [await guess(client, f"user{number}@example.com") for number in range(70)]
    assert [answer.status for answer in answers] == [401] * 60 + [429] * 10
    assert answers[-1].headers["Retry-After"] == "5"
    metrics = await (await admin.get("/metrics")).text()
    assert 'authsvc_limits_total{limit="origin",outcome="refused"} 10' in metrics
    assert 'authsvc_limits_total{limit="account",outcome="granted"} 60' in metrics
    clock.advance(5)
    assert await statuses(*(guess(client, f"next{number}@example.com") for number in range(2))) == [401, 429]


async def test_who_is_refused_for_his_origin_uses_up_no_slot_of_an_account(client: Client) -> None:
    """LGN-11 (ASVS 6.1.1): else one origin could keep everybody out, at no cost."""
    await make.user(client)
    for number in range(60):
        await guess(client, f"user{number}@example.com")
    assert await statuses(*(guess(client) for _ in range(2 * BURST))) == [429] * 2 * BURST
    assert await statuses(*(guess(client, address=OWNER) for _ in range(BURST + 1))) == [401] * BURST + [429]


@pytest.mark.parametrize(
    "addresses, other",
    [
        ([f"2001:db8:1:1::{number:x}" for number in range(60)], "2001:db8:1:2::1"),
        (["::ffff:198.51.100.66", "198.51.100.66", "[::ffff:c633:6442]:80"] * 20, "198.51.100.67"),
        ([f"fe80::1%eth{number}" for number in range(60)], "fe80:0:0:1::1"),
    ],
    ids=["the addresses of a /64", "mapped forms", "zones"],
)
async def test_another_address_of_the_same_origin_is_no_other_origin(
    addresses: list[str], other: str, client: Client
) -> None:
    """LGN-13 (CWE-307, RFC 4291 §2.5.1, §2.5.5.2): a /64 is one origin, as are both forms of an address."""
    for number, address in enumerate(addresses):
        assert (await guess(client, f"user{number}@example.com", address=address)).status == 401
    assert await statuses(guess(client, address=addresses[0]), guess(client, address=other)) == [429, 401]


async def test_an_address_that_the_client_made_up_changes_nothing(client: Client) -> None:
    """LGN-13 (CWE-348, ASVS 15.3.4): the entry that the proxy added counts, not those before it."""
    for number in range(60):
        await guess(client, f"user{number}@example.com", address=f"192.0.2.{number}, {STRANGER}")
    assert (await guess(client, address=f"192.0.2.99, {STRANGER}")).status == 429


PATHS = ("json", "form", "change", "delete", "change form", "delete form")


class Victim:
    """Somebody who is logged in, and whose password is guessed on every path there is."""

    def __init__(self, client: Client, token: str) -> None:
        self.client = client
        self.known = make.bearer(token)
        self.cookie = {"Cookie": f"access_token={token}"}

    async def guess(self, path: str) -> ClientResponse:
        client, change = self.client, {"current_password": WRONG, "new_password": "another correct horse"}
        match path:
            case "json":
                return await guess(client)
            case "form":
                return await send(client, "/login", await form(client, "/login") | {**CREDENTIALS, "password": WRONG})
            case "change":
                return await client.post("/api/auth/password", json=change, headers=self.known)
            case "delete":
                return await client.delete("/api/auth/me", json={"password": WRONG}, headers=self.known)
            case "change form":
                return await self._send("/account/password", change)
            case _:
                return await self._send("/account/delete", {"password": WRONG})

    async def _send(self, path: str, fields: dict[str, str]) -> ClientResponse:
        page = await form(self.client, path, headers=self.cookie)
        nonce = self.client.session.cookie_jar.filter_cookies(self.client.make_url("/"))["form_nonce"].value
        cookies = {"Cookie": f"{self.cookie['Cookie']}; form_nonce={nonce}"}
        return await self.client.post(path, data=page | fields, headers=cookies, allow_redirects=False)


@pytest.mark.parametrize("used_up_by", PATHS)
async def test_every_path_that_checks_a_password_shares_one_count(used_up_by: str, client: Client) -> None:
    """LGN-09, RST-18: CVE-2026-9798, CVE-2026-16103."""
    await make.user(client)
    victim = Victim(client, await make.access_token(client))
    first = [(await victim.guess(used_up_by)).status for _ in range(BURST)]
    assert set(first) == {422 if "form" in used_up_by and used_up_by != "form" else 401}
    assert {path: (await victim.guess(path)).status for path in PATHS} == dict.fromkeys(PATHS, 429)


async def test_the_count_holds_on_another_instance_and_after_a_restart(
    client: Client, config: Config, clock: FrozenClock, serve: Serve
) -> None:
    """LGN-15 (CWE-307)"""
    await make.user(client)
    other = await serve(await composed(config, clock))
    for number in range(BURST):
        assert (await guess((client, other)[number % 2])).status == 401
    await other.close()
    restarted = await serve(await composed(config, clock))
    assert await statuses(guess(client), guess(restarted)) == [429, 429]


async def test_the_journal_tells_the_owner_once_and_a_flood_does_not_fill_it(
    client: Client, database: Database
) -> None:
    """LGX-08, DOS-14 (ASVS 16.3.1): who is refused for the limit leaves no row."""
    await make.user(client)
    for _ in range(30):
        await guess(client)
        await guess(client, "nobody@example.com")
    async with database.read() as connection:
        rows = await connection.fetch("select event, count(*) from journal group by event")
    counts = {row["event"]: row["count"] for row in rows}
    assert counts["credential:verify:slowed"] == 1
    assert counts["session:login:failure"] == 2 * BURST


async def test_registrations_from_one_origin_are_limited(client: Client, clock: FrozenClock) -> None:
    """REG-25, DOS-10 (ASVS 2.4.1)"""

    async def register(number: int, address: str = STRANGER) -> ClientResponse:
        body = {"email": f"user{number}@example.com", "password": PASSWORD}
        return await client.post(REGISTER, json=body, headers={"X-Forwarded-For": address})

    answers = [await register(number) for number in range(22)]
    assert [answer.status for answer in answers] == [201] * 20 + [429] * 2
    assert answers[-1].headers["RateLimit-Policy"] == '"register";q=20;w=3600'
    assert answers[-1].headers["Retry-After"] == "180"
    assert (await register(23, OWNER)).status == 201
    clock.advance(180)
    assert await statuses(register(24), register(25)) == [201, 429]


@pytest.mark.parametrize("path", ["/login", "/register"])
async def test_the_form_says_how_long_to_wait_and_keeps_what_was_typed(
    path: str, client: Client, config: Config, clock: FrozenClock, serve: Serve
) -> None:
    """RFC 6585 §4."""
    once = RateLimit(1, 90)
    limits = dataclasses.replace(config.limits, account=once, register=once)
    client = await serve(await composed(dataclasses.replace(config, limits=limits), clock))
    fields: dict[str, Any] = {"email": EMAIL, "password": WRONG}
    for _ in range(2):
        response = await send(client, path, await form(client, path) | fields)
    page = await response.text()
    assert (response.status, response.headers["Retry-After"]) == (429, "90")
    assert "There were too many attempts. Try again in 2 minutes." in page
    assert f'value="{EMAIL}"' in page
    assert WRONG not in page


async def test_the_table_holds_no_address_and_no_name(client: Client, database: Database) -> None:
    """DOS-14 (CWE-359)"""
    await make.user(client)
    await guess(client)
    async with database.read() as connection:
        rows = await connection.fetch("select key, attempts::text as row from attempts")
        persistence = await connection.fetchval("select relpersistence::text from pg_class where relname = 'attempts'")
    assert len(rows) == 3
    assert {len(row["key"]) for row in rows} == {32}
    assert not [row["row"] for row in rows for secret in (EMAIL, STRANGER, "@") if secret in row["row"]]
    assert persistence == "u"


async def test_good_refreshes_reads_and_checks_ask_nothing_of_the_limits(client: Client, database: Database) -> None:
    """CWE-645: nobody is held up who guesses nothing."""
    await make.user(client)
    pair = await make.tokens(client)
    async with database.read() as connection:
        await connection.execute("drop table attempts")
    known = make.bearer(pair["access_token"])
    answers = [await client.get(f"/api/auth/{path}", headers=known) for path in ("me", "verify", "sessions")]
    answers.append(await client.post("/api/auth/refresh", json={"refresh_token": pair["refresh_token"]}))
    assert [answer.status for answer in answers] == [200, 204, 200, 200]


@pytest.mark.parametrize("direction, answers", [("refuse", [503, 503]), ("pass", [200, 201])])
async def test_where_nothing_can_be_counted_the_setting_decides_and_the_metric_tells(
    config: Config, database: Database, serve: Serve, direction: Any, answers: list[int]
) -> None:
    """CWE-636: by default no password is checked uncounted."""
    limits = dataclasses.replace(config.limits, when_unavailable=direction)
    service = await asyncio.to_thread(compose, dataclasses.replace(config, limits=limits))
    client, admin = await serve(service.public), await serve(service.admin)
    await make.user(client)
    async with database.read() as connection:
        await connection.execute("drop table attempts")
    body = {"email": "grace@example.com", "password": PASSWORD}
    assert await statuses(guess(client, password=PASSWORD), client.post(REGISTER, json=body)) == answers
    metrics = await (await admin.get("/metrics")).text()
    for limit in ("origin", "account", "register"):
        assert f'authsvc_limits_total{{limit="{limit}",outcome="unavailable"}} 1' in metrics


async def test_switched_off_nothing_is_limited(config: Config, clock: FrozenClock, serve: Serve) -> None:
    """CWE-307: what benchmarks need, and the start warns of."""
    off = dataclasses.replace(config.limits, switch="off")
    client = await serve(await composed(dataclasses.replace(config, limits=off), clock))
    assert set(await statuses(*(guess(client) for _ in range(70)))) == {401}
