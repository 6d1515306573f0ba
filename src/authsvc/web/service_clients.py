"""What a service sends to ask about a token or to revoke it: its own credential, and the token (RFC 6749 §2.3.1)."""

import base64
from binascii import Error as Base64Error
from dataclasses import dataclass, field
from urllib.parse import unquote_plus
from uuid import UUID

from aiohttp import hdrs, web

from authsvc.flows.clients import ClientCheck
from authsvc.refusals import (
    DatabaseUnavailable,
    InvalidClient,
    InvalidInput,
    InvalidTokenRequest,
)
from authsvc.web.reading import Input, Shape, read_form

REFUSES = (InvalidClient, InvalidTokenRequest, DatabaseUnavailable)


@dataclass(frozen=True)
class TokenRequest:
    """The fields of the form. `token_type_hint` is not needed: each token tells its kind."""

    token: str = field(repr=False)
    token_type_hint: str | None
    client_id: str | None
    client_secret: str | None = field(repr=False)


def _optional(description: str) -> Input:
    return Input(str, {"type": "string", "description": description}, default=None)


SHAPE = Shape(
    TokenRequest,
    {
        "token": Input(str, {"type": "string", "description": "An access token or a refresh token."}),
        "token_type_hint": _optional("Not needed, and not looked at: each token tells its kind."),
        "client_id": _optional("With `client_secret`, instead of Authorization: Basic."),
        "client_secret": _optional("Never together with Authorization: Basic."),
    },
)


async def read_token(request: web.Request, check: ClientCheck) -> str:
    """Return the token that a client sends about; nothing is told to who is no client.

    Raises:
        MalformedRequest: the form cannot be read, lacks the token, or the credential is given in two ways.
        InvalidClient: there is no credential, or it is not good.
        DatabaseUnavailable: the database does not answer.
    """
    fields = await read_form(request)
    client_id, secret = _credential(request, fields)
    await check(client_id, secret)
    try:
        # RFC 6749 §3.2: parameters that are not known are ignored.
        return SHAPE.read({name: value for name, value in fields.items() if name in SHAPE.fields}).token
    except InvalidInput:
        raise InvalidTokenRequest from None


def _credential(request: web.Request, fields: dict[str, str]) -> tuple[UUID, str]:
    headers = request.headers.getall(hdrs.AUTHORIZATION, [])
    if not headers:
        return _client_id(fields.get("client_id", "")), fields.get("client_secret", "")
    client_id, secret = _basic(headers)
    if "client_secret" in fields or fields.get("client_id", client_id) != client_id:
        raise InvalidTokenRequest
    return _client_id(client_id), secret


def _basic(headers: list[str]) -> tuple[str, str]:
    """Return id and secret of the one header; each was form-encoded before they were joined."""
    scheme, _, encoded = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "basic":
        raise InvalidClient
    try:
        client_id, _, secret = base64.b64decode(encoded.strip(" "), validate=True).decode("ascii").partition(":")
        return unquote_plus(client_id, errors="strict"), unquote_plus(secret, errors="strict")
    except (Base64Error, ValueError):
        raise InvalidClient from None


def _client_id(text: str) -> UUID:
    try:
        client_id = UUID(text)
    except ValueError:
        raise InvalidClient from None
    if str(client_id) != text:
        raise InvalidClient
    return client_id
