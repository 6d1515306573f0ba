"""Services with a credential of their own: rows of `clients`. The secret itself is never here, but its hash."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from authsvc.store.queries import queries

if TYPE_CHECKING:
    from authsvc.store.leases import Connection

_QUERIES = queries("clients")


@dataclass(frozen=True)
class Client:
    """One service that may introspect and revoke tokens."""

    id: UUID
    name: str
    created_at: datetime


async def insert(
    connection: Connection, *, client_id: UUID, name: str, secret_hash: bytes, now: datetime
) -> Client | None:
    """Add a client and return it; None where there is one of this name."""
    row = await _QUERIES["insert_client"].row(connection, id=client_id, name=name, secret_hash=secret_hash, now=now)
    return None if row is None else Client(**row)


async def all_clients(connection: Connection) -> list[Client]:
    """Return every client, by name."""
    return [Client(**row) for row in await _QUERIES["all_clients"].rows(connection)]


async def delete(connection: Connection, name: str) -> UUID | None:
    """Delete the client of this name and return its id; None where there is none."""
    row = await _QUERIES["delete_client"].row(connection, name=name)
    return None if row is None else UUID(str(row["id"]))


async def secret_hash(connection: Connection, client_id: UUID) -> bytes | None:
    """Return the hash of a client's secret; None where there is no such client."""
    row = await _QUERIES["client_secret_hash"].row(connection, id=client_id)
    return None if row is None else bytes(row["secret_hash"])
