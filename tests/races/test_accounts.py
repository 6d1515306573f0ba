"""Two at once: each race is run many times, on real connections."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from uuid import UUID

import argon2
import pytest

from authsvc.config import Config
from authsvc.emails import EmailAddress
from authsvc.events import OPERATOR
from authsvc.refusals import EmailTaken
from authsvc.store import credentials, users
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client

ROUNDS = 200
NOW = datetime(2026, 11, 22, tzinfo=UTC)
ID = UUID(int=1)
ADA = EmailAddress("ada@example.com")
# argon2i of the tests' password: the next good login renews it.
WEAK = argon2.PasswordHasher(1, 8, 1, type=argon2.Type.I).hash(make.PASSWORD)
SPELLINGS = {
    "one spelling": ["bob@example.org"],
    "several spellings": ["Bob@Example.org", "bob@example.org", "bob@EXAMPLE.ORG", "BOB@example.org"],
    "an internationalised domain": ["mike@straße.de", "mike@xn--strae-oqa.de", "MIKE@STRAßE.DE"],
}


async def rows(config: Config) -> int:
    database = Database(config.database)
    await database.open()
    async with database.read() as connection:
        found = int(await connection.fetchval("select count(*) from users"))
    await database.close()
    return found


@pytest.mark.unlimited
@pytest.mark.parametrize("spellings", SPELLINGS.values(), ids=SPELLINGS.keys())
async def test_of_fifty_registrations_of_one_address_one_opens_the_account(
    spellings: list[str], client: Client, config: Config
) -> None:
    """REG-01, REG-02 (ASVS 2.3.4)"""

    async def register(number: int) -> tuple[int, str]:
        body = {"email": spellings[number % len(spellings)], "password": make.PASSWORD}
        response = await client.post("/api/auth/register", json=body)
        return response.status, (await response.json()).get("code", "")

    answers = Counter(await asyncio.gather(*map(register, range(50))))
    assert answers == {(201, ""): 1, (409, "email_taken"): 49}
    assert await rows(config) == 1


async def test_an_address_has_one_account_whoever_comes_first(database: Database) -> None:
    """REG-01 (ASVS 2.3.4): between look-up and insert there is nothing to slip through, since there is no look-up."""

    async def insert(number: int, email: EmailAddress, barrier: asyncio.Barrier) -> bool:
        async with database.transaction(OPERATOR) as transaction:
            await barrier.wait()
            try:
                await users.insert(
                    transaction.connection, public_id=UUID(int=number), email=email, password_hash="x", now=NOW
                )
            except EmailTaken:
                return False
            return True

    for turn in range(ROUNDS):
        barrier = asyncio.Barrier(8)
        email = EmailAddress(f"ada{turn}@example.com")
        opened = await asyncio.gather(*(insert(turn * 8 + number, email, barrier) for number in range(8)))
        assert opened.count(True) == 1, f"turn {turn}"


async def test_of_several_renewals_of_one_hash_one_is_kept(database: Database) -> None:
    """CWE-362."""
    async with database.transaction(OPERATOR) as transaction:
        await users.insert(transaction.connection, public_id=ID, email=ADA, password_hash="0", now=NOW)

    async def renew(old_hash: str, new_hash: str, barrier: asyncio.Barrier) -> str | None:
        async with database.transaction(OPERATOR) as transaction:
            await barrier.wait()
            replaced = await credentials.replace_password_hash(
                transaction.connection, subject=ID, old_hash=old_hash, new_hash=new_hash, now=NOW
            )
            return new_hash if replaced else None

    current = "0"
    for turn in range(ROUNDS):
        barrier = asyncio.Barrier(8)
        renewals = await asyncio.gather(*(renew(current, f"{turn}.{number}", barrier) for number in range(8)))
        (current,) = [each for each in renewals if each is not None]
        async with database.read() as connection:
            assert await credentials.by_email(connection, ADA) == credentials.Credential(ID, current, None, ADA)


@pytest.mark.unlimited
async def test_logins_that_renew_a_hash_never_undo_a_password_changed_meanwhile(
    client: Client, database: Database
) -> None:
    """CWE-367: the old password is verified, then another is stored, which the renewal must not overwrite."""
    for turn in range(ROUNDS // 8):
        email = f"ada{turn}@example.com"
        await make.user(client, email)
        await make.user(client, f"donor{turn}@example.com", "another long password")
        async with database.transaction(OPERATOR) as transaction:
            await transaction.connection.execute("update users set password_hash = $1 where email = $2", WEAK, email)

        async def change(of: str = email, donor: str = f"donor{turn}@example.com") -> None:
            async with database.transaction(OPERATOR) as transaction:
                await transaction.connection.execute(
                    "update users set password_hash = (select password_hash from users where email = $1)"
                    " where email = $2",
                    donor,
                    of,
                )

        logins = [
            client.post("/api/auth/login", json={"email": email, "password": make.PASSWORD}) for _number in range(4)
        ]
        answers, _changed = await asyncio.gather(asyncio.gather(*logins), change())
        assert {answer.status for answer in answers} <= {200, 401}
        await make.access_token(client, email, "another long password")
        refused = await client.post("/api/auth/login", json={"email": email, "password": make.PASSWORD})
        assert refused.status == 401, f"turn {turn}"
