"""Builders that go through the service, so that no test depends on how a row looks."""

from typing import Any

from authsvc.clock import SystemClock
from authsvc.entropy import SystemEntropy
from authsvc.flows.clients import Clients
from authsvc.store.database import Database
from tests.conftest import Client

EMAIL = "ada@example.com"
PASSWORD = "correct horse battery staple"


async def user(client: Client, email: str = EMAIL, password: str = PASSWORD) -> Any:
    """Register; return the user object."""
    response = await client.post("/api/auth/register", json={"email": email, "password": password})
    assert response.status == 201, await response.text()
    return await response.json()


async def access_token(client: Client, email: str = EMAIL, password: str = PASSWORD) -> str:
    """Log in; return the access token."""
    response = await client.post("/api/auth/login", json={"email": email, "password": password})
    assert response.status == 200, await response.text()
    return str((await response.json())["access_token"])


async def service(database: Database, name: str = "orders") -> dict[str, str]:
    """Give a service a credential; return it as the form fields of RFC 6749 §2.3.1."""
    made = await Clients(database, SystemClock(), SystemEntropy()).create(name)
    return {"client_id": str(made.client.id), "client_secret": made.secret}


async def tokens(client: Client, email: str = EMAIL, password: str = PASSWORD) -> Any:
    """Log in; return the whole answer."""
    response = await client.post("/api/auth/login", json={"email": email, "password": password})
    assert response.status == 200, await response.text()
    return await response.json()


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}
