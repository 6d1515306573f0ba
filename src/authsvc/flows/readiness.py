"""Readiness: whether this instance should be sent requests."""

from enum import StrEnum

from authsvc.refusals import Unavailable
from authsvc.store import migrations
from authsvc.store.database import Database


class Readiness(StrEnum):
    """Why requests should, or should not, be sent here."""

    READY = "ready"
    DRAINING = "draining"
    MIGRATIONS_PENDING = "migrations_pending"
    DATABASE_UNAVAILABLE = "database_unavailable"


class ReadinessCheck:
    """Asks the database at every call; says `draining` for good once told so."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted = migrations.shipped()
        self.draining = False

    async def __call__(self) -> Readiness:
        """Return the state of this instance."""
        if self.draining:
            return Readiness.DRAINING
        try:
            async with self._database.read() as connection:
                pending = await migrations.pending(connection, self._wanted)
        except Unavailable:
            return Readiness.DATABASE_UNAVAILABLE
        return Readiness.MIGRATIONS_PENDING if pending else Readiness.READY
