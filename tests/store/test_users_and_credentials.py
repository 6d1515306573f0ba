"""Rows of users, and their credentials, on the real schema."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg
import pytest

from authsvc import emails
from authsvc.emails import EmailAddress
from authsvc.events import OPERATOR
from authsvc.refusals import EmailTaken
from authsvc.store import credentials, users
from authsvc.store.credentials import Credential
from authsvc.store.database import Database
from authsvc.store.users import ImportedUser, User

NOW = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
ADA = EmailAddress("ada@example.com")
GRACE = EmailAddress("grace@example.com")
ID, OTHER_ID = UUID(int=1), UUID(int=2)


async def insert(
    database: Database, public_id: UUID = ID, email: EmailAddress = ADA, password_hash: str = "old"
) -> User:
    async with database.transaction(OPERATOR) as transaction:
        return await users.insert(
            transaction.connection, public_id=public_id, email=email, password_hash=password_hash, now=NOW
        )


async def test_what_is_inserted_is_returned_and_found_again(database: Database) -> None:
    inserted = await insert(database)
    assert inserted == User(ID, ADA, NOW, NOW)
    async with database.read() as connection:
        assert await users.by_public_id(connection, ID) == inserted
        assert await credentials.by_email(connection, ADA) == Credential(ID, "old", None, ADA)


async def test_what_is_not_there_is_none(database: Database) -> None:
    async with database.read() as connection:
        assert await users.by_public_id(connection, ID) is None
        assert await credentials.by_email(connection, ADA) is None


async def test_an_address_in_use_is_refused_by_the_name_of_its_constraint(database: Database) -> None:
    await insert(database)
    with pytest.raises(EmailTaken) as refused:
        await insert(database, OTHER_ID)
    assert refused.value.__suppress_context__, "the driver's error quotes the address"


async def test_another_unique_violation_is_no_address_in_use(database: Database) -> None:
    await insert(database)
    with pytest.raises(asyncpg.UniqueViolationError) as failed:
        await insert(database, email=GRACE)
    assert failed.value.constraint_name == "users_public_id_key"


async def test_an_account_without_a_password_has_a_credential_without_a_hash(database: Database) -> None:
    await insert(database)
    async with database.transaction(OPERATOR) as transaction:
        await transaction.connection.execute("update users set password_hash = null")
        assert await credentials.by_email(transaction.connection, ADA) == Credential(ID, None, None, ADA)


def test_a_credential_does_not_show_its_hash() -> None:
    assert "old" not in repr(Credential(ID, "old", None, ADA))


@pytest.mark.parametrize(
    "subject, old_hash, is_replaced",
    [(ID, "old", True), (ID, "older", False), (OTHER_ID, "old", False)],
    ids=["as read", "changed since", "of nobody"],
)
async def test_a_hash_is_replaced_only_while_it_is_the_one_that_was_read(
    subject: UUID, old_hash: str, database: Database, *, is_replaced: bool
) -> None:
    inserted = await insert(database)
    async with database.transaction(OPERATOR) as transaction:
        connection = transaction.connection
        replaced = await credentials.replace_password_hash(
            connection, subject=subject, old_hash=old_hash, new_hash="new", now=LATER
        )
        assert replaced is is_replaced
        assert await credentials.by_email(connection, ADA) == Credential(ID, "new" if is_replaced else "old", None, ADA)
        expected = User(ID, ADA, NOW, LATER) if is_replaced else inserted
        assert await users.by_public_id(connection, ID) == expected


async def test_an_import_opens_what_is_free_and_leaves_the_rest_as_it_is(database: Database) -> None:
    await insert(database)
    rows = [ImportedUser(UUID(int=3), ADA, "new"), ImportedUser(UUID(int=4), GRACE, "new")]
    async with database.transaction(OPERATOR) as transaction:
        assert await users.insert_imported(transaction.connection, rows, now=LATER) == [UUID(int=4)]
        assert await credentials.by_email(transaction.connection, ADA) == Credential(ID, "old", None, ADA)
        assert await users.by_public_id(transaction.connection, UUID(int=4)) == User(UUID(int=4), GRACE, LATER, LATER)


@pytest.mark.parametrize(
    "email",
    [
        "Ada@example.com",
        "ada@Example.com",
        "ADA@EXAMPLE.COM",
        "ädä@example.com",
        "ada@exämple.com",
        "m\u0131ke@example.com",
        "mi\u212ae@example.com",
        "ada",
        "@example.com",
        "ada@",
        "ada@@example.com",
        "ada@example.com@example.com",
        "a da@example.com",
        " ada@example.com",
        "ada@example.com\n",
        "ada@example.com\r\nBcc: eve@example.com",
        "ada@example_.com",
        f"{'a' * 250}@example.com",
        "",
    ],
)
async def test_no_row_holds_an_address_in_another_than_its_canonical_spelling(email: str, database: Database) -> None:
    """EML-01, EML-02, EML-03: the second lock, should the first one ever fail."""
    with pytest.raises(asyncpg.CheckViolationError) as failed:
        await insert(database, email=EmailAddress(email))
    assert failed.value.constraint_name == "users_email_canonical"


@pytest.mark.parametrize(
    "text",
    [
        "Ada@Example.COM",
        "o'hara+tag@sub.example.co.uk",
        "!#$%&'*+-/=?^_`{|}~.x@example.com",
        "mike@straße.de",
        "1@1.example.org",
        f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 57}.com",
    ],
)
async def test_every_address_that_is_accepted_can_be_stored(text: str, database: Database) -> None:
    email = emails.parse(text)
    assert (await insert(database, email=email)).email == email
