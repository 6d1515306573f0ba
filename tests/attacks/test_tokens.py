"""Hostile access tokens against the one reader: each is refused, by the reader's one exception."""

import base64
import hashlib
import hmac
import json
import random  # noqa: TID251 - mutants must be the same in every run
import string
from collections.abc import Callable
from functools import cache
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from authsvc import key_sets
from authsvc.config import Secret, Tokens
from authsvc.key_sets import KeySet
from authsvc.signing import AccessTokenReader, Identity, InvalidAccessTokenError
from tests.conftest import FrozenClock

ISSUER = "https://auth.example.com"
SECRET = "0123456789abcdef0123456789abcdef"
MUTANTS = 20_000
# The order of P-256's group (SEC 2, §2.4.2).
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
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
ATTACKER = ec.derive_private_key(4711, ec.SECP256R1())
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
    return key_sets.generate_key("ES256")


@cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number(ec_jwk()["d"]), ec.SECP256R1())


@cache
def both() -> KeySet:
    return key_sets.read_key_set(json.dumps({"keys": [ec_jwk(), rsa_jwk()]}))


@cache
def shared() -> KeySet:
    return key_sets.load_keys(Tokens(Secret(SECRET), None, ISSUER, "authsvc", 900))


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


@pytest.fixture
def reader(clock: FrozenClock) -> AccessTokenReader:
    return AccessTokenReader(both().verification, issuer=ISSUER, audience="authsvc", clock=clock)


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


def test_what_is_forged_here_is_good_where_nothing_is_wrong(reader: AccessTokenReader) -> None:
    claims = Identity(ISSUER, UUID(int=1), "authsvc", UUID(int=3), UUID(int=2), NOW, NOW, NOW + 900)
    assert reader.read(GOOD) == claims
    assert reader.read(forge(header(alg="RS256", kid=rsa_jwk()["kid"]), payload(), rs256)) == claims
    assert reader.read(forge(header(jku="https://evil.example", x="y"), payload(role="admin"))) == claims


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "nOnE", "", MISSING, None, 5, [], {}, ["ES256"], "es256"]
)
@pytest.mark.parametrize("signature", ["", GOOD_SIGNATURE])
def test_an_algorithm_that_is_none_or_nonsense(reader: AccessTokenReader, algorithm: object, signature: str) -> None:
    """TOK-01."""
    message = f"{b64(to_bytes(header(alg=algorithm)))}.{GOOD_PAYLOAD}"
    refuse(reader, f"{message}.{signature}")
    assert refuse(reader, forge(header(alg=algorithm), payload())) == "wrong_algorithm"


@pytest.mark.parametrize("algorithm", ["ES384", "RS256", "HS256", "PS256", "EdDSA", "RSA-OAEP", "ES"])
def test_the_algorithm_is_the_keys_and_never_the_tokens(reader: AccessTokenReader, algorithm: str) -> None:
    """TOK-01: even where the signature is good."""
    assert refuse(reader, forge(header(alg=algorithm), payload())) == "wrong_algorithm"


def public_spellings() -> list[bytes]:
    """The public keys in each form that somebody may take for a secret."""
    spellings: list[bytes] = []
    for key, jwk in ((ec_key(), ec_jwk()), (rsa_key(), rsa_jwk())):
        public = key.public_key()
        information = serialization.PublicFormat.SubjectPublicKeyInfo
        pem = public.public_bytes(serialization.Encoding.PEM, information)
        published = {name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in jwk}
        spellings += [
            pem,
            pem.rstrip(),
            b"".join(pem.splitlines()[1:-1]),
            public.public_bytes(serialization.Encoding.DER, information),
            public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
            json.dumps(published).encode(),
            json.dumps({**published, "kid": jwk["kid"]}, separators=(",", ":")).encode(),
            jwk["kid"].encode(),
            hashlib.sha256(pem).digest(),
        ]
    point = serialization.PublicFormat.UncompressedPoint
    return [*spellings, ec_key().public_key().public_bytes(serialization.Encoding.X962, point)]


def test_a_public_key_is_no_shared_secret(reader: AccessTokenReader) -> None:
    """TOK-02."""
    for secret in public_spellings():
        for kid in (ec_jwk()["kid"], rsa_jwk()["kid"]):
            for algorithm in ("HS256", "ES256", "RS256"):
                refuse(reader, forge(header(alg=algorithm, kid=kid), payload(), hs256(secret)))


@pytest.mark.parametrize(
    "secret", ["", "secret", "password", "changeme", "your-256-bit-secret", SECRET[:-1], SECRET * 2]
)
def test_another_secret_does_not_verify(clock: FrozenClock, secret: str) -> None:
    """TOK-03."""
    kid = shared().signing.kid
    reader = AccessTokenReader(shared().verification, issuer=ISSUER, audience="authsvc", clock=clock)
    reader.read(forge(header(alg="HS256", kid=kid), payload(), hs256(SECRET.encode())))
    for token in (
        forge(header(alg="HS256", kid=kid), payload(), hs256(secret.encode())),
        forge(header(alg="HS256", kid=kid), payload(), lambda _message: b""),
        forge(header(alg="ES256", kid=kid), payload()),
    ):
        with pytest.raises(InvalidAccessTokenError):
            reader.read(token)


@pytest.mark.parametrize("kid", [ec_jwk()["kid"], "attacker", MISSING])
def test_the_token_does_not_bring_its_own_key(reader: AccessTokenReader, kid: object) -> None:
    """TOK-04: CVE-2018-0114."""
    numbers = ATTACKER.public_key().public_numbers()
    own = {"kty": "EC", "crv": "P-256", "x": b64(numbers.x.to_bytes(32)), "y": b64(numbers.y.to_bytes(32))}
    for name, value in {
        "jwk": own,
        "jku": "https://evil.example/jwks.json",
        "x5u": "https://evil.example/cert.pem",
        "x5c": ["AAAA"],
    }.items():
        changes = {"kid": kid, name: value}
        token = forge(header(**changes), payload(), lambda message: es256(message, ATTACKER))
        assert refuse(reader, token) in {"bad_signature", "unknown_key"}


@pytest.mark.parametrize(
    "kid",
    [
        "unknown",
        "../../dev/null",
        "' OR 1=1",
        "k" * 2000,
        "",
        "\ud800",
        None,
        5,
        True,
        [],
        {},
        [ec_jwk()["kid"]],
        MISSING,
    ],
)
def test_a_kid_names_one_of_our_keys_or_none(reader: AccessTokenReader, kid: object) -> None:
    """TOK-05."""
    assert refuse(reader, forge(header(kid=kid), payload())) == "unknown_key"


def test_a_kid_names_the_very_key(reader: AccessTokenReader) -> None:
    """TOK-05: good signatures by our other key."""
    assert refuse(reader, forge(header(kid=rsa_jwk()["kid"]), payload())) == "wrong_algorithm"
    assert refuse(reader, forge(header(alg="RS256"), payload(), rs256)) == "wrong_algorithm"
    assert refuse(reader, forge(header(), payload(), rs256)) == "bad_signature"
    assert refuse(reader, forge(header(alg="RS256", kid=rsa_jwk()["kid"]), payload())) == "bad_signature"


@pytest.mark.parametrize(
    "signature",
    [
        b"\0" * 64,
        ORDER.to_bytes(32) * 2,
        ORDER.to_bytes(32) + b"\0" * 32,
        b"\0" * 31 + b"\1" + b"\0" * 32,
        b"\xff" * 64,
        b"\0",
        b"\0" * 63,
        b"\0" * 65,
        b"\0" * 256,
    ],
)
def test_a_signature_of_special_numbers(reader: AccessTokenReader, signature: bytes) -> None:
    """TOK-06: CVE-2022-21449."""
    assert refuse(reader, forge(header(), payload(), lambda _message: signature)) == "bad_signature"


def test_a_signature_in_der(reader: AccessTokenReader) -> None:
    """TOK-06."""
    token = forge(header(), payload(), lambda message: ec_key().sign(message, ec.ECDSA(hashes.SHA256())))
    assert refuse(reader, token) == "bad_signature"


def test_the_twin_of_a_signature_says_the_same(reader: AccessTokenReader) -> None:
    """TOK-06: (r, n-s) is good ECDSA; what is kept about tokens goes by their `jti`."""

    def twin(message: bytes) -> bytes:
        signature = es256(message)
        return signature[:32] + (ORDER - int.from_bytes(signature[32:])).to_bytes(32)

    assert reader.read(forge(header(), payload(), twin)) == reader.read(GOOD)


def test_a_signature_that_is_missing_cut_or_anothers(reader: AccessTokenReader) -> None:
    """TOK-07."""
    other = forge(header(), payload(jti=str(UUID(int=9)))).rpartition(".")[2]
    for signature in ("", GOOD_SIGNATURE[:-1], GOOD_SIGNATURE[:-4], GOOD_SIGNATURE[4:], GOOD_SIGNATURE * 2, other):
        refuse(reader, f"{GOOD_HEADER}.{GOOD_PAYLOAD}.{signature}")
    refuse(reader, f"{GOOD_HEADER}.{GOOD_PAYLOAD}")


@pytest.mark.parametrize(
    "changes", [{"sub": str(UUID(int=7))}, {"exp": NOW + 86_400}, {"role": "admin"}, {"jti": str(UUID(int=8))}]
)
def test_an_edited_token_with_the_old_signature(reader: AccessTokenReader, changes: dict[str, object]) -> None:
    """TOK-08."""
    edited = b64(to_bytes(payload(**changes)))
    assert refuse(reader, f"{GOOD_HEADER}.{edited}.{GOOD_SIGNATURE}") == "bad_signature"
    edited = b64(to_bytes(header(x=1)))
    assert refuse(reader, f"{edited}.{GOOD_PAYLOAD}.{GOOD_SIGNATURE}") == "bad_signature"
    spaced = b64(json.dumps(payload()).encode())
    assert refuse(reader, f"{GOOD_HEADER}.{spaced}.{GOOD_SIGNATURE}") == "bad_signature"


JUNK = [
    "=",
    "==",
    "====",
    "\n",
    "\r\n",
    " ",
    "!",
    "!!!!",
    "!" * 2000,
    "é",
    "🦉",
    "==AAAA",
    "\0",
    "\udcff",
    "%",
    "A",
    "٣",
]


@pytest.mark.parametrize("junk", JUNK)
def test_a_token_has_one_spelling(reader: AccessTokenReader, junk: str) -> None:
    """TOK-09: at each end and in the middle of each part, also while the true spelling is in memory."""
    middle = len(GOOD) - 40
    places = (0, 5, len(GOOD_HEADER), len(GOOD_HEADER) + 1, len(GOOD_HEADER) + 5, middle, len(GOOD) - 1, len(GOOD))
    for place in places:
        refuse(reader, GOOD[:place] + junk + GOOD[place:])


def test_spare_bits_and_the_other_alphabet_are_no_spelling(reader: AccessTokenReader) -> None:
    """TOK-09: 15 last characters more would decode to the same signature."""
    alphabet = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    for character in alphabet:
        if character != GOOD[-1]:
            refuse(reader, GOOD[:-1] + character)
    token = next(
        token
        for token in (forge(header(), payload(jti=str(UUID(int=n)))) for n in range(1000))
        if "-" in token and "_" in token
    )
    reader.read(token)
    for other in (token.replace("-", "+"), token.replace("_", "/")):
        assert refuse(reader, other) == "not_a_jws"


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "e30.e30.e30",
        "é.é.é",
        GOOD_HEADER,
        f"{GOOD_HEADER}.",
        f".{GOOD_PAYLOAD}.{GOOD_SIGNATURE}",
        f"{GOOD_HEADER}..{GOOD_SIGNATURE}",
        f"{GOOD}.",
        f".{GOOD}",
        f"{GOOD}.{GOOD_SIGNATURE}",
        f"{GOOD}.AAAA.AAAA",
        json.dumps({"payload": GOOD_PAYLOAD, "protected": GOOD_HEADER, "signature": GOOD_SIGNATURE}),
        f"Bearer {GOOD}",
        f"{GOOD},{GOOD}",
    ],
)
def test_what_has_not_three_parts(reader: AccessTokenReader, token: str) -> None:
    """TOK-10."""
    refuse(reader, token)


def test_a_fourth_part_that_was_signed_over(reader: AccessTokenReader) -> None:
    """TOK-10."""
    message = f"{GOOD_HEADER}.{GOOD_PAYLOAD}.{GOOD_PAYLOAD}"
    assert refuse(reader, f"{message}.{b64(es256(message.encode()))}") == "not_a_jws"


@pytest.mark.parametrize("text", ["\udcff", "a.b.c\udcff"])
def test_bytes_beyond_ascii_in_the_header(reader: AccessTokenReader, text: str) -> None:
    """TOK-11: the library alone answers with UnicodeEncodeError."""
    for token in (text, GOOD + text, text + GOOD, GOOD.replace(".", text)):
        assert refuse(reader, token) == "not_a_jws"


def test_a_token_of_4096_characters_is_read_and_a_longer_one_is_not(reader: AccessTokenReader) -> None:
    """TOK-13."""
    lengths = {len(token): token for n in range(2500, 2800) for token in [forge(header(), payload(pad="x" * n))]}
    longest = max(length for length in lengths if length <= 4096)
    shortest = min(length for length in lengths if length > 4096)
    assert longest > 4090
    assert reader.read(lengths[longest]).subject == UUID(int=1)
    for token in (lengths[shortest], GOOD * 20, "x" * 8000, "." * 1_000_000):
        assert refuse(reader, token) == "too_long"


@pytest.mark.parametrize("name", ["alg", "kid", "typ"])
def test_a_header_that_names_a_member_twice(reader: AccessTokenReader, name: str) -> None:
    """TOK-14."""
    twice = raw(header(), f'"{name}":{json.dumps(header()[name])}')
    assert refuse(reader, forge(twice, payload())) == "not_json"
    escaped = raw(header(), f'"\\u{ord(name[0]):04x}{name[1:]}":"x"')
    assert refuse(reader, forge(escaped, payload())) == "not_json"


@pytest.mark.parametrize("name", ["sub", "exp", "jti", "sid", "iss", "aud", "iat"])
def test_a_payload_that_names_a_claim_twice(reader: AccessTokenReader, name: str) -> None:
    """TOK-14: also inside of another claim."""
    twice = f'"{name}":{json.dumps(payload()[name])}'
    assert refuse(reader, forge(header(), raw(payload(), twice))) == "not_json"
    assert refuse(reader, forge(header(), raw(payload(), f'"x":{{{twice},{twice}}}'))) == "not_json"


@pytest.mark.parametrize(
    "changes",
    [
        {"crit": ["x"]},
        {"crit": []},
        {"crit": None},
        {"crit": ["exp"], "exp": NOW + 900},
        {"b64": False},
        {"b64": True},
        {"crit": ["b64"], "b64": False},
        {"zip": "DEF"},
    ],
)
def test_a_header_that_must_be_understood(reader: AccessTokenReader, changes: dict[str, object]) -> None:
    """TOK-15: RFC 7515 §4.1.11."""
    assert refuse(reader, forge(header(**changes), payload())) == "unsupported_header"


@pytest.mark.parametrize("type_", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])
def test_the_type_of_rfc_9068_in_any_case(reader: AccessTokenReader, type_: str) -> None:
    """TOK-16."""
    assert reader.read(forge(header(typ=type_), payload())).subject == UUID(int=1)


@pytest.mark.parametrize(
    "type_",
    [
        "JWT",
        "jwt",
        "refresh+jwt",
        "reset+jwt",
        "verify-email+jwt",
        "at+jwt ",
        " at+jwt",
        "application/application/at+jwt",
        "text/at+jwt",
        "at",
        "",
        None,
        5,
        ["at+jwt"],
        {"at+jwt": 1},
        MISSING,
    ],
)
def test_a_token_of_another_type(reader: AccessTokenReader, type_: object) -> None:
    """TOK-16, TOK-17."""
    assert refuse(reader, forge(header(typ=type_), payload())) == "wrong_type"


NO_TIMES = [MISSING, None, str(NOW + 900), " 9_999_999_999 ", "٩٩٩٩٩٩٩٩٩٩", True, [], {}, NOW + 900.0, NOW + 0.5]


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", NO_TIMES)
def test_a_time_that_is_no_whole_number(reader: AccessTokenReader, name: str, value: object) -> None:
    """TOK-18."""
    if name == "nbf" and value is MISSING:
        value = "now"  # ours have none
    assert refuse(reader, forge(header(), payload(**{name: value}))) == "wrong_claim"


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "text, reason",
    [
        ("NaN", "not_json"),
        ("Infinity", "not_json"),
        ("-Infinity", "not_json"),
        ("1e400", "not_json"),
        ("1e9", "wrong_claim"),
        ("9" * 1000 + "e0", "not_json"),
        ("01", "not_json"),
        ("", "not_json"),
    ],
)
def test_a_time_that_no_number_of_json_is(reader: AccessTokenReader, name: str, text: str, reason: str) -> None:
    """TOK-18."""
    members = payload(**{name: MISSING})
    assert refuse(reader, forge(header(), raw(members, f'"{name}":{text}'))) == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": -1},
        {"exp": 0},
        {"exp": 10**30},
        {"exp": 2**63},
        {"exp": NOW},
        {"exp": NOW - 1},
        {"exp": NOW + 86_401},
        {"iat": 0},
        {"iat": -(10**30)},
        {"iat": NOW + 900},
    ],
)
def test_a_life_that_is_no_life_or_too_long(reader: AccessTokenReader, changes: dict[str, object]) -> None:
    """TOK-18: whoever signed it, ours live for a day at most."""
    assert refuse(reader, forge(header(), payload(**changes))) == "wrong_lifetime"


@pytest.mark.parametrize("seconds, good", [(0, True), (900, True), (929, True), (930, False), (931, False)])
def test_the_last_moment_is_expiry_and_half_a_minute(
    reader: AccessTokenReader, clock: FrozenClock, seconds: int, *, good: bool
) -> None:
    """TOK-19: and at the very moment it is over (RFC 7519 §4.1.4)."""
    clock.advance(seconds)
    if good:
        reader.read(GOOD)
        return
    with pytest.raises(InvalidAccessTokenError, match="expired"):
        reader.read(GOOD)


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"iat": NOW + 31, "exp": NOW + 900}, "issued_in_the_future"),
        ({"nbf": NOW + 31}, "not_good_yet"),
        ({"nbf": 10**30}, "not_good_yet"),
    ],
)
def test_a_token_that_is_not_good_yet(
    reader: AccessTokenReader, clock: FrozenClock, changes: dict[str, object], reason: str
) -> None:
    """DEP-15."""
    token = forge(header(), payload(**changes))
    assert refuse(reader, token) == reason
    clock.advance(1)
    if changes.get("nbf") != 10**30:
        reader.read(token)


@pytest.mark.parametrize(
    "name, values",
    [
        ("aud", [MISSING, None, [], ["authsvc"], ["authsvc", "other"], "Authsvc", "authsvc/", "", {"authsvc": 1}, 5]),
        ("iss", [MISSING, None, ISSUER + "/", [ISSUER], ISSUER.replace("https", "http"), ISSUER.upper(), "", True]),
    ],
)
def test_an_audience_or_issuer_that_is_not_the_very_same(
    reader: AccessTokenReader, name: str, values: list[object]
) -> None:
    """TOK-21, TOK-22."""
    for value in values:
        assert refuse(reader, forge(header(), payload(**{name: value}))) == "wrong_issuer_or_audience"


ID = "0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d"


@pytest.mark.parametrize("name", ["sub", "sid", "jti"])
@pytest.mark.parametrize(
    "value",
    [
        MISSING,
        None,
        5,
        True,
        "",
        "ada",
        [ID],
        ID.upper(),
        f"{{{ID}}}",
        f"urn:uuid:{ID}",
        ID.replace("-", ""),
        ID + " ",
        ID.replace("0", "\u0660"),
        "\ud800",
        "' OR 1=1",
    ],
)
def test_an_id_that_is_no_uuid_in_its_one_spelling(reader: AccessTokenReader, name: str, value: object) -> None:
    """TOK-23."""
    reader.read(forge(header(), payload(**{name: ID})))
    assert refuse(reader, forge(header(), payload(**{name: value}))) == "wrong_claim"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"5",
        b"true",
        b'"text"',
        b"[]",
        b"{",
        b"{}x",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":' + b"9" * 1000 + b"}" * 2,
        b"[" * 2700,
        b'{"a":' * 500,
        b'{"\xff":1}',
        b"{'a':1}",
    ],
)
def test_a_part_that_is_no_json_object(reader: AccessTokenReader, data: bytes) -> None:
    """TOK-10, TOK-18: the library alone answers deep nesting with RecursionError, without any key."""
    refuse(reader, f"{b64(data)}.{GOOD_PAYLOAD}.{GOOD_SIGNATURE}")
    refuse(reader, forge(data, payload()))
    refuse(reader, forge(header(), data))


def mutant_of(token: str, chance: random.Random) -> str:
    """Change a few characters, or whole parts."""
    alphabet = string.ascii_letters + string.digits + "-_." + "=+/ \n\0é٣🦉\udcff{}\"',"
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        at, to = chance.randrange(len(token) + 1), chance.randrange(len(token) + 1)
        match chance.randrange(8):
            case 0 | 1 | 2:
                token = token[:at] + chance.choice(alphabet) + token[at + 1 :]
            case 3:
                token = token[:at] + chance.choice(alphabet) + token[at:]
            case 4:
                token = token[:at] + token[at + 1 :]
            case 5:
                token = token[: min(at, to)] + token[max(at, to) :]
            case 6:
                token = token[:at] + token[min(at, to) : max(at, to)] + token[at:]
            case _:
                parts = token.split(".")
                chance.shuffle(parts)
                token = ".".join(parts)
    return token


def test_twenty_thousand_mutants_of_a_good_token(reader: AccessTokenReader) -> None:
    """TOK-29: none is accepted, and none brings up another exception."""
    chance = random.Random(2026)  # noqa: S311 - chance that repeats itself
    good = [GOOD, forge(header(alg="RS256", kid=rsa_jwk()["kid"]), payload(), rs256)]
    reasons: dict[str, int] = {}
    for _ in range(MUTANTS):
        token = mutant_of(chance.choice(good), chance)
        if token in good:
            continue
        with pytest.raises(InvalidAccessTokenError) as caught:
            reader.read(token)
        reasons[caught.value.reason] = reasons.get(caught.value.reason, 0) + 1
    assert reasons.keys() <= REASONS
    # Many of them get as far as the signature.
    assert reasons["bad_signature"] > MUTANTS / 20
    assert not reader._remembered


def test_mutated_members_under_a_good_signature(reader: AccessTokenReader) -> None:
    """TOK-29: what a broken signer of ours may sign."""
    chance = random.Random(2026)  # noqa: S311 - chance that repeats itself
    values: list[Any] = [None, True, 0, -1, 1.5, 10**30, "", "x", "\ud800", [], {}, [[]], MISSING]
    for _ in range(2000):
        head, body = header(), payload()
        for _change in range(chance.randrange(1, 4)):
            members = chance.choice((head, body))
            members[chance.choice(list(members))] = chance.choice(values)
        token = forge(header(**head), payload(**body))
        with pytest.raises(InvalidAccessTokenError):
            reader.read(token)
