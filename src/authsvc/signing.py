"""Access tokens (RFC 9068) with python-jose: issue them, read them strictly, publish the keys.

python-jose makes and checks signatures with keys built once; nothing else of it is trusted. Its `jwt.decode` ignores
`kid`, `typ` and `crit`, takes tokens without `exp` and several spellings of one token, and lets exceptions of seven
kinds escape. `AccessTokenReader` therefore looks at every byte itself and has one exception.
"""

import base64
import hashlib
import hmac
import json
import re
from binascii import Error as Base64Error
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jose import jwk, jwt
from jose.backends import ECKey
from jose.backends.base import Key
from jose.exceptions import JOSEError

from authsvc import strict_json
from authsvc.clock import Clock
from authsvc.config import Tokens
from authsvc.entropy import Entropy

TYPE = "at+jwt"
LEEWAY_SECONDS = 30
MAX_TOKEN_LENGTH = 4096
MAX_LIFETIME_SECONDS = 86_400
CACHE_BYTES = 32 * 1024 * 1024

_SEGMENT = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_SIGNATURE_BYTES = {"ES256": 64}
_PUBLIC_MEMBERS = {"ES256": ("kty", "crv", "x", "y"), "RS256": ("kty", "n", "e")}
_MATERIAL = ("crv", "x", "y", "d", "n", "e", "p", "q", "dp", "dq", "qi")
# Modulo these 65537 is no generator (Nemec et al., The Return of Coppersmith's Attack, 2017).
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_REFUSED_HEADERS = frozenset({"crit", "b64", "zip"})
_NOT_A_KEY = (JOSEError, ValueError, TypeError, KeyError, AttributeError)


class InvalidAccessTokenError(Exception):
    """The token is not good. `reason` is one of a closed set of words, for logs; never told to the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class VerificationKey:
    """A key that signatures are checked with: exactly one algorithm."""

    kid: str
    algorithm: str
    key: Key
    jwk: Mapping[str, str] | None
    """Its public JWK (RFC 7517); None for a shared secret."""


@dataclass(frozen=True)
class SigningKey:
    """The key that signs."""

    kid: str
    algorithm: str
    key: Key


@dataclass(frozen=True)
class KeySet:
    """One key that signs, and all that verify, by `kid`."""

    signing: SigningKey
    verification: Mapping[str, VerificationKey]

    def published(self) -> dict[str, list[dict[str, str]]]:
        """Return the public JWK set: empty where the secret is shared."""
        return {"keys": [dict(key.jwk) for key in self.verification.values() if key.jwk is not None]}


@dataclass(frozen=True)
class Identity:
    """Who is asking, as a good access token says. Times are seconds since the epoch (RFC 7519 §2, NumericDate)."""

    issuer: str
    subject: UUID
    audience: str
    session_id: UUID
    token_id: UUID
    issued_at: int
    not_before: int
    """Claim `nbf`, which ours lack; then the same as `issued_at`."""
    expires_at: int


@dataclass(frozen=True, repr=False)
class AccessToken:
    """A token that was just issued; `expires_in` in seconds."""

    text: str
    expires_in: int


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
    kid = _encode(hmac.digest(secret, b"authsvc kid", "sha256")[:16])
    key = jwk.construct(secret, "HS256")
    return KeySet(SigningKey(kid, "HS256", key), MappingProxyType({kid: VerificationKey(kid, "HS256", key, None)}))


def derived_keys(settings: Tokens, purpose: bytes) -> list[bytes]:
    """Return secrets for another purpose, one from each configured secret, in order: the same on every instance."""
    if settings.keys is not None:
        members = json.loads(settings.keys.reveal())["keys"]
        secrets = [str(member["d"]) for member in members if "d" in member]
    else:
        secrets = [settings.secret.reveal()] if settings.secret is not None else []
    return [hmac.digest(secret.encode(), b"authsvc " + purpose, "sha256") for secret in secrets]


def read_key_set(text: str) -> KeySet:
    """Return the keys of a private JWK set (RFC 7517): the first signs, all verify.

    Raises:
        ValueError: a sentence on what is wrong with it.
    """
    members: list[dict[str, Any]] = json.loads(text)["keys"]
    verification: dict[str, VerificationKey] = {}
    for number, member in enumerate(members, start=1):
        key = _verification_key(member, f"key {number}")
        if key.kid in verification:
            raise ValueError(f"holds two keys with the same kid, at {number}: give each a kid of its own")
        verification[key.kid] = key
    first = next(iter(verification.values()))
    if "d" not in members[0]:
        raise ValueError("must begin with a private key: the first key signs, and this one has no member d")
    try:
        private = jwk.construct(members[0], first.algorithm)
        private.sign(b"probe")
    except _NOT_A_KEY:
        # The cryptography library compares the halves of the key when it is built.
        raise ValueError(
            "begins with a private key that cannot sign: d is broken, or belongs to another public key"
        ) from None
    return KeySet(SigningKey(first.kid, first.algorithm, private), MappingProxyType(verification))


def read_published_keys(document: object) -> dict[str, VerificationKey]:
    """Return the usable keys of a public JWK set, by `kid`; those of other kinds and uses are left out.

    Raises:
        ValueError: it is no JWK set.
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
        keys[key.kid] = key
    return keys


def _verification_key(member: object, name: str) -> VerificationKey:
    if not isinstance(member, dict):
        raise ValueError(f"holds {name} that is no JWK")  # noqa: TRY004 - a value of the configuration
    algorithm = {"EC": "ES256", "RSA": "RS256"}.get(str(member.get("kty")), "")
    operations = member.get("key_ops", ["verify"])
    is_for_signatures = isinstance(operations, list) and not {"verify", "sign"}.isdisjoint(map(str, operations))
    if not algorithm or member.get("alg", algorithm) != algorithm or member.get("use", "sig") != "sig":
        is_for_signatures = False
    if not is_for_signatures:
        raise ValueError(f"holds {name} that is neither ES256 (P-256) nor RS256, or not for signatures")
    # python-jose takes a number for a length: {"x": 34359738368} would ask for 32 GiB. In a text it skips what is not
    # base64url; that would be published as it stands.
    texts = [member[part] for part in _MATERIAL if part in member]
    if not all(isinstance(text, str) and _SEGMENT.fullmatch(text) for text in texts):
        raise ValueError(f"holds {name} whose numbers are not base64url texts (RFC 7518 §6)")
    public = {part: member[part] for part in _PUBLIC_MEMBERS[algorithm] if part in member}
    try:
        key: Any = jwk.construct(public, algorithm)
        prepared = key.prepared_key
    except _NOT_A_KEY as error:
        raise ValueError(f"holds {name} that cannot be used ({type(error).__name__})") from None
    if isinstance(prepared, ec.EllipticCurvePublicKey) and not isinstance(prepared.curve, ec.SECP256R1):
        raise ValueError(f"holds {name} on another curve than P-256, which ES256 means (RFC 7518 §3.4)")  # noqa: TRY004 - a value of the configuration
    if isinstance(prepared, rsa.RSAPublicKey):
        _check_modulus(prepared.public_numbers().n, name)
    kid = member.get("kid", thumbprint(public))
    if not isinstance(kid, str) or not kid.isprintable() or not 1 <= len(kid) <= 128:  # noqa: PLR2004 - ours are 43 characters
        raise ValueError(f"holds {name} whose kid is not a text of 1 to 128 characters")
    return VerificationKey(kid, algorithm, key, {**public, "kid": kid, "alg": algorithm, "use": "sig"})


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
    return _encode(hashlib.sha256(text.encode()).digest())


def generate_key(algorithm: str) -> dict[str, str]:
    """Return a new private JWK for ES256 or RS256 (3072 bits), with `kid`, `alg` and `use`."""
    private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = (
        ec.generate_private_key(ec.SECP256R1()) if algorithm == "ES256" else rsa.generate_private_key(65537, 3072)
    )
    built: dict[str, Any] = jwk.construct(_pem(private), algorithm).to_dict()
    members = {name: value.decode() if isinstance(value, bytes) else value for name, value in built.items()}
    public = {part: members[part] for part in _PUBLIC_MEMBERS[algorithm]}
    return {**members, "kid": thumbprint(public), "alg": algorithm, "use": "sig"}


def _pem(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return private.private_bytes(*encoding).decode()


@dataclass(frozen=True)
class AccessTokenIssuer:
    """Signs access tokens (RFC 9068 §2)."""

    key: SigningKey
    issuer: str
    audience: str
    lifetime_seconds: int
    clock: Clock
    entropy: Entropy

    def issue(self, subject: UUID, session_id: UUID) -> AccessToken:
        """Return a new access token for the account `subject`."""
        now = int(self.clock.now().timestamp())
        claims = {
            "iss": self.issuer,
            "sub": str(subject),
            "aud": self.audience,
            "iat": now,
            "exp": now + self.lifetime_seconds,
            "jti": str(self.entropy.new_id()),
            "sid": str(session_id),
        }
        headers = {"typ": TYPE, "kid": self.key.kid}
        # The library's type wants a str or a dict; it takes a built key as well, and builds none from it.
        key: Any = self.key.key
        return AccessToken(jwt.encode(claims, key, self.key.algorithm, headers), self.lifetime_seconds)


class AccessTokenReader:
    """Reads access tokens: one key by `kid`, every claim required and typed, our clock.

    A token that was good is remembered, whole, with its claims, within a bound in bytes: its next reading is a
    look-up and a comparison of times. A refused token is never remembered.
    """

    def __init__(
        self,
        keys: Mapping[str, VerificationKey],
        *,
        issuer: str,
        audience: str,
        clock: Clock,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """`cache_bytes` bounds the memory of remembered tokens; 0 remembers none."""
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        # Ordered: a plain dict takes longer and longer to find its oldest entry again.
        self._remembered: OrderedDict[str, Identity] = OrderedDict()
        self._free_bytes = self._cache_bytes = cache_bytes

    def replace_keys(self, keys: Mapping[str, VerificationKey]) -> None:
        """Verify with `keys` from now on; what others verified is forgotten."""
        self._keys = keys
        self._remembered.clear()
        self._free_bytes = self._cache_bytes

    def read(self, token: str) -> Identity:
        """Return the claims of a good access token.

        Raises:
            InvalidAccessTokenError: whatever is wrong with it.
        """
        claims = self._remembered.get(token)
        if claims is None:
            claims = self._verify(token)
            self._check_times(claims)
            self._remember(token, claims)
        else:
            self._check_times(claims)
        return claims

    def _remember(self, token: str, claims: Identity) -> None:
        self._remembered[token] = claims
        self._free_bytes -= _entry_bytes(token)
        while self._free_bytes < 0:
            oldest, _claims = self._remembered.popitem(last=False)
            self._free_bytes += _entry_bytes(oldest)

    def _verify(self, token: str) -> Identity:
        return self._claims_of(_read_object(self._signed_payload(token)))

    def _signed_payload(self, token: str) -> bytes:
        if len(token) > MAX_TOKEN_LENGTH:
            raise InvalidAccessTokenError("too_long")
        segments = token.split(".")
        if len(segments) != 3 or not all(_SEGMENT.fullmatch(segment) for segment in segments):  # noqa: PLR2004
            raise InvalidAccessTokenError("not_a_jws")
        header, payload, signature = (_decode(segment) for segment in segments)
        key = self._key_of(_read_object(header))
        if len(signature) != _SIGNATURE_BYTES.get(key.algorithm, len(signature)):
            raise InvalidAccessTokenError("bad_signature")
        try:
            good = key.key.verify(token.rpartition(".")[0].encode(), signature)
        except _NOT_A_KEY:
            good = False
        if not good:
            raise InvalidAccessTokenError("bad_signature")
        return payload

    def _check_type(self, header: dict[str, object]) -> None:
        type_ = header.get("typ")
        if not isinstance(type_, str) or type_.lower().removeprefix("application/") != TYPE:
            raise InvalidAccessTokenError("wrong_type")

    def _key_of(self, header: dict[str, object]) -> VerificationKey:
        self._check_type(header)
        if not _REFUSED_HEADERS.isdisjoint(header):
            raise InvalidAccessTokenError("unsupported_header")
        kid = header.get("kid")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise InvalidAccessTokenError("unknown_key")
        if header.get("alg") != key.algorithm:
            raise InvalidAccessTokenError("wrong_algorithm")
        return key

    def _claims_of(self, payload: dict[str, object]) -> Identity:
        if payload.get("iss") != self._issuer or payload.get("aud") != self._audience:
            raise InvalidAccessTokenError("wrong_issuer_or_audience")
        issued_at, expires_at = _time(payload, "iat"), _time(payload, "exp")
        if not 0 < expires_at - issued_at <= MAX_LIFETIME_SECONDS:
            raise InvalidAccessTokenError("wrong_lifetime")
        return Identity(
            issuer=self._issuer,
            subject=_uuid(payload, "sub"),
            audience=self._audience,
            session_id=_uuid(payload, "sid"),
            token_id=_uuid(payload, "jti"),
            issued_at=issued_at,
            not_before=_time(payload, "nbf") if "nbf" in payload else issued_at,
            expires_at=expires_at,
        )

    def _check_times(self, claims: Identity) -> None:
        now = self._clock.now().timestamp()
        if now >= claims.expires_at + LEEWAY_SECONDS:
            raise InvalidAccessTokenError("expired")
        if claims.issued_at > now + LEEWAY_SECONDS:
            raise InvalidAccessTokenError("issued_in_the_future")
        if claims.not_before > now + LEEWAY_SECONDS:
            raise InvalidAccessTokenError("not_good_yet")


def _entry_bytes(token: str) -> int:
    # Measured with tracemalloc for tokens of ours: the claims and the slot of the dict take about 900 bytes.
    return len(token) + 900


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(segment: str) -> bytes:
    try:
        data = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except (Base64Error, ValueError):
        raise InvalidAccessTokenError("not_a_jws") from None
    # Each byte string has one spelling (RFC 4648 §3.5): spare bits of the last character are zero.
    if _encode(data) != segment:
        raise InvalidAccessTokenError("not_a_jws")
    return data


def _read_object(data: bytes) -> dict[str, object]:
    try:
        value = strict_json.loads(data.decode())
    except ValueError:
        raise InvalidAccessTokenError("not_json") from None
    if not isinstance(value, dict):
        raise InvalidAccessTokenError("not_json")
    return value


def _time(payload: dict[str, object], name: str) -> int:
    value = payload.get(name)
    # `type is`: a bool is an int.
    if type(value) is not int:
        raise InvalidAccessTokenError("wrong_claim")
    return value


def _uuid(payload: dict[str, object], name: str) -> UUID:
    value = payload.get(name)
    try:
        parsed = UUID(value) if isinstance(value, str) else None
    except ValueError:
        parsed = None
    if parsed is None or str(parsed) != value:
        raise InvalidAccessTokenError("wrong_claim")
    return parsed
