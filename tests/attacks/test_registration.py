"""Attacks on registration: races for one address, fields that are more than they seem, data that looks like code."""

import asyncio

import pytest

from authsvc.store.database import Database
from tests import make
from tests.conftest import Client
from tests.make import EMAIL, PASSWORD
from tests.web.helpers import CREDENTIALS, LOGIN, REGISTER, faults_of, problem


async def _rows(database: Database) -> int:
    async with database.read() as connection:
        return int(await connection.fetchval("select count(*) from users"))


@pytest.mark.unlimited
@pytest.mark.parametrize(
    "emails", [[EMAIL] * 50, ["Ada@Example.com", "ada@example.com", "ADA@EXAMPLE.COM"] * 4], ids=["one", "spellings"]
)
async def test_of_many_registrations_of_one_address_at_once_one_opens_the_account(
    client: Client, database: Database, emails: list[str]
) -> None:
    """REG-01, REG-02 (ASVS 2.3.4)."""
    answers = await asyncio.gather(
        *(client.post(REGISTER, json={"email": email, "password": PASSWORD}) for email in emails)
    )
    assert sorted(answer.status for answer in answers) == [201] + [409] * (len(emails) - 1)
    assert await _rows(database) == 1


async def test_fields_that_nobody_asked_for_grant_nothing(client: Client, database: Database) -> None:
    """REG-19 (ASVS 15.3.3, CWE-915)."""
    extra = {"role": "admin", "is_verified": True, "id": 1, "password_hash": "x", "__proto__": {}, "form_token": "x"}
    document = await problem(await client.post(REGISTER, json=CREDENTIALS | extra), 422, "invalid_input")
    assert faults_of(document) == {(name, "unknown_field") for name in extra}
    assert await _rows(database) == 0


@pytest.mark.parametrize("count", [10, 11, 1000])
async def test_unknown_fields_are_named_only_so_far(client: Client, count: int) -> None:
    """CWE-405: 16 KiB of them were answered with 150 KB."""
    extra = {f"f{number}": 0 for number in range(count)}
    response = await client.post(REGISTER, json={**CREDENTIALS, **extra})
    document = await problem(response, 422, "invalid_input")
    assert faults_of(document) == {(name, "unknown_field") for name in list(extra)[:10]}
    last = document["errors"][-1]["message"]
    assert last == "This field is not known here" + (f", nor are {count - 10} more." if count > 10 else ".")


async def test_the_name_of_an_unknown_field_is_shown_short_and_plain(client: Client) -> None:
    """CWE-116, CWE-117."""
    body = CREDENTIALS | {"\u202e" * 100: "", "<script>": ""}
    document = await problem(await client.post(REGISTER, json=body), 422, "invalid_input")
    assert faults_of(document) == {("\\u202e" * 64, "unknown_field"), ("<script>", "unknown_field")}


@pytest.mark.parametrize("value", [5, None, True, {}, ["a@example.com"], 123456789012345, 1.5])
async def test_nothing_is_made_a_text_that_is_none(client: Client, value: object) -> None:
    """REG-20: a list of addresses once sent the mail to the second of them (CVE-2023-7028)."""
    for name in ("email", "password"):
        document = await problem(await client.post(REGISTER, json=CREDENTIALS | {name: value}), 422, "invalid_input")
        assert faults_of(document) == {(name, "invalid_type")}


async def test_the_query_is_not_read_as_input(client: Client) -> None:
    """REG-22 (ASVS 15.3.7)."""
    await problem(await client.post(REGISTER, params=CREDENTIALS, json={}), 422, "invalid_input")
    account = await client.post(REGISTER, params={"email": "eve@example.com"}, json=CREDENTIALS)
    assert (await account.json())["email"] == EMAIL


async def test_every_character_of_a_password_counts(client: Client) -> None:
    """REG-08, REG-09, REG-11 (ASVS 6.2.8): none is cut, none trimmed."""
    for number, password in enumerate(
        (" " + "x" * 254 + " ", "\U0001f600" * 15, "\ttab and space ", "a" * 72 + "bcrypt")
    ):
        email = f"user{number}@example.com"
        await make.user(client, email, password)
        await make.access_token(client, email, password)
        for other in (password[:-1], password[1:], password.strip()):
            if other != password:
                await problem(
                    await client.post(LOGIN, json={"email": email, "password": other}), 401, "invalid_credentials"
                )


async def test_a_password_is_the_same_in_either_unicode_form(client: Client) -> None:
    """REG-14 (ASVS 6.2.8)."""
    composed, decomposed = "caf\u00e9 au lait", "cafe\u0301 au lait"
    await make.user(client, EMAIL, composed)
    await make.access_token(client, EMAIL, decomposed)
    await make.user(client, "bob@example.com", decomposed)
    await make.access_token(client, "bob@example.com", composed)


@pytest.mark.parametrize(
    "text", ["' OR '1'='1", "'; drop table users;--", "\\'", "%27", "$1", "{{7*7}}", "%s%n", "../.."]
)
async def test_data_that_looks_like_code_is_data(client: Client, database: Database, text: str) -> None:
    """SQL-01 (ASVS 1.2.4): in fields, headers, cookies, paths and queries."""
    password = text + " and some more"
    await make.user(client, EMAIL, password)
    await make.access_token(client, EMAIL, password)
    await problem(await client.post(LOGIN, json={"email": text, "password": text}), 422, "invalid_input")
    headers = {"Authorization": f"Bearer {text}", "Cookie": f"access_token={text}", "X-Request-Id": text}
    assert (await client.get("/api/auth/me", headers=headers)).status == 401
    assert (await client.get("/account", headers={"Cookie": f"form_nonce={text}"})).status == 200
    assert (await client.get("/login", params={"next": text, text: text})).status == 200
    assert await _rows(database) == 1


@pytest.mark.parametrize(
    "squatter, victim",
    [
        ("m\u0131ke@example.com", "mike@example.com"),
        ("mi\u212ae@example.com", "mike@example.com"),
        ("\u017fam@example.com", "sam@example.com"),
    ],
)
async def test_a_look_alike_address_is_refused_and_meets_nobody(client: Client, squatter: str, victim: str) -> None:
    """EML-01, EML-03, EML-04 (CVE-2019-19844)."""
    await make.user(client, victim)
    for path in (REGISTER, LOGIN):
        response = await client.post(path, json={"email": squatter, "password": PASSWORD})
        assert faults_of(await problem(response, 422, "invalid_input")) == {("email", "email_not_ascii")}
