"""Clients: services that hold a credential, to introspect and to revoke tokens with (RFC 6749 §2.3)."""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from uuid import UUID

from authsvc.clock import Clock
from authsvc.entropy import Entropy
from authsvc.events import OPERATOR, ClientCreated, ClientDeleted, ClientRefused
from authsvc.refusals import FieldFault, InvalidClient, InvalidInput
from authsvc.store import clients
from authsvc.store.clients import Client
from authsvc.store.database import Database

__all__ = ["Client", "ClientCheck", "Clients", "NewClient"]

SECRET_BYTES = 32
MAX_NAME_LENGTH = 64
_NO_HASH = bytes(hashlib.sha256().digest_size)


@dataclass(frozen=True)
class NewClient:
    """A client that was just made, with its secret, which is not kept."""

    client: Client
    secret: str = field(repr=False)


@dataclass(frozen=True)
class Clients:
    """Makes, shows and deletes clients, for the operator."""

    database: Database
    clock: Clock
    entropy: Entropy

    async def create(self, name: str) -> NewClient:
        """Make a client.

        Raises:
            InvalidInput: the name is taken, or is no name.
            DatabaseUnavailable: the database does not answer.
        """
        if not name.isprintable() or not 1 <= len(name.strip()) <= len(name) <= MAX_NAME_LENGTH:
            raise _fault("invalid", f"A name has 1 to {MAX_NAME_LENGTH} printable characters.")
        secret = base64.urlsafe_b64encode(self.entropy.token_bytes(SECRET_BYTES)).rstrip(b"=").decode()
        async with self.database.transaction(OPERATOR) as transaction:
            client = await clients.insert(
                transaction.connection,
                client_id=self.entropy.new_id(),
                name=name,
                secret_hash=_hash(secret),
                now=self.clock.now(),
            )
            if client is None:
                raise _fault("taken", "There is a client of this name already.")
            transaction.record(ClientCreated(client.id))
        return NewClient(client, secret)

    async def all(self) -> list[Client]:
        """Return every client, by name.

        Raises:
            DatabaseUnavailable: the database does not answer.
        """
        async with self.database.read() as connection:
            return await clients.all_clients(connection)

    async def delete(self, name: str) -> None:
        """Delete a client: from now on its credential is good for nothing.

        Raises:
            InvalidInput: there is none of this name.
            DatabaseUnavailable: the database does not answer.
        """
        async with self.database.transaction(OPERATOR) as transaction:
            client_id = await clients.delete(transaction.connection, name)
            if client_id is None:
                raise _fault("unknown", "There is no client of this name.")
            transaction.record(ClientDeleted(client_id))


@dataclass(frozen=True)
class ClientCheck:
    """Tells a client by its credential."""

    database: Database

    async def __call__(self, client_id: UUID, secret: str) -> None:
        """Accept a client. One that does not exist costs the same look-up and comparison.

        Raises:
            InvalidClient: there is no such client, or the secret is another.
            DatabaseUnavailable: the database does not answer.
        """
        async with self.database.read() as connection:
            stored = await clients.secret_hash(connection, client_id)
        if not hmac.compare_digest(_hash(secret), stored or _NO_HASH):
            self.database.publish(ClientRefused())
            raise InvalidClient


def _hash(secret: str) -> bytes:
    # No slow hash: nobody guesses 256 random bits.
    return hashlib.sha256(secret.encode()).digest()


def _fault(code: str, message: str) -> InvalidInput:
    return InvalidInput([FieldFault("name", code, message)])
