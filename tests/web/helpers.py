"""What the tests of the doors share: a browser without JavaScript, a raw connection, and how a problem looks."""

import asyncio
import dataclasses
import html
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiohttp import ClientResponse
from aiohttp.web import Application

from authsvc import server
from authsvc.app import compose
from authsvc.config import Config
from tests.conftest import Client, FrozenClock
from tests.make import EMAIL, PASSWORD
from tests.witness import Witness

REGISTER, LOGIN, ME = "/api/auth/register", "/api/auth/login", "/api/auth/me"
CREDENTIALS = {"email": EMAIL, "password": PASSWORD}
PUBLIC_URL = "https://auth.example.com"
HARD_DEADLINE = 30
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


def https(config: Config) -> Config:
    """Return the configuration of a service that people reach by https."""
    return dataclasses.replace(config, http=dataclasses.replace(config.http, public_url=PUBLIC_URL))


async def composed(config: Config, clock: FrozenClock) -> Application:
    """Return another service beside the `service` of the fixtures; composing makes a hash, so not on the loop."""
    return (await asyncio.to_thread(compose, config, clock=clock)).public


async def problem(response: ClientResponse, status: int, code: str) -> Any:
    """Return the problem document that an answer is, of this status and code."""
    assert (response.status, response.content_type) == (status, "application/problem+json"), await response.text()
    document = await response.json()
    assert (document["status"], document["code"]) == (status, code)
    return document


def faults_of(document: Any) -> set[tuple[str, str]]:
    """Return field and code of each fault that a problem lists."""
    return {(fault["field"], fault["code"]) for fault in document["errors"]}


async def form(client: Client, path: str, headers: Mapping[str, str] | None = None) -> dict[str, str]:
    """Open a page; return the hidden fields of its form."""
    response = await client.get(path, headers=headers)
    assert response.status == 200, await response.text()
    return {name: html.unescape(value) for name, value in _HIDDEN.findall(await response.text())}


async def send(client: Client, path: str, fields: Mapping[str, str], **headers: str) -> ClientResponse:
    """Send a form as a browser does; do not follow where it leads."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(path, data=fields, headers=named, allow_redirects=False)


async def log_in(client: Client) -> None:
    """Log the browser in by the form."""
    response = await send(client, "/login", await form(client, "/login") | CREDENTIALS)
    assert response.status == 303, await response.text()


class Wire:
    """Raw connections to a server, for what no client library would send."""

    def __init__(self, port: int | None) -> None:
        self.port = port

    async def get(self, path: str, *headers: str) -> tuple[int, str]:
        """Return status and whole answer; `headers` go out in UTF-8, each \\udc80 to \\udcff as that lone byte."""
        lines = [f"GET {path} HTTP/1.1", "Host: authsvc", "Connection: close", *headers, "", ""]
        answer = (await self.exchange("\r\n".join(lines).encode("utf-8", "surrogateescape"))).decode()
        return int(answer.split()[1]), answer

    async def exchange(self, data: bytes, *, half_close: bool = False) -> bytes:
        """Send; return all that comes back until the server closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = b""
        try:
            async with asyncio.timeout(HARD_DEADLINE):
                with suppress(ConnectionError):
                    writer.write(data)
                    if half_close:
                        writer.write_eof()
                    while chunk := await reader.read(65_536):
                        received += chunk
        finally:
            writer.close()
        return received


@asynccontextmanager
async def listening(app: Application) -> AsyncIterator[Wire]:
    """Serve as server.py does; every answer is held against the API's description."""
    witness, port = Witness(app), server._Port(app)
    await port.open("127.0.0.1", 0, "AUTHSVC_PORT")
    assert port._sockets is not None
    try:
        yield Wire(port._sockets.sockets[0].getsockname()[1])
    finally:
        await port.close(0)
    assert not witness.faults
