"""How a service proves itself where tokens are introspected and revoked: the same at both routes."""

import base64
import hashlib
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from aiohttp import ClientResponse

from authsvc.clock import SystemClock
from authsvc.config import DatabaseUrl
from authsvc.entropy import SystemEntropy
from authsvc.flows.clients import Clients
from authsvc.store import clients
from authsvc.store.database import Database
from tests import make
from tests.conftest import Client
from tests.web.helpers import problem

ROUTES = ("/api/auth/introspect", "/api/auth/revoke")
FORM = "application/x-www-form-urlencoded"
NOBODY = "00000000-0000-4000-8000-000000000000"

pytestmark = pytest.mark.parametrize("path", ROUTES)


@pytest.fixture
async def credential(database: Database) -> dict[str, str]:
    return await make.service(database)


def basic(text: str, scheme: str = "Basic") -> dict[str, str]:
    return {"Authorization": f"{scheme} {base64.b64encode(text.encode()).decode()}"}


def percent(text: str) -> str:
    """Return the text form-encoded, each character of it."""
    return "".join(f"%{ord(character):02X}" for character in text)


async def refused(response: ClientResponse) -> Any:
    document = await problem(response, 401, "invalid_client")
    assert document["error"] == "invalid_client"
    assert response.headers.getall("WWW-Authenticate") == ['Basic realm="authsvc"']


async def malformed(response: ClientResponse, code: str) -> None:
    document = await problem(response, 400, code)
    assert document["error"] == "invalid_request"


async def test_a_client_proves_itself_in_the_header_or_in_the_form(
    path: str, client: Client, credential: dict[str, str]
) -> None:
    client_id, secret = credential["client_id"], credential["client_secret"]
    joined = f"{client_id}:{secret}"
    for headers, fields in (
        (basic(joined), {}),
        (basic(joined, "bAsIc"), {}),
        (basic(joined), {"client_id": client_id}),
        (basic(f"{percent(client_id)}:{percent(secret)}"), {}),
        ({}, credential),
    ):
        response = await client.post(path, data={"token": "x", **fields}, headers=headers)
        assert response.status == 200, await response.text()


async def test_who_is_no_client_is_refused_with_a_challenge(
    path: str, client: Client, credential: dict[str, str]
) -> None:
    """MW-10 (ASVS 8.2.1, 10.4.10)"""
    client_id, secret = credential["client_id"], credential["client_secret"]
    await make.user(client)
    token = await make.access_token(client)
    attempts: list[tuple[dict[str, str], dict[str, str]]] = [
        ({}, {}),
        ({}, {"client_id": client_id}),
        ({}, {"client_secret": secret}),
        ({}, {"client_id": client_id, "client_secret": ""}),
        ({}, {"client_id": client_id, "client_secret": secret[:-1]}),
        ({}, {"client_id": client_id, "client_secret": secret + "="}),
        ({}, {"client_id": client_id, "client_secret": "é"}),
        ({}, {"client_id": NOBODY, "client_secret": secret}),
        ({}, {"client_id": client_id.upper(), "client_secret": secret}),
        ({}, {"client_id": "orders", "client_secret": secret}),
        (basic(f"{client_id}:wrong"), {}),
        (basic(client_id), {}),
        (basic(""), {}),
        (basic(f"{client_id}:%FF"), {}),
        (basic(f"{client_id}:{secret}", "Basics"), {}),
        ({"Authorization": "Basic"}, {}),
        ({"Authorization": "Basic !!!!"}, {}),
        ({"Authorization": "Basic w6k="}, {}),
        (make.bearer(token), {}),
        (make.bearer(token), credential),
    ]
    for headers, fields in attempts:
        await refused(await client.post(path, data={"token": token, **fields}, headers=headers))
    await refused(await client.post(path, data={"token": token}, headers={"Cookie": f"access_token={token}"}))
    two = [("Authorization", value) for value in basic(f"{client_id}:{secret}").values()] * 2
    await refused(await client.post(path, data={"token": token}, headers=two))


async def test_a_credential_given_twice_is_refused(path: str, client: Client, credential: dict[str, str]) -> None:
    joined = basic(f"{credential['client_id']}:{credential['client_secret']}")
    for fields in (credential, {"client_secret": credential["client_secret"]}, {"client_id": NOBODY}):
        response = await client.post(path, data={"token": "x", **fields}, headers=joined)
        await malformed(response, "invalid_token_request")


async def test_a_form_that_cannot_be_read_is_refused(path: str, client: Client, credential: dict[str, str]) -> None:
    rest = urlencode(credential)
    for body, code in (
        (rest, "invalid_token_request"),
        (f"{rest}&token=%00", "invalid_token_request"),
        (f"{rest}&token=a&token=b", "invalid_form"),
        (f"{rest}&token=%FF", "invalid_form"),
    ):
        await malformed(await client.post(path, data=body, headers={"Content-Type": FORM}), code)
    response = await client.post(path, json={"token": "x", **credential})
    refused = await problem(response, 415, "unsupported_media_type")
    assert "That is application/x-www-form-urlencoded, in UTF-8." in refused["detail"]


async def test_a_deleted_client_is_refused_at_once(
    path: str, client: Client, credential: dict[str, str], database: Database
) -> None:
    assert (await client.post(path, data={"token": "x", **credential})).status == 200
    await Clients(database, SystemClock(), SystemEntropy()).delete("orders")
    await refused(await client.post(path, data={"token": "x", **credential}))


async def test_a_secret_is_stored_as_its_hash_and_a_hash_is_no_secret(
    path: str, client: Client, credential: dict[str, str], database_url: DatabaseUrl
) -> None:
    secret = credential["client_secret"]
    with psycopg.connect(database_url.reveal()) as connection:
        row = connection.execute("select secret_hash from clients").fetchone()
    assert row == (hashlib.sha256(secret.encode()).digest(),)
    for guess in (row[0].hex(), base64.urlsafe_b64encode(row[0]).decode(), "\0" * 32):
        await refused(await client.post(path, data={"token": "x", **credential, "client_secret": guess}))


async def test_an_unknown_client_costs_the_look_up_of_a_known_one(
    path: str, client: Client, credential: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    look_up = clients.secret_hash

    async def counted(connection: Any, client_id: Any) -> bytes | None:
        asked.append(str(client_id))
        return await look_up(connection, client_id)

    monkeypatch.setattr(clients, "secret_hash", counted)
    for client_id in (credential["client_id"], NOBODY):
        fields = {"token": "x", "client_id": client_id, "client_secret": "wrong"}
        await refused(await client.post(path, data=fields))
    assert asked == [credential["client_id"], NOBODY]
