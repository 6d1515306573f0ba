"""Access tokens (RFC 9068) with python-jose: issue them, and read them strictly.

python-jose makes and checks signatures with keys built once (key_sets.py); nothing else of it is trusted. Its
`jwt.decode` ignores `kid`, `typ` and `crit`, takes tokens without `exp` and several spellings of one token, and lets
exceptions of seven kinds escape. `AccessTokenReader` therefore looks at every byte itself and has one exception.
"""

import re
from binascii import a2b_base64
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from uuid import UUID

import orjson

from authsvc import strict_json
from authsvc.clock import Clock
from authsvc.entropy import Entropy
from authsvc.key_sets import SigningKey, VerificationKey, base64url

TYPE = "at+jwt"
LEEWAY_SECONDS = 30
MAX_TOKEN_LENGTH = 4096
MAX_LIFETIME_SECONDS = 86_400
CACHE_BYTES = 32 * 1024 * 1024
MAX_KNOWN_HEADERS = 64

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_JWS = re.compile(r"(([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+))\.([A-Za-z0-9_-]+)", re.ASCII)
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_TO_BASE64 = bytes.maketrans(b"-_", b"+/")
# By the length of a base64url text, modulo 4: what its last character may be, whose 0, -, 4 or 2 lowest bits are spare.
_SPARE: tuple[str | None, ...] = (None, "", _ALPHABET[::16], _ALPHABET[::4])
_SIGNATURE_BYTES = {"ES256": 64}
_REFUSED_HEADERS = frozenset({"crit", "b64", "zip"})


class InvalidAccessTokenError(Exception):
    """The token is not good. `reason` is one of a closed set of words, for logs; never told to the client."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Identity:
    """Who is asking, as a good access token says. Times are seconds since the epoch (RFC 7519 §2, NumericDate).

    The ids are kept as the token spells them, which has one way to: most requests ask for no more.
    """

    issuer: str
    subject_text: str
    audience: str
    session_text: str
    token_text: str
    issued_at: int
    not_before: int
    """Claim `nbf`, which ours lack; then the same as `issued_at`."""
    expires_at: int

    @cached_property
    def subject(self) -> UUID:
        """The claim `sub`: the account."""
        return _uuid(self.subject_text)

    @cached_property
    def session_id(self) -> UUID:
        """The claim `sid`."""
        return _uuid(self.session_text)

    @cached_property
    def token_id(self) -> UUID:
        """The claim `jti`."""
        return _uuid(self.token_text)


@dataclass(frozen=True, repr=False)
class AccessToken:
    """A token that was just issued; `expires_in` in seconds."""

    text: str
    expires_in: int


@dataclass(frozen=True)
class AccessTokenIssuer:
    """Signs access tokens (RFC 9068 §2)."""

    key: SigningKey
    issuer: str
    audience: str
    lifetime_seconds: int
    clock: Clock
    entropy: Entropy

    def issue(
        self,
        subject: UUID,
        session_id: UUID,
        not_after: datetime | None = None,
        issued_at: datetime | None = None,
    ) -> AccessToken:
        """Return a new access token for the account `subject`, as of `issued_at`, good until `not_after` at most.

        Its life is up to 5 % shorter than configured, at random: clients that logged in together renew apart.
        """
        now = int(self.clock.timestamp())
        begin = now if issued_at is None else int(issued_at.timestamp())
        jitter = int.from_bytes(self.entropy.token_bytes(2), "big") * self.lifetime_seconds // (20 * 65_536)
        lifetime = self.lifetime_seconds - jitter
        if not_after is not None:
            lifetime = max(1, min(lifetime, int(not_after.timestamp()) - begin))
        claims = {
            "iss": self.issuer,
            "sub": str(subject),
            "aud": self.audience,
            "iat": begin,
            "exp": begin + lifetime,
            "jti": str(self.entropy.new_id()),
            "sid": str(session_id),
        }
        message = f"{self._header}.{base64url(orjson.dumps(claims))}"
        return AccessToken(f"{message}.{base64url(self.key.sign(message.encode()))}", begin + lifetime - now)

    @cached_property
    def _header(self) -> str:
        """The JOSE header, the same for every token. The library would write it anew, and take twice the time."""
        return base64url(orjson.dumps({"alg": self.key.algorithm, "kid": self.key.kid, "typ": TYPE}))


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
        # Plain numbers, since this is done for every request; read when somebody scrapes.
        self._hits = self._misses = 0
        # Headers of good tokens, as they were spelt: an issuer writes the same one for each token of a key.
        self._known_headers: dict[str, VerificationKey] = {}

    def replace_keys(self, keys: Mapping[str, VerificationKey]) -> None:
        """Verify with `keys` from now on; what others verified is forgotten."""
        self._keys = keys
        self._remembered.clear()
        self._known_headers.clear()
        self._free_bytes = self._cache_bytes

    def read(self, token: str) -> Identity:
        """Return the claims of a good access token.

        Raises:
            InvalidAccessTokenError: whatever is wrong with it.
        """
        claims = self._remembered.get(token)
        if claims is None:
            self._misses += 1
            claims = self._verify(token)
            self._check_times(claims)
            self._remember(token, claims)
        else:
            self._hits += 1
            self._check_times(claims)
        return claims

    def lookups(self) -> dict[str, int]:
        """Return how many tokens were remembered when they were read, and how many were not."""
        return {"hit": self._hits, "miss": self._misses}

    def remembered_bytes(self) -> int:
        """Return the memory that remembered tokens take."""
        return self._cache_bytes - self._free_bytes

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
        jws = _JWS.fullmatch(token)
        if jws is None:
            raise InvalidAccessTokenError("not_a_jws")
        message, header, payload, signature = jws.groups()
        key = self._known_headers.get(header) or self._key_of(_read_object(_decode(header)))
        claims, octets = _decode(payload), _decode(signature)
        if len(octets) != _SIGNATURE_BYTES.get(key.algorithm, len(octets)):
            raise InvalidAccessTokenError("bad_signature")
        if not key.verifies(message.encode(), octets):
            raise InvalidAccessTokenError("bad_signature")
        if len(self._known_headers) < MAX_KNOWN_HEADERS:
            self._known_headers[header] = key
        return claims

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
            subject_text=_uuid_text(payload, "sub"),
            audience=self._audience,
            session_text=_uuid_text(payload, "sid"),
            token_text=_uuid_text(payload, "jti"),
            issued_at=issued_at,
            not_before=_time(payload, "nbf") if "nbf" in payload else issued_at,
            expires_at=expires_at,
        )

    def _check_times(self, claims: Identity) -> None:
        now = self._clock.timestamp()
        if now >= claims.expires_at + LEEWAY_SECONDS:
            raise InvalidAccessTokenError("expired")
        if claims.issued_at > now + LEEWAY_SECONDS:
            raise InvalidAccessTokenError("issued_in_the_future")
        if claims.not_before > now + LEEWAY_SECONDS:
            raise InvalidAccessTokenError("not_good_yet")


def _entry_bytes(token: str) -> int:
    # Measured with tracemalloc for tokens of ours: the claims and the slot of the dict take about 900 bytes.
    return len(token) + 900


def _decode(segment: str) -> bytes:
    # Of the alphabet alone (`_JWS`), so what is left to look at is the end. Each byte string has one spelling (RFC 4648
    # §3.5): the spare bits of the last character are zero. A lone character holds no byte.
    spare = _SPARE[len(segment) % 4]
    if spare is not None and segment[-1] not in spare:
        raise InvalidAccessTokenError("not_a_jws")
    return a2b_base64(segment.encode().translate(_TO_BASE64) + b"==")


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


def _uuid_text(payload: dict[str, object], name: str) -> str:
    value = payload.get(name)
    # Its one spelling (RFC 9562 §4); UUID itself takes a dozen.
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise InvalidAccessTokenError("wrong_claim")
    return value


def _uuid(text: str) -> UUID:
    """Return the UUID that has this spelling, in less time than UUID itself takes for all that it has."""
    return UUID(int=int(text.replace("-", ""), 16))
