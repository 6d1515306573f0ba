"""Import users: accounts from elsewhere, with the hashes they have there."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from authsvc import emails
from authsvc.clock import Clock
from authsvc.emails import InvalidEmailError
from authsvc.entropy import Entropy
from authsvc.events import OPERATOR, UserImported
from authsvc.passwords import supported
from authsvc.store import users
from authsvc.store.database import Database
from authsvc.store.users import ImportedUser

BATCH = 2_000


@dataclass(frozen=True)
class Row:
    """One account of the file, unchecked."""

    line: int
    email: str
    password_hash: str


@dataclass(frozen=True)
class RowFault:
    """One row that is left out, and why; `reason` holds no value of the row."""

    line: int
    reason: str


@dataclass(frozen=True)
class ImportResult:
    """How many rows became accounts, had one already, or were left out."""

    imported: int
    present: int
    left_out: int


@dataclass(frozen=True)
class ImportUsers:
    """Opens accounts in batches; each batch is one transaction, so that what was imported stays so if it is stopped."""

    database: Database
    clock: Clock
    entropy: Entropy

    async def __call__(self, rows: Iterable[Row | RowFault], report: Callable[[RowFault], None]) -> ImportResult:
        """Import the good rows and `report` the others; addresses that have an account are left as they are.

        Raises:
            DatabaseUnavailable: the database does not answer; run it again.
        """
        imported = present = left_out = 0
        first_lines: dict[str, int] = {}
        remaining = iter(rows)
        while batch := list(islice(remaining, BATCH)):
            good: list[ImportedUser] = []
            for checked in self._checked(batch, first_lines):
                if isinstance(checked, RowFault):
                    left_out += 1
                    report(checked)
                else:
                    good.append(checked)
            async with self.database.transaction(OPERATOR) as transaction:
                opened = await users.insert_imported(transaction.connection, good, now=self.clock.now())
                for subject in opened:
                    transaction.record(UserImported(subject))
            imported += len(opened)
            present += len(good) - len(opened)
        return ImportResult(imported, present, left_out)

    def _checked(self, batch: list[Row | RowFault], first_lines: dict[str, int]) -> Iterator[ImportedUser | RowFault]:
        for row in batch:
            if isinstance(row, RowFault):
                yield row
                continue
            try:
                email = emails.parse(row.email)
            except InvalidEmailError as error:
                yield RowFault(row.line, error.message)
                continue
            if not supported(row.password_hash):
                yield RowFault(row.line, "The hash is neither argon2 nor bcrypt, is broken, or asks for too much.")
            elif (first := first_lines.setdefault(email, row.line)) != row.line:
                yield RowFault(row.line, f"The address is the one of line {first}.")
            else:
                yield ImportedUser(self.entropy.new_id(), email, row.password_hash)
