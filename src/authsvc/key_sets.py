"""The keys that sign and verify: private JWK sets (RFC 7517) in, keys built once and checked, public JWK sets out.

python-jose builds the keys. It takes what is no key of the algorithm named, and lets exceptions of five kinds escape:
each key is looked at here before it is built, probed after, and has one exception.

A private JWK may say its `state`: *next* (published, does not sign yet), *current* (signs) or *previous* (verifies
only); key_rotation.py turns one into the other. All of them verify: another instance may be a rotation ahead or
behind. The set may hold `refresh_secrets`, which outlive the keys (RFC 7517 §5: more members may stand in a set).
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk
from jose.backends import ECKey
from jose.backends.base import Key
from jose.exceptions import JOSEError

from authsvc.config import Tokens

NEXT, CURRENT, PREVIOUS = STATES = ("next", "current", "previous")

REFRESH_SECRETS = "refresh_secrets"
"""Secrets that refresh tokens are made with, in base64url: the first makes them, all check them. Never published."""
SECRET_BYTES = 32

MAX_AGE_SECONDS = 300
"""How long services may keep the published set without asking again (RFC 9111 §5.2.2.1, max-age)."""

_PUBLIC_MEMBERS = {"ES256": ("kty", "crv", "x", "y"), "RS256": ("kty", "n", "e")}
# Modulo these 65537 is no generator (Nemec et al., The Return of Coppersmith's Attack, 2017).
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_NUMBERS = ("x", "y", "d", "n", "e", "p", "q", "dp", "dq", "qi")
_ONE_STATE = "one of next, current, previous"
_REFRESH_TOKEN = b"refresh token"
_NOT_A_KEY = (JOSEError, ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True)
class VerificationKey:
    """A key that signatures are checked with: exactly one algorithm."""

    kid: str
    algorithm: str
    key: Key
    jwk: Mapping[str, str] | None
    """Its public JWK (RFC 7517); None for a shared secret."""

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether `signature` is this key's, of `message`."""
        try:
            return bool(self.key.verify(message, signature))
        except _NOT_A_KEY:
            return False


@dataclass(frozen=True)
class SigningKey:
    """The key that signs."""

    kid: str
    algorithm: str
    key: Key

    def sign(self, message: bytes) -> bytes:
        """Return the signature of `message` (RFC 7515 §5.1)."""
        signature: bytes = self.key.sign(message)
        return signature


@dataclass(frozen=True)
class KeySet:
    """One key that signs, and all that verify, by `kid`."""

    signing: SigningKey
    verification: Mapping[str, VerificationKey]

    def published(self) -> dict[str, list[dict[str, str]]]:
        """Return the public JWK set: empty where the secret is shared."""
        return {"keys": [dict(key.jwk) for key in self.verification.values() if key.jwk is not None]}


def require_cryptography_backend(backend: type[Key]) -> None:
    """Make sure that python-jose signs with the cryptography library.

    Raises:
        ImportError: it would load its pure-Python backends, whose timing leaks the key (CVE-2024-23342), in silence.
    """
    if backend.__module__ != "jose.backends.cryptography_backend":
        raise ImportError("python-jose runs without its cryptography backend: install python-jose[cryptography].")


require_cryptography_backend(ECKey)


def load_keys(settings: Tokens) -> KeySet:
    """Return the configured keys, built and checked.

    Raises:
        ValueError: a sentence on what is wrong with the JWK set.
    """
    if settings.keys is not None:
        return read_key_set(settings.keys.reveal())
    if settings.secret is None:
        raise ValueError("is missing")
    secret = settings.secret.reveal().encode()
    # Not a hash of the secret itself: a `kid` is public.
    kid = base64url(hmac.digest(secret, b"authsvc kid", "sha256")[:16])
    key = jwk.construct(secret, "HS256")
    return KeySet(SigningKey(kid, "HS256", key), MappingProxyType({kid: VerificationKey(kid, "HS256", key, None)}))


def derived_keys(secrets: Sequence[bytes], purpose: bytes) -> list[bytes]:
    """Return keys for another purpose, one from each of `secrets`, in their order: the first to make things with."""
    return [_derived(secret, purpose) for secret in secrets]


def refresh_secrets(settings: Tokens) -> list[bytes]:
    """Return the secrets that refresh tokens are made with: the first makes them, all check them."""
    if settings.keys is not None:
        return refresh_secrets_of(json.loads(settings.keys.reveal()))
    return [_derived(settings.secret.reveal().encode(), _REFRESH_TOKEN)] if settings.secret is not None else []


def refresh_secrets_of(document: Mapping[str, Any]) -> list[bytes]:
    """Return the `refresh_secrets` of a private JWK set; where it has none, what is derived from its keys.

    Raises:
        ValueError: a sentence on what is wrong with them.
    """
    if REFRESH_SECRETS not in document:
        return _derived_from_keys(document["keys"])
    texts = document[REFRESH_SECRETS]
    secrets = [_octets(text) for text in texts] if isinstance(texts, list) else []
    if not secrets or min(map(len, secrets)) < SECRET_BYTES:
        raise ValueError(
            f"holds {REFRESH_SECRETS} that are no list of base64url texts of at least {SECRET_BYTES} bytes each"
        )
    return secrets


def _derived_from_keys(members: Sequence[Mapping[str, Any]]) -> list[bytes]:
    signing = states_of(members).index(CURRENT)
    in_order = [members[signing], *members[:signing], *members[signing + 1 :]]
    return [_derived(str(member["d"]).encode(), _REFRESH_TOKEN) for member in in_order if "d" in member]


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.digest(secret, b"authsvc " + purpose, "sha256")


def read_key_set(text: str) -> KeySet:
    """Return the keys of a private JWK set (RFC 7517): the current one signs, all verify.

    Raises:
        ValueError: a sentence on what is wrong with it.
    """
    document: dict[str, Any] = json.loads(text)
    members: list[dict[str, Any]] = document["keys"]
    verification: dict[str, VerificationKey] = {}
    for number, member in enumerate(members, start=1):
        key = _verification_key(member, f"key {number}")
        if key.kid in verification:
            raise ValueError(f"holds two keys with the same kid, at {number}: give each a kid of its own")
        verification[key.kid] = key
    built = list(verification.values())
    states = states_of(members)
    # The next key is tried too: that it cannot sign is found now, and not on the day it must.
    private = {
        state: _signing_key(members[number], built[number], f"key {number + 1}")
        for number, state in enumerate(states)
        if state != PREVIOUS
    }
    refresh_secrets_of(document)
    return KeySet(private[CURRENT], MappingProxyType(verification))


def states_of(members: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the state of each key; in a set that tells none the first is current, and the others are previous.

    Raises:
        ValueError: a sentence on why they are not one current key, at most one next, and else previous ones.
    """
    told = [member["state"] for member in members if "state" in member]
    if not told:
        return [CURRENT, *[PREVIOUS] * (len(members) - 1)]
    if len(told) < len(members):
        raise ValueError(f"holds keys with a state and keys without: give each {_ONE_STATE}, or none")
    for number, state in enumerate(told, start=1):
        if state not in STATES:
            raise ValueError(f"holds key {number} of an unknown state: give it {_ONE_STATE}")
    if CURRENT not in told:
        raise ValueError("holds no current key: exactly one key signs")
    if told.count(CURRENT) > 1:
        raise ValueError(f"holds {told.count(CURRENT)} current keys: exactly one key signs")
    if told.count(NEXT) > 1:
        raise ValueError(f"holds {told.count(NEXT)} next keys: only one can be the next to sign")
    return told


def _signing_key(member: Mapping[str, Any], public: VerificationKey, name: str) -> SigningKey:
    if "d" not in member:
        raise ValueError(f"cannot sign with {name}: it has no member d")
    try:
        private = jwk.construct(dict(member), public.algorithm)
        private.sign(b"probe")
    except _NOT_A_KEY:
        # The cryptography library compares the halves of the key when it is built.
        raise ValueError(f"cannot sign with {name}: d is broken, or belongs to another public key") from None
    return SigningKey(public.kid, public.algorithm, private)


def read_published_keys(document: object) -> dict[str, VerificationKey]:
    """Return the usable keys of a public JWK set, by `kid`; those of other kinds and uses are left out.

    Raises:
        ValueError: it is no JWK set, has no usable key, or has two with the same `kid`.
    """
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise ValueError("is no JWK set")  # noqa: TRY004 - a value that came over the wire
    keys: dict[str, VerificationKey] = {}
    for member in members:
        try:
            key = _verification_key(member, "a key")
        except ValueError:
            continue
        if key.kid in keys:
            raise ValueError("holds two keys with the same kid")
        keys[key.kid] = key
    if not keys:
        raise ValueError("holds no key for signatures with ES256 or RS256")
    return keys


def algorithm_of(member: Mapping[str, Any]) -> str:
    """Return the algorithm that a JWK of this type has here; empty for another type."""
    return {"EC": "ES256", "RSA": "RS256"}.get(str(member.get("kty")), "")


def _verification_key(member: object, name: str) -> VerificationKey:
    if not isinstance(member, dict):
        raise ValueError(f"holds {name} that is no JWK")  # noqa: TRY004 - a value of the configuration
    algorithm = algorithm_of(member)
    operations = member.get("key_ops", ["verify"])
    is_for_signatures = isinstance(operations, list) and not {"verify", "sign"}.isdisjoint(map(str, operations))
    if not algorithm or member.get("alg", algorithm) != algorithm or member.get("use", "sig") != "sig":
        is_for_signatures = False
    if not is_for_signatures:
        raise ValueError(f"holds {name} that is neither ES256 (P-256) nor RS256, or not for signatures")
    # python-jose takes a number for a length: {"x": 34359738368} would ask for 32 GiB. In a text it skips what is not
    # base64url; that would be published as it stands.
    if not all(_octets(member[part]) for part in _NUMBERS if part in member):
        raise ValueError(f"holds {name} whose numbers are not base64url texts (RFC 7518 §6)")
    public = {part: member[part] for part in _PUBLIC_MEMBERS[algorithm] if part in member}
    try:
        key: Any = jwk.construct(public, algorithm)
        prepared = key.prepared_key
    except _NOT_A_KEY as error:
        raise ValueError(f"holds {name} that cannot be used ({type(error).__name__})") from None
    if isinstance(prepared, ec.EllipticCurvePublicKey) and not isinstance(prepared.curve, ec.SECP256R1):
        raise ValueError(f"holds {name} on another curve than P-256, which ES256 means (RFC 7518 §3.4)")  # noqa: TRY004 - a value of the configuration
    _check_lengths(member, algorithm, name)
    if isinstance(prepared, rsa.RSAPublicKey):
        _check_modulus(prepared.public_numbers().n, name)
    kid = member.get("kid", thumbprint(public))
    if not isinstance(kid, str) or not kid.isprintable() or not 1 <= len(kid) <= 128:  # noqa: PLR2004 - ours are 43 characters
        raise ValueError(f"holds {name} whose kid is not a text of 1 to 128 characters")
    return VerificationKey(kid, algorithm, key, {**public, "kid": kid, "alg": algorithm, "use": "sig"})


def _check_lengths(member: Mapping[str, Any], algorithm: str, name: str) -> None:
    """Refuse zeros in front: another thumbprint would name the same key, and stricter readers would not take it."""
    numbers = {part: _octets(member[part]) for part in _NUMBERS if part in member}
    if algorithm == "ES256" and {len(numbers[part]) for part in ("x", "y", "d") if part in numbers} != {32}:
        raise ValueError(f"holds {name} whose x, y or d has not 32 bytes (RFC 7518 §6.2)")
    if algorithm == "RS256" and any(numbers[part].startswith(b"\0") for part in ("n", "e")):
        raise ValueError(f"holds {name} whose n or e begins with a zero byte (RFC 7518 §6.3)")


def _check_modulus(modulus: int, name: str) -> None:
    if modulus.bit_length() < 2048:  # noqa: PLR2004 - RFC 7518 §3.3
        raise ValueError(f"holds {name} of fewer than 2048 bits (RFC 7518 §3.3)")
    # The primes of faulty smart cards and TPMs are powers of 65537 modulo each small prime, and so is their product.
    # Of sound keys one in 200 million is.
    if all(modulus % prime in {pow(65537, power, prime) for power in range(prime)} for prime in _ROCA_PRIMES):
        raise ValueError(f"holds {name} whose primes can be guessed (CVE-2017-15361): make another one")


def thumbprint(public: Mapping[str, str]) -> str:
    """Return the RFC 7638 thumbprint of a public JWK."""
    text = json.dumps(dict(sorted(public.items())), separators=(",", ":"))
    return base64url(hashlib.sha256(text.encode()).digest())


def generate_key(algorithm: str) -> dict[str, str]:
    """Return a new private JWK for ES256 or RS256 (3072 bits), with `kid`, `alg` and `use`."""
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = (
        ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else rsa.generate_private_key(65537, 3072)
    )
    built: dict[str, Any] = jwk.construct(_pem(private), algorithm).to_dict()
    members = {name: value.decode() if isinstance(value, bytes) else value for name, value in built.items()}
    public = {part: members[part] for part in _PUBLIC_MEMBERS[algorithm]}
    return {**members, "kid": thumbprint(public), "alg": algorithm, "use": "sig"}


def base64url(data: bytes) -> str:
    """Return `data` in base64url without padding (RFC 7515 §2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _octets(text: object) -> bytes:
    """Return what a base64url text says in its one spelling (RFC 4648 §3.5); nothing for any other text."""
    if not isinstance(text, str) or not _SEGMENT.fullmatch(text):
        return b""
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return b""
    return data if base64url(data) == text else b""


def _pem(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return private.private_bytes(*encoding).decode()
