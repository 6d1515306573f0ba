"""Several servers in one URL: each is given its share of the time, and who answered last is asked first.

asyncpg asks them in turn within one limit of time for all. Where the first is silent, because its machine, its network
or its whole region is gone, that limit ends before the second is asked, and none is ever reached.
"""

from __future__ import annotations

from typing import Any

import asyncpg
from psycopg.conninfo import conninfo_to_dict


class Hosts:
    """The servers of a URL, for a pool that asks for a connection to one of them."""

    def __init__(self, url: str) -> None:
        """Read them as libpq does.

        Raises:
            psycopg.ProgrammingError: libpq cannot read the URL.
        """
        given = conninfo_to_dict(url)
        hosts = str(given.get("host") or "").split(",")
        ports = str(given.get("port") or "").split(",")
        # One port is that of all.
        ports = ports * len(hosts) if len(ports) == 1 else ports
        self._servers = list(zip(hosts, ports, strict=True)) if len(hosts) == len(ports) else []

    @property
    def several(self) -> bool:
        """Whether there is more than one."""
        return len(self._servers) > 1

    async def connect(self, dsn: str | None = None, *, timeout: float = 60, **options: Any) -> Any:  # noqa: ANN401, ASYNC109 - asyncpg's own
        """Return a connection to the first that is what `target_session_attrs` asks for.

        Raises:
            OSError: none can be reached; of the last that was asked.
            TargetServerAttributeNotMatchedError: some answered, and none is what is asked for.
        """
        refused: Exception | None = None
        for server in list(self._servers):
            host, port = server
            share = timeout / len(self._servers)
            try:
                connection = await asyncpg.connect(dsn, host=host, port=int(port or 5432), timeout=share, **options)
            except (OSError, asyncpg.CannotConnectNowError, asyncpg.TargetServerAttributeNotMatched) as error:
                # That one answered and is the wrong one says more than that another is silent.
                if not isinstance(refused, asyncpg.TargetServerAttributeNotMatched):
                    refused = error
                continue
            self._servers.remove(server)
            self._servers.insert(0, server)
            return connection
        assert refused is not None  # noqa: S101 - there is a server, and each refused
        raise refused
