"""Whose key, and which signature: the key is ours, the algorithm is the key's, and nothing else verifies."""

import hashlib
import json
from uuid import UUID

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from authsvc.signing import AccessTokenReader, Identity, InvalidAccessTokenError
from tests.attacks.tokens import (
    GOOD,
    GOOD_HEADER,
    GOOD_PAYLOAD,
    GOOD_SIGNATURE,
    ISSUER,
    MISSING,
    NOW,
    SECRET,
    b64,
    ec_jwk,
    ec_key,
    es256,
    forge,
    header,
    hs256,
    payload,
    refuse,
    rs256,
    rsa_jwk,
    rsa_key,
    shared,
    to_bytes,
)
from tests.conftest import FrozenClock

# The order of P-256's group (SEC 2, §2.4.2).
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ATTACKER = ec.derive_private_key(4711, ec.SECP256R1())


def test_what_is_forged_here_is_good_where_nothing_is_wrong(reader: AccessTokenReader) -> None:
    """RFC 8725 §3: else a forger's slip would be taken for a defence."""
    claims = Identity(ISSUER, str(UUID(int=1)), "authsvc", str(UUID(int=3)), str(UUID(int=2)), NOW, NOW, NOW + 900)
    assert reader.read(GOOD) == claims
    assert reader.read(forge(header(alg="RS256", kid=rsa_jwk()["kid"]), payload(), rs256)) == claims
    assert reader.read(forge(header(jku="https://evil.example", x="y"), payload(role="admin"))) == claims


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "nOnE", "", MISSING, None, 5, [], {}, ["ES256"], "es256"]
)
@pytest.mark.parametrize("signature", ["", GOOD_SIGNATURE], ids=["none", "good"])
def test_an_algorithm_that_is_none_or_nonsense(reader: AccessTokenReader, algorithm: object, signature: str) -> None:
    """TOK-01 (ASVS 9.1.2)."""
    message = f"{b64(to_bytes(header(alg=algorithm)))}.{GOOD_PAYLOAD}"
    refuse(reader, f"{message}.{signature}")
    assert refuse(reader, forge(header(alg=algorithm), payload())) == "wrong_algorithm"


@pytest.mark.parametrize("algorithm", ["ES384", "RS256", "HS256", "PS256", "EdDSA", "RSA-OAEP", "ES"])
def test_the_algorithm_is_the_keys_and_never_the_tokens(reader: AccessTokenReader, algorithm: str) -> None:
    """TOK-01 (ASVS 9.1.2): even where the signature is good."""
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
    """TOK-02 (ASVS 9.1.2)."""
    for secret in public_spellings():
        for kid in (ec_jwk()["kid"], rsa_jwk()["kid"]):
            for algorithm in ("HS256", "ES256", "RS256"):
                refuse(reader, forge(header(alg=algorithm, kid=kid), payload(), hs256(secret)))


@pytest.mark.parametrize(
    "secret", ["", "secret", "password", "changeme", "your-256-bit-secret", SECRET[:-1], SECRET * 2]
)
def test_another_secret_does_not_verify(clock: FrozenClock, secret: str) -> None:
    """TOK-03 (CWE-347)."""
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


@pytest.mark.parametrize("kid", [ec_jwk()["kid"], "attacker", MISSING], ids=["ours", "theirs", "none"])
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
    """TOK-05 (RFC 8725 §3.10)."""
    assert refuse(reader, forge(header(kid=kid), payload())) == "unknown_key"


def test_a_kid_names_the_very_key(reader: AccessTokenReader) -> None:
    """TOK-05 (RFC 8725 §3.10): good signatures by our other key."""
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
    """TOK-06 (RFC 7518 §3.4)."""
    token = forge(header(), payload(), lambda message: ec_key().sign(message, ec.ECDSA(hashes.SHA256())))
    assert refuse(reader, token) == "bad_signature"


def test_the_twin_of_a_signature_says_the_same(reader: AccessTokenReader) -> None:
    """TOK-06 (RFC 7519 §4.1.7): (r, n-s) is good ECDSA; what is kept about tokens goes by their `jti`."""

    def twin(message: bytes) -> bytes:
        signature = es256(message)
        return signature[:32] + (ORDER - int.from_bytes(signature[32:])).to_bytes(32)

    assert reader.read(forge(header(), payload(), twin)) == reader.read(GOOD)


def test_a_signature_that_is_missing_cut_or_anothers(reader: AccessTokenReader) -> None:
    """TOK-07 (CVE-2020-28042)."""
    other = forge(header(), payload(jti=str(UUID(int=9)))).rpartition(".")[2]
    for signature in ("", GOOD_SIGNATURE[:-1], GOOD_SIGNATURE[:-4], GOOD_SIGNATURE[4:], GOOD_SIGNATURE * 2, other):
        refuse(reader, f"{GOOD_HEADER}.{GOOD_PAYLOAD}.{signature}")
    refuse(reader, f"{GOOD_HEADER}.{GOOD_PAYLOAD}")


@pytest.mark.parametrize(
    "changes", [{"sub": str(UUID(int=7))}, {"exp": NOW + 86_400}, {"role": "admin"}, {"jti": str(UUID(int=8))}]
)
def test_an_edited_token_with_the_old_signature(reader: AccessTokenReader, changes: dict[str, object]) -> None:
    """TOK-08 (ASVS 9.1.1)."""
    edited = b64(to_bytes(payload(**changes)))
    assert refuse(reader, f"{GOOD_HEADER}.{edited}.{GOOD_SIGNATURE}") == "bad_signature"
    edited = b64(to_bytes(header(x=1)))
    assert refuse(reader, f"{edited}.{GOOD_PAYLOAD}.{GOOD_SIGNATURE}") == "bad_signature"
    spaced = b64(json.dumps(payload()).encode())
    assert refuse(reader, f"{GOOD_HEADER}.{spaced}.{GOOD_SIGNATURE}") == "bad_signature"
