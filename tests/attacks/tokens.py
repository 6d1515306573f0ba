"""Forges access tokens, good and bad, for the attacks on their one reader."""

import base64
import hmac
import json
from collections.abc import Callable
from functools import cache
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from authsvc import key_sets
from authsvc.config import Secret, Tokens
from authsvc.key_sets import KeySet
from authsvc.signing import AccessTokenReader, InvalidAccessTokenError
from tests.conftest import SIGNING_KEYS, FrozenClock

ISSUER = "https://auth.example.com"
SECRET = "0123456789abcdef0123456789abcdef"
REASONS = {
    "bad_signature",
    "expired",
    "issued_in_the_future",
    "not_a_jws",
    "not_good_yet",
    "not_json",
    "too_long",
    "unknown_key",
    "unsupported_header",
    "wrong_algorithm",
    "wrong_claim",
    "wrong_issuer_or_audience",
    "wrong_lifetime",
    "wrong_type",
}
MISSING = object()
NOW = int(FrozenClock().now().timestamp())


@cache
def rsa_jwk() -> dict[str, str]:
    return key_sets.generate_key("RS256")


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    numbers = {name: number(rsa_jwk()[name]) for name in ("n", "e", "d", "p", "q", "dp", "dq", "qi")}
    public = rsa.RSAPublicNumbers(numbers["e"], numbers["n"])
    p, q, d, dp, dq, qi = (numbers[name] for name in ("p", "q", "d", "dp", "dq", "qi"))
    return rsa.RSAPrivateNumbers(p, q, d, dp, dq, qi, public).private_key()


@cache
def ec_jwk() -> dict[str, str]:
    """The key that the service of the fixtures signs with."""
    key: dict[str, str] = json.loads(SIGNING_KEYS)["keys"][0]
    return key


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number(ec_jwk()["d"]), ec.SECP256R1())


@cache
def both() -> KeySet:
    return key_sets.read_key_set(json.dumps({"keys": [ec_jwk(), rsa_jwk()]}))


@cache
def shared() -> KeySet:
    return key_sets.load_keys(Tokens(Secret(SECRET), None, ISSUER, "authsvc", 900, 0))


def number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=="))


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def to_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def es256(message: bytes, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    r, s = decode_dss_signature((key or ec_key()).sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def rs256(message: bytes) -> bytes:
    return rsa_key().sign(message, padding.PKCS1v15(), hashes.SHA256())


def hs256(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda message: hmac.digest(secret, message, "sha256")


def forge(header: object, payload: object, sign: Callable[[bytes], bytes] = es256) -> str:
    """Sign whatever it is."""
    message = f"{b64(to_bytes(header))}.{b64(to_bytes(payload))}"
    return f"{message}.{b64(sign(message.encode()))}"


def header(**changes: object) -> dict[str, object]:
    members = {"alg": "ES256", "typ": "at+jwt", "kid": ec_jwk()["kid"], **changes}
    return {name: value for name, value in members.items() if value is not MISSING}


def payload(**changes: object) -> dict[str, object]:
    members = {
        "iss": ISSUER,
        "sub": str(UUID(int=1)),
        "aud": "authsvc",
        "iat": NOW,
        "exp": NOW + 900,
        "jti": str(UUID(int=2)),
        "sid": str(UUID(int=3)),
        **changes,
    }
    return {name: value for name, value in members.items() if value is not MISSING}


def raw(members: dict[str, object], addition: str) -> bytes:
    """JSON text that no dict makes."""
    return to_bytes(members)[:-1] + f",{addition}}}".encode()


GOOD = forge(header(), payload())
GOOD_HEADER, GOOD_PAYLOAD, GOOD_SIGNATURE = GOOD.split(".")


def refuse(reader: AccessTokenReader, token: str) -> str:
    """Return the reason for which it is refused, with and without a good token in memory."""
    reasons = set()
    for _ in range(2):
        with pytest.raises(InvalidAccessTokenError) as caught:
            reader.read(token)
        reasons.add(caught.value.reason)
        reader.read(GOOD)
    (reason,) = reasons
    assert reason in REASONS
    return str(reason)
