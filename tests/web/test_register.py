"""Registering: POST /api/auth/register, and the form at /register."""

import io
import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from authsvc.store.database import Database
from tests import make
from tests.conftest import Client, FrozenClock
from tests.make import EMAIL, PASSWORD
from tests.web.helpers import CREDENTIALS, REGISTER, faults_of, form, problem, send

TOKEN_AND_ADDRESS = {"email": EMAIL}


async def test_registering_answers_with_the_account_and_where_it_is_read(client: Client, clock: FrozenClock) -> None:
    response = await client.post(REGISTER, json={"email": "Ada@EXAMPLE.com", "password": PASSWORD})
    assert (response.status, response.headers["Location"]) == (201, "/api/auth/me")
    account = await response.json()
    assert account.keys() == {"id", "email", "created_at", "updated_at"}
    assert account["email"] == "ada@example.com"
    assert UUID(account["id"]).int > 2**64, "the public id, not the row's number"
    assert datetime.fromisoformat(account["created_at"]) == clock.now()
    assert account["created_at"] == account["updated_at"]
    assert account["created_at"].endswith("Z")
    assert clock.now().tzinfo is UTC


async def test_an_address_in_use_is_409_in_whatever_spelling(client: Client) -> None:
    await make.user(client)
    response = await client.post(REGISTER, json={"email": "ADA@example.COM", "password": PASSWORD})
    await problem(response, 409, "email_taken")


async def test_registrations_are_counted_by_outcome_and_a_refused_one_is_in_no_journal_and_no_event_of_the_log(
    client: Client, admin: Client, database: Database, log: io.StringIO
) -> None:
    """An entry would tell the owner of an account about a stranger, or keep the address of one who has no account."""
    await make.user(client)
    for _ in range(2):
        await client.post(REGISTER, json={"email": EMAIL, "password": PASSWORD})
    await client.post(REGISTER, json={"email": "grace@example.com", "password": "grace@example.com"})
    text = await (await admin.get("/metrics")).text()
    for outcome, count in (("success", 1), ("taken", 2), ("failure", 1)):
        assert f'authsvc_events_total{{event="user:register:{outcome}"}} {count}\n' in text
    async with database.read() as connection:
        entries = await connection.fetch("select event from journal")
    assert [entry["event"] for entry in entries] == ["user:register:success"]
    events = [line for line in map(json.loads, log.getvalue().splitlines()) if line["event"] == "event"]
    assert [line["tag"] for line in events] == ["user:register:success"]


@pytest.mark.parametrize(
    "body, faults",
    [
        ({}, {("email", "missing"), ("password", "missing")}),
        ({"email": 5, "password": ["x"]}, {("email", "invalid_type"), ("password", "invalid_type")}),
        ({"email": None, "password": "short"}, {("email", "invalid_type"), ("password", "password_too_short")}),
        (
            {"email": "nobody", "password": 12345678, "role": "admin", "id": 1},
            {
                ("email", "email_invalid"),
                ("password", "invalid_type"),
                ("role", "unknown_field"),
                ("id", "unknown_field"),
            },
        ),
        (
            {"email": "x" * 255, "password": "x" * 257, "Email": EMAIL},
            {("email", "email_too_long"), ("password", "password_too_long"), ("Email", "unknown_field")},
        ),
        (
            {"email": "jos\u00e9@example.com", "password": "password123"},
            {("email", "email_not_ascii"), ("password", "password_common")},
        ),
        ({"email": EMAIL, "password": EMAIL.upper()}, {("password", "password_is_email")}),
    ],
)
async def test_every_fault_is_told_at_once(client: Client, body: object, faults: set[tuple[str, str]]) -> None:
    document = await problem(await client.post(REGISTER, json=body), 422, "invalid_input")
    assert faults_of(document) == faults
    assert all(fault["message"] for fault in document["errors"])


async def test_what_was_refused_is_not_stored(client: Client) -> None:
    await problem(await client.post(REGISTER, json={**CREDENTIALS, "is_verified": True}), 422, "invalid_input")
    await make.user(client)


async def test_the_form_registers_without_javascript_and_leads_to_the_login(client: Client) -> None:
    sent = await send(client, "/register", await form(client, "/register?next=/docs-of-mine") | CREDENTIALS)
    assert (sent.status, sent.headers["Location"]) == (303, "/login?notice=registered&next=%2Fdocs-of-mine")
    login = await client.get(sent.headers["Location"])
    assert "Your account is ready" in await login.text()
    await make.access_token(client)


@pytest.mark.parametrize(
    "fields, status, said",
    [
        ({"password": PASSWORD, "email": ""}, 422, 'id="email-error"\n     class="field-error">This is not'),
        ({"password": "short", "email": EMAIL}, 422, 'id="password-error"\n     class="field-error">Use at least 8'),
        ({"email": EMAIL}, 422, 'id="password-error"\n     class="field-error">This field is needed.'),
        ({"email": EMAIL, "password": PASSWORD}, 409, 'id="email-error"\n     class="field-error">An account with'),
        ({"email": EMAIL, "password": PASSWORD, "_method": "DELETE"}, 422, "<p>Some fields are at fault"),
    ],
)
async def test_a_refused_form_comes_back_with_the_reason_and_the_address_and_without_the_password(
    client: Client, fields: dict[str, str], status: int, said: str
) -> None:
    await make.user(client)
    response = await send(client, "/register", await form(client, "/register") | fields)
    page = await response.text()
    assert (response.status, response.content_type) == (status, "text/html")
    assert said in page
    assert f'value="{fields["email"]}"' in page
    assert fields.get("password", PASSWORD) not in page
    assert 'aria-describedby="email-error"' in page
    assert 'aria-describedby="password-hint password-error"' in page


async def test_a_form_that_was_refused_can_be_sent_again(client: Client) -> None:
    refused = await send(client, "/register", {**CREDENTIALS, "form_token": "old"})
    assert refused.status == 403
    sent = await send(client, "/register", await form(client, "/register") | CREDENTIALS)
    assert sent.status == 303
