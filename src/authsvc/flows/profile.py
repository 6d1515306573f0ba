"""Profile: who the bearer of a token is."""

from dataclasses import dataclass
from uuid import UUID

from authsvc.refusals import InvalidToken
from authsvc.store import users
from authsvc.store.database import Database
from authsvc.store.users import User

__all__ = ["Profile", "User"]


@dataclass(frozen=True)
class Profile:
    """Looks up the account of a subject."""

    database: Database

    async def __call__(self, subject: UUID) -> User:
        """Return the account.

        Raises:
            InvalidToken: it exists no more, so that its tokens are no longer good.
            DatabaseUnavailable: the database does not answer.
        """
        async with self.database.read() as connection:
            user = await users.by_public_id(connection, subject)
        if user is None:
            raise InvalidToken
        return user
