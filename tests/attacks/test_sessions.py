"""Attacks on sessions and their refresh tokens."""

import asyncio
import base64
import dataclasses
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from aiohttp import ClientResponse

from authsvc.config import Config, DatabaseUrl
from authsvc.refresh_tokens import RefreshToken, RefreshTokens
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import ME, composed, form, log_in, problem, send

REFRESH, SESSIONS = "/api/auth/refresh", "/api/auth/sessions"
EVE = "eve@example.com"


async def refresh(client: Client, pair: Mapping[str, Any]) -> ClientResponse:
    return await client.post(REFRESH, json={"refresh_token": pair["refresh_token"]})


async def refreshed(client: Client, pair: Mapping[str, Any]) -> Any:
    response = await refresh(client, pair)
    assert response.status == 200, await response.text()
    assert response.headers["Cache-Control"] == "no-store"
    return await response.json()


async def assert_over(client: Client, pair: Mapping[str, Any]) -> None:
    await problem(await refresh(client, pair), 400, "invalid_grant")
    await problem(await client.get(ME, headers=make.bearer(pair["access_token"])), 401, "invalid_token")


async def assert_alive(client: Client, pair: Mapping[str, Any]) -> None:
    await refreshed(client, pair)
    assert (await client.get(ME, headers=make.bearer(pair["access_token"]))).status == 200


async def session_ids(client: Client, pair: Mapping[str, Any]) -> list[str]:
    response = await client.get(SESSIONS, headers=make.bearer(pair["access_token"]))
    return [session["id"] for session in (await response.json())["sessions"]]


def claims_of(pair: Mapping[str, Any]) -> Any:
    payload = pair["access_token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@pytest.fixture
async def pair(client: Client) -> Any:
    """Ada, logged in by a program."""
    await make.user(client)
    return await make.tokens(client)


async def test_a_refresh_gives_two_new_tokens_of_the_same_session(client: Client, pair: Any) -> None:
    """REF-01 (ASVS 7.2.2)"""
    following = await refreshed(client, pair)
    assert following["refresh_token"] != pair["refresh_token"]
    assert following["access_token"] != pair["access_token"]
    for name in ("sub", "sid"):
        assert claims_of(following)[name] == claims_of(pair)[name]
    await assert_alive(client, following)


async def test_a_token_that_comes_again_after_its_successor_was_used_ends_the_session(
    client: Client, pair: Any, database_url: DatabaseUrl
) -> None:
    """REF-02 (ASVS 2.3.1, 10.4.5): for all that was ever given of it; another session of the account goes on."""
    other = await make.tokens(client)
    second = await refreshed(client, pair)
    third = await refreshed(client, second)
    await problem(await refresh(client, pair), 400, "invalid_grant")
    for each in (pair, second, third):
        await assert_over(client, each)
    await assert_alive(client, other)
    with psycopg.connect(database_url.reveal()) as connection:
        row = connection.execute("select count(*) from journal where event = 'session:refresh:reuse'").fetchone()
    assert row == (1,)


async def test_who_lost_the_answer_gets_it_again(client: Client, pair: Any) -> None:
    """REF-04, REF-07 (RFC 9700 §4.14.2)"""
    lost = await refreshed(client, pair)
    again = await refreshed(client, pair)
    assert again["refresh_token"] == lost["refresh_token"]
    await assert_alive(client, again)


@pytest.mark.parametrize("thief_is_first", [True, False])
async def test_a_stolen_token_ends_the_session_as_soon_as_both_have_gone_on(
    client: Client, pair: Any, *, thief_is_first: bool
) -> None:
    """REF-05 (RFC 9700 §4.14.2): both hold the first; one goes on by the next, and then the other asks by the first."""
    goes_on = await refreshed(client, await refreshed(client, pair))
    late = pair
    thief, owner = (goes_on, late) if thief_is_first else (late, goes_on)
    await problem(await refresh(client, late), 400, "invalid_grant")
    await assert_over(client, thief)
    await assert_over(client, owner)


async def test_no_refresh_reaches_beyond_the_absolute_end(
    client: Client, pair: Any, config: Config, clock: FrozenClock
) -> None:
    """REF-08 (ASVS 7.3.2): used each day, it ends on its day all the same; and its last access token with it."""
    day, current = 86_400, pair
    for _day in range(config.sessions.lifetime_seconds // day - 1):
        clock.advance(day)
        current = await refreshed(client, current)
    clock.advance(day - 60)
    current = await refreshed(client, current)
    assert current["expires_in"] <= 60
    assert current["refresh_expires_in"] <= 60
    clock.advance(60)
    await problem(await refresh(client, current), 400, "invalid_grant")
    clock.advance(30)
    await problem(await client.get(ME, headers=make.bearer(current["access_token"])), 401, "invalid_token")


async def test_an_idle_session_is_over(client: Client, pair: Any, config: Config, clock: FrozenClock) -> None:
    """REF-09 (ASVS 7.3.1)"""
    clock.advance(config.sessions.idle_seconds - 1)
    current = await refreshed(client, pair)
    clock.advance(config.sessions.idle_seconds)
    await problem(await refresh(client, current), 400, "invalid_grant")


async def test_a_session_ended_elsewhere_is_not_renewed(client: Client, pair: Any) -> None:
    """REF-10 (ASVS 7.4.1)"""
    other = await make.tokens(client)
    ended = await client.delete(f"{SESSIONS}/{claims_of(pair)['sid']}", headers=make.bearer(other["access_token"]))
    assert ended.status == 204
    await assert_over(client, pair)
    await assert_alive(client, other)


async def test_a_refresh_token_is_of_its_own_session_whoever_brings_it(client: Client, pair: Any) -> None:
    """REF-11 (RFC 6749 §6): neither bearer nor cookie beside it has a say, and no field widens what it gives."""
    await make.user(client, EVE)
    eve = await make.tokens(client, EVE)
    response = await client.post(
        REFRESH,
        json={"refresh_token": pair["refresh_token"]},
        headers=make.bearer(eve["access_token"]) | {"Cookie": f"refresh_token={eve['refresh_token']}"},
    )
    assert claims_of(await response.json())["sub"] == claims_of(pair)["sub"]
    await assert_alive(client, eve)
    data = base64.urlsafe_b64decode(pair["refresh_token"])
    grafted = data[:1] + UUID(claims_of(eve)["sid"]).bytes + data[17:]
    forged = {"refresh_token": base64.urlsafe_b64encode(grafted).decode()}
    await problem(await refresh(client, forged), 400, "invalid_grant")
    await assert_alive(client, eve)


GARBAGE = {
    "empty": '""',
    "short": '"AQ"',
    "an emoji": '"\\ud83d\\ude00"',
    "padded": '"' + "A" * 52 + '="',
    "12 KiB": '"' + "A" * 12_288 + '"',
    "an access token": None,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_whatever_is_wrong_with_a_token_the_answer_is_the_same(
    garbage: str | None, client: Client, pair: Any
) -> None:
    """REF-12 (CWE-204)"""
    ended = dict(pair)
    await client.post("/api/auth/logout", headers=make.bearer(pair["access_token"]))
    usual = await problem(await refresh(client, ended), 400, "invalid_grant")
    text = json.dumps(pair["access_token"]) if garbage is None else garbage
    response = await client.post(
        REFRESH, data=f'{{"refresh_token": {text}}}', headers={"Content-Type": "application/json"}
    )
    answer = await problem(response, 400, "invalid_grant")
    assert {**answer, "instance": ""} == {**usual, "instance": ""}


@pytest.mark.parametrize(
    "body, status",
    [
        ('{"refresh_token": "\\ud800"}', 422),
        ('{"refresh_token": "\\u0000"}', 422),
        ('{"refresh_token": 7}', 422),
        ('{"refresh_token": ["x"]}', 422),
        ('{"refresh_token": "' + "A" * 1_000_000 + '"}', 413),
    ],
    ids=["a lone surrogate", "NUL", "a number", "a list", "1 MB"],
)
async def test_what_is_no_text_is_refused_before_it_is_looked_at(body: str, status: int, client: Client) -> None:
    """REF-12 (CWE-1287, CWE-770)"""
    response = await client.post(REFRESH, data=body, headers={"Content-Type": "application/json"})
    assert response.status == status, await response.text()


async def test_who_has_read_the_whole_database_can_renew_nothing(
    client: Client, pair: Any, database_url: DatabaseUrl
) -> None:
    """REF-13 (ASVS 7.2.3): it holds neither a token, nor a part of one, nor the key that makes them."""
    following = await refreshed(client, pair)
    with psycopg.connect(database_url.reveal()) as connection:
        tables = connection.execute(
            "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
        )
        names = [name for (name,) in tables.fetchall()]
        dump = "".join(str(connection.execute(f"select t::text from {name} t".encode()).fetchall()) for name in names)  # noqa: S608 - names of its own tables
        row = connection.execute("select id, counter from sessions").fetchone()
    assert row is not None
    for token in (pair["refresh_token"], following["refresh_token"]):
        mac = base64.urlsafe_b64decode(token)[-16:]
        assert token not in dump
        assert mac.hex() not in dump
    forged = RefreshTokens([str(row[0]).encode()]).make(RefreshToken(row[0], row[1]))
    await problem(await refresh(client, {"refresh_token": forged}), 400, "invalid_grant")
    await assert_alive(client, following)


async def test_clocks_that_differ_by_five_minutes_log_nobody_out(
    client: Client, pair: Any, config: Config, clock: FrozenClock, serve: Serve
) -> None:
    """REF-14 (ASVS 16.2.2): renewed in turn by an instance that is behind and one ahead; neither prolongs the whole."""
    clocks = [FrozenClock(), FrozenClock()]
    clocks[0].advance(-300)
    clocks[1].advance(300)
    others = [await serve(await composed(config, each)) for each in clocks]
    current = pair
    for turn in range(6):
        current = await refreshed(others[turn % 2], current)
    ends = clock.now() + timedelta(seconds=config.sessions.lifetime_seconds)
    listed = await client.get(SESSIONS, headers=make.bearer(pair["access_token"]))
    (session,) = (await listed.json())["sessions"]
    assert datetime.fromisoformat(session["expires_at"]) == ends


async def test_ten_thousand_sessions_that_are_over_are_cleared_by_the_next_login(
    client: Client, pair: Any, config: Config, database_url: DatabaseUrl
) -> None:
    """REF-15 (CWE-400): a login looks at those of its account, by the index, and leaves no more than are allowed."""
    subject = claims_of(pair)["sub"]
    with psycopg.connect(database_url.reveal(), autocommit=True) as connection:
        connection.execute(
            "insert into sessions (id, subject, counter, created_at, last_used_at, expires_at, access_until,"
            " authentication_methods) select gen_random_uuid(), subject, 1, old, old, old, old, '{pwd}'"
            " from sessions, (select timestamptz '2026-01-01' as old) as past, generate_series(1, 10000)"
        )
        assert await session_ids(client, pair) == [claims_of(pair)["sid"]]
        latest = await make.tokens(client)
        row = connection.execute("select count(*) from sessions where subject = %s", [subject]).fetchone()
        assert row == (config.sessions.per_user,)
    assert set(await session_ids(client, latest)) == {claims_of(each)["sid"] for each in (pair, latest)}


async def test_after_a_logout_nothing_of_the_session_is_good(client: Client) -> None:
    """SES-02 (ASVS 7.4.1): the browser is told to forget, and what a thief has kept is dead."""
    await make.user(client)
    await log_in(client)
    kept = {
        name: client.session.cookie_jar.filter_cookies(client.make_url("/"))[name].value
        for name in ("access_token", "refresh_token")
    }
    sent = await send(client, "/logout", await form(client, "/account"))
    assert (sent.status, sent.headers["Location"]) == (303, "/login")
    assert "storage" in sent.headers["Clear-Site-Data"]
    assert {name: sent.cookies[name].value for name in kept} == {"access_token": "", "refresh_token": ""}
    await assert_over(client, kept)
    client.session.cookie_jar.update_cookies(kept, client.make_url("/"))
    page = await client.get("/account", headers={"Accept": "text/html"}, allow_redirects=False)
    assert (page.status, page.headers["Location"].split("?")[0]) == (303, "/login")


async def test_a_changed_password_ends_every_other_session(client: Client, pair: Any) -> None:
    """SES-04 (ASVS 7.4.3)"""
    others = [await make.tokens(client) for _number in range(2)]
    body = {"current_password": make.PASSWORD, "new_password": "another correct horse"}
    changed = await client.post("/api/auth/password", json=body, headers=make.bearer(pair["access_token"]))
    assert changed.status == 204
    for other in others:
        await assert_over(client, other)
    await assert_alive(client, pair)


async def test_one_login_too_many_ends_the_session_that_was_used_longest_ago(
    config: Config, clock: FrozenClock, serve: Serve
) -> None:
    """SES-07 (ASVS 2.3.2, 7.1.2)"""
    most = dataclasses.replace(config, sessions=dataclasses.replace(config.sessions, per_user=3))
    client = await serve(await composed(most, clock))
    await make.user(client)
    pairs = []
    for _number in range(3):
        pairs.append(await make.tokens(client))
        clock.advance(1)
    pairs[0] = await refreshed(client, pairs[0])
    last = await make.tokens(client)
    await assert_over(client, pairs[1])
    for each in (pairs[0], pairs[2], last):
        await assert_alive(client, each)


@pytest.mark.parametrize("junk", ["x" * 4097, "%00", "eyJhbGciOiJub25lIn0.e30.", "", '"quoted"'])
async def test_a_cookie_that_is_no_token_is_as_if_it_were_not_there_and_is_cleared(junk: str, client: Client) -> None:
    """SES-08 (CWE-565)"""
    cookies = {"Cookie": f"access_token={junk}; refresh_token={junk[:52]}", "Accept": "text/html"}
    page = await client.get("/login", headers=cookies)
    assert page.status == 200
    assert {name: page.cookies[name].value for name in ("access_token", "refresh_token")} == {
        "access_token": "",
        "refresh_token": "",
    }


async def test_a_logout_is_known_to_the_refresh_of_another_instance_at_once(
    client: Client, pair: Any, config: Config, clock: FrozenClock, serve: Serve
) -> None:
    """SES-09 (CWE-613, ASVS 7.4.1): refreshes are decided in the primary, not by what an instance has heard."""
    other = await serve(await composed(config, clock))
    assert (await client.post("/api/auth/logout", headers=make.bearer(pair["access_token"]))).status == 204
    await problem(await refresh(other, pair), 400, "invalid_grant")


async def test_nobody_sees_or_ends_a_session_of_somebody_else(client: Client, pair: Any) -> None:
    """SQL-07 (ASVS 8.2.2): the same answer as for one that does not exist."""
    await make.user(client, EVE)
    eve = await make.tokens(client, EVE)
    assert await session_ids(client, eve) == [claims_of(eve)["sid"]]
    answers = []
    for session_id in (claims_of(pair)["sid"], str(UUID(int=7)), "not-an-id"):
        response = await client.delete(f"{SESSIONS}/{session_id}", headers=make.bearer(eve["access_token"]))
        answers.append(await problem(response, 404, "session_not_found"))
    assert len({json.dumps({**each, "instance": ""}) for each in answers}) == 1
    await assert_alive(client, pair)


async def test_a_bearer_beside_the_cookie_of_somebody_else_is_the_only_one_heard(client: Client, pair: Any) -> None:
    """MW-08 (CWE-287): one logs out, and it is the one of the bearer."""
    await make.user(client, EVE)
    eve = await make.tokens(client, EVE)
    headers = make.bearer(eve["access_token"]) | {"Cookie": f"access_token={pair['access_token']}"}
    assert (await client.post("/api/auth/logout", headers=headers)).status == 204
    await assert_over(client, eve)
    await assert_alive(client, pair)


async def test_sessions_of_all_who_log_in_at_once_are_their_own(client: Client) -> None:
    """SES-10 (CWE-488): no session id and no token is given to two."""
    emails = [f"ada{number}@example.com" for number in range(8)]
    users = await asyncio.gather(*(make.user(client, email) for email in emails))
    pairs = await asyncio.gather(*(make.tokens(client, email) for email in emails))
    assert [claims_of(each)["sub"] for each in pairs] == [user["id"] for user in users]
    assert len({claims_of(each)["sid"] for each in pairs}) == len(emails)
