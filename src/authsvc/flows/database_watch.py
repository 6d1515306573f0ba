"""What is known of the database, asked once a minute in the background: its size and its migrations."""

import asyncio
from collections.abc import Sequence

import structlog

from authsvc.refusals import Unavailable
from authsvc.store import migrations
from authsvc.store.database import Database

WATCH_SECONDS = 60


class DatabaseWatch:
    """What the last look saw; None until there was one."""

    def __init__(self, database: Database, wanted: Sequence[str]) -> None:
        """`wanted` are the migrations of this version."""
        self.size: int | None = None
        self.version: int | None = None
        self.pending: int | None = None
        self._database = database
        self._wanted = set(wanted)

    async def watch(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(WATCH_SECONDS)

    async def look(self) -> None:
        """Look once; what the database does not answer is left as it was."""
        try:
            async with self._database.read() as connection:
                applied = await migrations.applied(connection)
                size = await migrations.size(connection)
        except Unavailable:
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, the next look may succeed
            structlog.get_logger().error("database_figures_unreadable", exc_info=error)
            return
        self.size = size
        self.pending = len(self._wanted - applied)
        self.version = max((migrations.number(each) for each in applied), default=0)
