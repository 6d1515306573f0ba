"""JSON bodies that several doors answer with, and their schemas."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from aiohttp import web

from authsvc.flows.activity import Entry
from authsvc.flows.profile import User
from authsvc.flows.sessions import Session
from authsvc.session_tokens import TokenPair

JSON = "application/json"

_URL = {"type": "string", "format": "uri"}
_NO_MEMBER = {"type": "array", "maxItems": 0}
_METHODS = {"type": "array", "items": {"enum": ["client_secret_basic", "client_secret_post"]}}
_TIME = {"type": "string", "format": "date-time"}
_USER = {
    "id": {"type": "string", "format": "uuid", "description": "The subject (`sub`) of its tokens."},
    "email": {"type": "string", "format": "email", "description": "Canonical: lower-case ASCII."},
    "created_at": _TIME,
    "updated_at": _TIME,
}
_HELD_USER = {
    **_USER,
    "disabled_at": {"type": ["string", "null"], "format": "date-time", "description": "Since when; null: it is not."},
}
USER_SCHEMA = {"$ref": "#/components/schemas/User"}
TOKENS_SCHEMA = {"$ref": "#/components/schemas/Tokens"}
SESSIONS_SCHEMA = {"$ref": "#/components/schemas/Sessions"}
INTROSPECTION_SCHEMA = {"$ref": "#/components/schemas/Introspection"}
ACTIVITY_SCHEMA = {"$ref": "#/components/schemas/Activity"}
EXPORT_SCHEMA = {"$ref": "#/components/schemas/Export"}
RENEWAL = {
    "renew": {
        "operationId": "post_api_auth_refresh",
        "requestBody": {"refresh_token": "$response.body#/refresh_token"},
        "description": "The next tokens, for this refresh token.",
    }
}
SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "User": {
        "type": "object",
        "description": "One account.",
        "required": list(_USER),
        "additionalProperties": False,
        "properties": _USER,
    },
    "Tokens": {
        "type": "object",
        "description": "An access token (RFC 6749 §5.1, RFC 9068), and the refresh token that yields the next ones.",
        "required": ["access_token", "token_type", "expires_in", "refresh_token", "refresh_expires_in"],
        "additionalProperties": False,
        "properties": {
            "access_token": {"type": "string"},
            "token_type": {"const": "Bearer"},
            "expires_in": {"type": "integer", "description": "Seconds until the access token expires."},
            "refresh_token": {"type": "string"},
            "refresh_expires_in": {
                "type": "integer",
                "description": "Seconds until the session is over, unless it is renewed before and may be.",
            },
        },
    },
    "Session": {
        "type": "object",
        "description": "One login that can still be renewed.",
        "required": [
            "id",
            "created_at",
            "last_used_at",
            "expires_at",
            "address",
            "agent",
            "authentication_methods",
            "current",
        ],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "string", "format": "uuid", "description": "The claim `sid` of its access tokens."},
            "created_at": _TIME,
            "last_used_at": {**_TIME, "description": "When it was last renewed, or opened."},
            "expires_at": {**_TIME, "description": "The end, however often it is renewed."},
            "address": {"type": ["string", "null"], "description": "Network address that the login came from."},
            "agent": {"type": ["string", "null"], "description": "User-Agent of the login, shortened."},
            "authentication_methods": {
                "type": "array",
                "items": {"type": "string"},
                "description": "How the login proved who it was (RFC 8176).",
            },
            "current": {"type": "boolean", "description": "Whether it is the one that asks."},
        },
    },
    "Sessions": {
        "type": "object",
        "description": "All sessions of an account, the last used first.",
        "required": ["sessions"],
        "additionalProperties": False,
        "properties": {"sessions": {"type": "array", "items": {"$ref": "#/components/schemas/Session"}}},
    },
    "Introspection": {
        "type": "object",
        "description": "What a token is worth (RFC 7662 §2.2). An inactive one has no other member.",
        "required": ["active"],
        "additionalProperties": False,
        "properties": {
            "active": {"type": "boolean"},
            "token_type": {"enum": ["Bearer", "refresh_token"]},
            "sub": {"type": "string", "format": "uuid", "description": "The account."},
            "sid": {"type": "string", "format": "uuid", "description": "The session."},
            "exp": {"type": "integer", "description": "When it expires, in seconds since the epoch."},
            "iss": {"type": "string", "description": "Of an access token, as the next three."},
            "aud": {"type": "string"},
            "iat": {"type": "integer"},
            "jti": {"type": "string", "format": "uuid"},
        },
    },
    "Entry": {
        "type": "object",
        "description": "Something that happened to an account.",
        "required": ["id", "recorded_at", "event", "session_id", "address", "agent"],
        "additionalProperties": False,
        "properties": {
            "id": {"type": "integer", "description": "Grows with time."},
            "recorded_at": _TIME,
            "event": {"type": "string", "description": "What happened, as `subject:action:outcome`."},
            "session_id": {"type": ["string", "null"], "format": "uuid", "description": "The session it was about."},
            "address": {
                "type": ["string", "null"],
                "description": "Network address; null: the command line of an operator.",
            },
            "agent": {"type": ["string", "null"], "description": "User-Agent, shortened."},
        },
    },
    "Activity": {
        "type": "object",
        "description": "A page of what happened to an account, the newest first.",
        "required": ["activity", "next"],
        "additionalProperties": False,
        "properties": {
            "activity": {"type": "array", "items": {"$ref": "#/components/schemas/Entry"}},
            "next": {"type": ["integer", "null"], "description": "The `before` of the next page; null: the last."},
        },
    },
    "Export": {
        "type": "object",
        "description": "All that is held about an account.",
        "required": ["user", "sessions", "activity"],
        "additionalProperties": False,
        "properties": {
            "user": {
                "type": "object",
                "required": list(_HELD_USER),
                "additionalProperties": False,
                "properties": _HELD_USER,
            },
            "sessions": {"type": "array", "items": {"$ref": "#/components/schemas/Session"}},
            "activity": {"type": "array", "items": {"$ref": "#/components/schemas/Entry"}},
        },
    },
    "JwkSet": {
        "type": "object",
        "description": "Public keys (RFC 7517 §5).",
        "required": ["keys"],
        "properties": {
            "keys": {"type": "array", "items": {"type": "object", "required": ["kty", "kid", "alg", "use"]}}
        },
    },
    "IssuerMetadata": {
        "type": "object",
        "description": "Authorization server metadata (RFC 8414 §2).",
        "required": ["issuer", "response_types_supported"],
        "additionalProperties": False,
        "properties": {
            "issuer": {"type": "string", "description": "The claim `iss` of its tokens."},
            "jwks_uri": {**_URL, "description": "The public keys. Missing for HS256."},
            "response_types_supported": {**_NO_MEMBER, "description": "None: there is no authorization endpoint."},
            "grant_types_supported": {**_NO_MEMBER, "description": "None: there is no token endpoint."},
            "introspection_endpoint": {**_URL, "description": "RFC 7662."},
            "introspection_endpoint_auth_methods_supported": _METHODS,
            "revocation_endpoint": {**_URL, "description": "RFC 7009."},
            "revocation_endpoint_auth_methods_supported": _METHODS,
            "service_documentation": _URL,
        },
    },
}


def json_response(value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    return web.Response(status=status, body=orjson.dumps(value), content_type=JSON, headers=headers)


def user_body(user: User) -> dict[str, str]:
    """Return the user object of the API."""
    return {
        "id": str(user.public_id),
        "email": user.email,
        "created_at": timestamp(user.created_at),
        "updated_at": timestamp(user.updated_at),
    }


def tokens_body(pair: TokenPair) -> dict[str, str | int]:
    """Return the tokens object of the API."""
    return {
        "access_token": pair.access_token.text,
        "token_type": "Bearer",
        "expires_in": pair.access_token.expires_in,
        "refresh_token": pair.refresh_token,
        "refresh_expires_in": pair.refresh_expires_in,
    }


def session_body(session: Session, current: UUID) -> dict[str, object]:
    """Return the session object of the API; `current` is the session that asks."""
    return {
        "id": str(session.id),
        "created_at": timestamp(session.created_at),
        "last_used_at": timestamp(session.last_used_at),
        "expires_at": timestamp(session.expires_at),
        "address": session.address,
        "agent": session.agent,
        "authentication_methods": session.authentication_methods,
        "current": session.id == current,
    }


def entry_body(entry: Entry) -> dict[str, object]:
    """Return the object of the API for an entry of the journal, which its owner reads."""
    return {
        "id": entry.id,
        "recorded_at": timestamp(entry.recorded_at),
        "event": entry.event,
        "session_id": str(entry.session_id) if entry.session_id else None,
        "address": entry.address,
        "agent": entry.agent,
    }


def timestamp(moment: datetime) -> str:
    """Return a moment in UTC, as the database gives it, in RFC 3339 with microseconds."""
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
