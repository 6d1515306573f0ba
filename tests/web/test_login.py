"""Logging in: POST /api/auth/login, and the form at /login."""

import asyncio
from uuid import UUID

import bcrypt
import pytest

from authsvc.clock import SystemClock
from authsvc.emails import EmailAddress
from authsvc.entropy import SystemEntropy
from authsvc.events import OPERATOR
from authsvc.flows.import_users import ImportUsers, Row
from authsvc.store import credentials
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client
from tests.make import EMAIL, PASSWORD
from tests.web.helpers import CREDENTIALS, LOGIN, ME, faults_of, form, log_in, problem, send

SAME_BUT_FOR = {"date", "x-request-id"}
READ_ONLY = """\
create function refuse() returns trigger language plpgsql as $$ begin raise sqlstate '25006'; end $$;
create trigger read_only before update on users execute function refuse();
"""


async def test_who_registered_logs_in_and_is_known(client: Client) -> None:
    account = await make.user(client)
    response = await client.post(LOGIN, json=CREDENTIALS)
    assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
    assert "Set-Cookie" not in response.headers
    token = await response.json()
    assert token.keys() == {"access_token", "token_type", "expires_in", "refresh_token", "refresh_expires_in"}
    assert (token["token_type"], token["refresh_expires_in"]) == ("Bearer", 604_800)
    assert 855 <= token["expires_in"] <= 900
    me = await client.get(ME, headers=make.bearer(token["access_token"]))
    assert (me.status, await me.json()) == (200, account)


async def test_an_unknown_address_is_answered_as_a_wrong_password(client: Client) -> None:
    """LGN-01: status, headers and body are the same."""
    await make.user(client)
    answers = []
    for email in (EMAIL, "nobody@example.com"):
        response = await client.post(LOGIN, json={"email": email, "password": "not this battery"})
        document = await problem(response, 401, "invalid_credentials")
        del document["instance"]
        headers = {(name.lower(), text) for name, text in response.headers.items()}
        answers.append((document, {each for each in headers if each[0] not in SAME_BUT_FOR}))
    assert answers[0] == answers[1]
    assert ("www-authenticate", "Bearer") in answers[0][1]


async def test_an_unknown_address_costs_a_hash_as_a_known_one_does(client: Client, admin: Client) -> None:
    """LGN-02: by construction, not by the clock of a shared machine."""
    await make.user(client)
    for email in (EMAIL, "nobody@example.com"):
        before = await _hashes(admin)
        await client.post(LOGIN, json={"email": email, "password": "not this battery"})
        assert await _hashes(admin) == before + 1


async def _hashes(admin: Client) -> int:
    text = await (await admin.get("/metrics")).text()
    name = "authsvc_password_hash_duration_seconds_count"
    return next((int(float(line.split()[-1])) for line in text.splitlines() if line.startswith(name)), 0)


async def test_faults_of_the_fields_are_told_before_anybody_is_looked_up(client: Client) -> None:
    """LGN-03, LGN-23: known and unknown get the same."""
    await make.user(client)
    for email in (EMAIL, "nobody@example.com"):
        response = await client.post(LOGIN, json={"email": email, "password": "x" * 257})
        assert faults_of(await problem(response, 422, "invalid_input")) == {("password", "password_too_long")}
    both = await client.post(LOGIN, json={"email": "?", "pass": "x"})
    assert faults_of(await problem(both, 422, "invalid_input")) == {
        ("email", "email_invalid"),
        ("password", "missing"),
        ("pass", "unknown_field"),
    }


async def test_a_password_shorter_than_todays_minimum_still_logs_in_or_is_just_wrong(client: Client) -> None:
    await problem(await client.post(LOGIN, json={"email": EMAIL, "password": "x"}), 401, "invalid_credentials")


async def test_basic_credentials_and_those_of_the_query_are_not_looked_at(client: Client) -> None:
    """LGN-16, LGN-24 (ASVS 6.3.4, 14.2.1)."""
    await make.user(client)
    shown = await client.get("/login", params=CREDENTIALS)
    page = await shown.text()
    assert (shown.status, PASSWORD in page, EMAIL in page) == (200, False, False)
    await problem(await client.get(LOGIN, params=CREDENTIALS), 405, "method_not_allowed")
    basic = {"Authorization": "Basic YWRhQGV4YW1wbGUuY29tOmNvcnJlY3QgaG9yc2U="}
    await problem(await client.post(LOGIN, json={}, headers=basic, params=CREDENTIALS), 422, "invalid_input")


async def test_a_page_of_ours_gets_the_tokens_as_cookies_that_no_script_reads(client: Client) -> None:
    await make.user(client)
    response = await client.post(LOGIN, json=CREDENTIALS, headers={"Token-Delivery": "cookie"})
    assert (response.status, await response.read()) == (204, b"")
    for name, least, most in [("access_token", 855, 900), ("refresh_token", 604_800, 604_800)]:
        morsel = response.cookies[name]
        assert morsel["httponly"]
        assert (morsel["samesite"], morsel["path"], morsel["domain"]) == ("Lax", "/", "")
        assert least <= int(morsel["max-age"]) <= most
    assert (await client.get(ME)).status == 200


@pytest.mark.parametrize("delivery", ["cookies", "Cookie", "", "body", "cookie, cookie"])
async def test_a_delivery_that_is_misspelt_hands_no_script_a_token(client: Client, delivery: str) -> None:
    await make.user(client)
    response = await client.post(LOGIN, json=CREDENTIALS, headers={"Token-Delivery": delivery})
    assert not response.cookies
    assert faults_of(await problem(response, 422, "invalid_input")) == {("Token-Delivery", "invalid")}


async def test_the_form_logs_in_without_javascript(client: Client) -> None:
    account = await make.user(client)
    sent = await send(client, "/login", await form(client, "/login") | CREDENTIALS)
    assert (sent.status, sent.headers["Location"], await sent.read()) == (303, "/account", b"")
    assert sent.cookies["access_token"]["httponly"]
    page = await (await client.get("/account")).text()
    assert account["email"] in page
    assert account["id"] in page


async def test_the_form_leads_to_the_path_of_this_site_that_was_asked_for(client: Client) -> None:
    await make.user(client)
    fields = await form(client, "/login?next=/api/docs%3Fa%3D1")
    assert fields["next"] == "/api/docs?a=1"
    assert (await send(client, "/login", fields | CREDENTIALS)).headers["Location"] == "/api/docs?a=1"


async def test_a_wrong_password_shows_the_same_page_with_the_address_and_without_the_password(client: Client) -> None:
    await make.user(client)
    wrong = {"email": EMAIL, "password": "wrong battery"}
    response = await send(client, "/login", await form(client, "/login?next=/api/docs") | wrong)
    page = await response.text()
    assert response.status == 401
    assert "access_token" not in response.cookies
    assert "The e-mail address or the password is wrong." in page
    assert f'value="{EMAIL}"' in page
    assert 'name="next" value="/api/docs"' in page
    assert 'aria-describedby="password-error"' in page
    assert "wrong battery" not in page


async def test_logging_in_again_makes_another_session(client: Client) -> None:
    """SES-01 (ASVS 7.2.4): a cookie that was there before is not kept."""
    await make.user(client)
    await log_in(client)
    first = _cookie(client)
    await log_in(client)
    assert _cookie(client) != first


def _cookie(client: Client) -> str:
    return next(morsel.value for morsel in client.session.cookie_jar if morsel.key == "access_token")


async def _import(database: Database, password_hash: str) -> None:
    flow = ImportUsers(database, SystemClock(), SystemEntropy())
    result = await flow([Row(1, EMAIL, password_hash)], lambda fault: pytest.fail(fault.reason))
    assert result.imported == 1


async def _stored(database: Database) -> str:
    async with database.read() as connection:
        credential = await credentials.by_email(connection, EmailAddress(EMAIL))
    assert credential is not None
    assert isinstance(credential.subject, UUID)
    return credential.password_hash or ""


def _bcrypt() -> str:
    return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


async def test_an_inherited_bcrypt_hash_becomes_argon2id_at_the_next_good_login(
    client: Client, database: Database
) -> None:
    """PWD-01."""
    old = _bcrypt()
    await _import(database, old)
    wrong = await client.post(LOGIN, json={"email": EMAIL, "password": "wrong battery"})
    await problem(wrong, 401, "invalid_credentials")
    assert await _stored(database) == old
    await make.access_token(client)
    assert (await _stored(database)).startswith("$argon2id$v=19$m=8,t=1,p=1$")
    await make.access_token(client)


async def test_who_knows_the_bytes_that_bcrypt_read_does_not_lock_the_owner_out(
    client: Client, database: Database
) -> None:
    """PWD-03: a new hash would be of whatever he put behind them."""
    own = "x" * 72 + " and the owner's tail"
    old = bcrypt.hashpw(own.encode()[:72], bcrypt.gensalt(4)).decode()
    await _import(database, old)
    for password in (own[:72] + "another", own):
        response = await client.post(LOGIN, json={"email": EMAIL, "password": password})
        assert response.status == 200
        assert await _stored(database) == old


async def test_where_no_session_can_be_written_nobody_logs_in_and_no_hash_is_renewed(
    client: Client, database: Database
) -> None:
    """LGN-20 (ASVS 16.5.3): the database takes no writes just now."""
    old = _bcrypt()
    await _import(database, old)
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute(READ_ONLY)
    await problem(await client.post(LOGIN, json=CREDENTIALS), 503, "temporarily_unavailable")
    assert await _stored(database) == old


async def test_a_password_changed_during_a_login_is_not_overwritten_and_the_old_one_logs_in_no_more(
    client: Client, database: Database
) -> None:
    """PWD-12, RST-19: the change holds its row, uncommitted, until the login waits for it."""
    await _import(database, _bcrypt())
    async with asyncio.TaskGroup() as group:
        async with database.transaction(OPERATOR) as change:
            await change.connection.execute("update users set password_hash = '$argon2id$changed'")
            login = group.create_task(client.post(LOGIN, json=CREDENTIALS))
            await _until_somebody_waits(database)
        response = await login
    await problem(response, 401, "invalid_credentials")
    assert await _stored(database) == "$argon2id$changed"


async def _until_somebody_waits(database: Database) -> None:
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with asyncio.timeout(30), database.read() as connection:
        while not await connection.fetchval(waiting):  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stored", ["$2b$31$" + "a" * 53, "$2x$10$" + "a" * 53, "!", "", PASSWORD, None])
async def test_a_stored_hash_that_cannot_be_compared_is_a_wrong_password(
    client: Client, database: Database, admin: Client, stored: str | None
) -> None:
    """LGN-04, PWD-02, PWD-04, PWD-07, PWD-09."""
    await make.user(client)
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute("update users set password_hash = $1", stored)
    await problem(await client.post(LOGIN, json=CREDENTIALS), 401, "invalid_credentials")
    metrics = await (await admin.get("/metrics")).text()
    assert f'{{event="credential:verify:unsupported"}} {int(stored is not None)}' in metrics
    assert '{event="session:login:failure"} 1' in metrics
