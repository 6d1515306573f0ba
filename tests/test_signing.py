"""Keys are read and published, tokens are issued and read, and what was read is remembered within bounds."""

import base64
import dataclasses
import json
import tracemalloc
from functools import cache
from typing import Any, cast
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jose.backends.base import Key  # noqa: TID251 - the backend guard is tested against the library's own base

from authsvc import signing
from authsvc.config import Secret, Tokens
from authsvc.entropy import SystemEntropy
from authsvc.signing import (
    AccessTokenIssuer,
    AccessTokenReader,
    Identity,
    InvalidAccessTokenError,
    KeySet,
    load_keys,
    read_key_set,
    read_published_keys,
)
from tests.conftest import FrozenClock

ISSUER = "https://auth.example.com"
SUBJECT, SESSION = UUID(int=1), UUID(int=2)
SECRET = Secret("0123456789abcdef0123456789abcdef")
ENTROPY = SystemEntropy()


@cache
def jwk(name: str) -> dict[str, str]:
    """A private key, made once a run: `EC`, `EC2`, `RSA`."""
    return signing.generate_key("RS256" if name == "RSA" else "ES256")


def tokens_of(*names: str) -> Tokens:
    keys = None if names == ("HMAC",) else Secret(json.dumps({"keys": [jwk(name) for name in names]}))
    return Tokens(None if keys else SECRET, keys, ISSUER, "authsvc", 900)


def issuer_of(keys: KeySet, clock: FrozenClock) -> AccessTokenIssuer:
    return AccessTokenIssuer(keys.signing, ISSUER, "authsvc", 900, clock, ENTROPY)


def reader_of(keys: KeySet, clock: FrozenClock, **options: Any) -> AccessTokenReader:
    return AccessTokenReader(keys.verification, issuer=ISSUER, audience="authsvc", clock=clock, **options)


def part(token: str, number: int) -> Any:
    segment = token.split(".")[number]
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


@pytest.mark.parametrize("names, algorithm", [(["EC"], "ES256"), (["RSA"], "RS256"), (["HMAC"], "HS256")])
def test_a_token_says_what_rfc_9068_asks_and_reads_back(clock: FrozenClock, names: list[str], algorithm: str) -> None:
    keys = load_keys(tokens_of(*names))
    token = issuer_of(keys, clock).issue(SUBJECT, SESSION)
    now = int(clock.now().timestamp())
    assert part(token.text, 0) == {"typ": "at+jwt", "alg": algorithm, "kid": keys.signing.kid}
    payload = part(token.text, 1)
    assert payload == {
        "iss": ISSUER,
        "sub": str(SUBJECT),
        "aud": "authsvc",
        "iat": now,
        "exp": now + 900,
        "jti": payload["jti"],
        "sid": str(SESSION),
    }
    claims = Identity(ISSUER, SUBJECT, "authsvc", SESSION, UUID(payload["jti"]), now, now, now + 900)
    assert reader_of(keys, clock).read(token.text) == claims
    assert token.expires_in == 900
    assert token.text not in repr(token)


def test_each_token_has_an_id_of_its_own(clock: FrozenClock) -> None:
    issuer = issuer_of(load_keys(tokens_of("EC")), clock)
    assert len({part(issuer.issue(SUBJECT, SESSION).text, 1)["jti"] for _ in range(20)}) == 20


@pytest.mark.parametrize("names", [["EC", "RSA"], ["RSA", "EC"], ["EC2", "EC", "RSA"]])
def test_a_mixed_set_signs_with_its_first_key_and_verifies_with_each(clock: FrozenClock, names: list[str]) -> None:
    """DEP-11, DEP-12: the library alone fails on these, by their order."""
    keys = load_keys(tokens_of(*names))
    assert keys.signing.kid == jwk(names[0])["kid"]
    reader = reader_of(keys, clock)
    for name in names:
        token = issuer_of(load_keys(tokens_of(name)), clock).issue(SUBJECT, SESSION)
        assert reader.read(token.text).subject == SUBJECT


def test_another_key_of_the_same_kind_does_not_verify(clock: FrozenClock) -> None:
    """DEP-14."""
    token = issuer_of(load_keys(tokens_of("EC2")), clock).issue(SUBJECT, SESSION).text
    with pytest.raises(InvalidAccessTokenError, match="unknown_key"):
        reader_of(load_keys(tokens_of("EC")), clock).read(token)


def test_only_public_members_are_published() -> None:
    """MW-11."""
    published = load_keys(tokens_of("EC", "RSA")).published()
    assert [set(key) for key in published["keys"]] == [
        {"kty", "crv", "x", "y", "kid", "alg", "use"},
        {"kty", "n", "e", "kid", "alg", "use"},
    ]
    assert [key["alg"] for key in published["keys"]] == ["ES256", "RS256"]
    for name, key in zip(("EC", "RSA"), published["keys"], strict=True):
        assert key["use"] == "sig"
        assert key == {member: jwk(name)[member] for member in key}


def test_a_shared_secret_is_not_published_and_its_kid_does_not_tell_it() -> None:
    keys = load_keys(tokens_of("HMAC"))
    assert keys.published() == {"keys": []}
    assert keys.signing.kid == load_keys(tokens_of("HMAC")).signing.kid
    other = load_keys(dataclasses.replace(tokens_of("HMAC"), secret=Secret("x" * 32)))
    assert keys.signing.kid != other.signing.kid


def test_what_is_published_verifies_elsewhere(clock: FrozenClock) -> None:
    keys = load_keys(tokens_of("EC", "RSA"))
    verification = read_published_keys(json.loads(json.dumps(keys.published())))
    assert verification.keys() == keys.verification.keys()
    reader = AccessTokenReader(verification, issuer=ISSUER, audience="authsvc", clock=clock)
    assert reader.read(issuer_of(keys, clock).issue(SUBJECT, SESSION).text).session_id == SESSION


def test_the_thumbprint_is_that_of_rfc_7638() -> None:
    """The example of its §3.1."""
    public = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjB"
        "ZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8"
        "KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_"
        "xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
    }
    expected = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert signing.thumbprint(public) == expected
    (kid,) = read_published_keys({"keys": [{**public, "alg": "RS256", "x5t": "ignored"}]})
    assert kid == expected


@pytest.mark.parametrize("name, bits", [("EC", 256), ("RSA", 3072)])
def test_a_generated_key_is_complete_and_named_by_its_thumbprint(name: str, bits: int) -> None:
    key = jwk(name)
    public = {member: key[member] for member in (("kty", "crv", "x", "y") if name == "EC" else ("kty", "n", "e"))}
    assert key["kid"] == signing.thumbprint(public)
    assert {"d", "alg", "use"} <= key.keys()
    assert len(base64.urlsafe_b64decode(key["x" if name == "EC" else "n"] + "==")) * 8 == bits
    assert signing.generate_key(key["alg"])["kid"] != key["kid"]


def b64(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8)).rstrip(b"=").decode()


@cache
def short_rsa() -> dict[str, str]:
    numbers = rsa.generate_private_key(65537, 1024).private_numbers()  # noqa: S505 - to be refused
    return {"kty": "RSA", "n": b64(numbers.public_numbers.n), "e": "AQAB", "d": b64(numbers.d)}


@cache
def other_curve() -> dict[str, str]:
    public = ec.generate_private_key(ec.SECP384R1()).public_key().public_numbers()
    return {"kty": "EC", "crv": "P-384", "x": b64(public.x), "y": b64(public.y), "d": "AQAB"}


def without(key: dict[str, str], *members: str) -> dict[str, str]:
    return {name: value for name, value in key.items() if name not in members}


def bad_members() -> list[tuple[object, str]]:
    good = jwk("EC")
    unusable = "holds key 1 that is neither ES256 (P-256) nor RS256, or not for signatures"
    broken = "holds key 1 that cannot be used ("
    no_text = "holds key 1 whose numbers are not base64url texts (RFC 7518 §6)"
    kid = "holds key 1 whose kid is not a text of 1 to 128 characters"
    half = "begins with a private key that cannot sign: d is broken, or belongs to another public key"
    return [
        (5, "holds key 1 that is no JWK"),
        ({}, unusable),
        ({"kty": "oct", "k": "AAAA"}, unusable),
        ({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}, unusable),
        ({**good, "kty": ["EC"]}, unusable),
        ({**good, "alg": "ES384"}, unusable),
        ({**good, "alg": None}, unusable),
        ({**good, "use": "enc"}, unusable),
        ({**good, "key_ops": ["encrypt"]}, unusable),
        ({**good, "key_ops": "sign"}, unusable),
        ({**jwk("RSA"), "alg": "RS512"}, unusable),
        ({**good, "kty": "RSA", "alg": "RS256"}, broken),
        (without(good, "x"), broken),
        (without(good, "crv"), broken),
        ({**good, "crv": "P-999"}, broken),
        ({**good, "x": 5}, no_text),
        ({**good, "x": 34_359_738_368}, no_text),  # python-jose would ask for as many bytes
        ({**good, "x": "é"}, no_text),
        ({**good, "x": ""}, no_text),
        ({**good, "x": good["x"] + "="}, no_text),  # python-jose would skip each of these
        ({**good, "x": good["x"] + "!!!!"}, no_text),
        ({**good, "x": good["x"] + "\n"}, no_text),
        ({**good, "x": " " + good["x"]}, no_text),
        ({**good, "x": "AAAA"}, broken),
        ({**good, "y": jwk("EC2")["y"]}, broken),
        (without(jwk("RSA"), "e"), broken),
        ({**jwk("RSA"), "e": "AQ"}, broken),
        (other_curve(), "holds key 1 on another curve than P-256, which ES256 means (RFC 7518 §3.4)"),
        (short_rsa(), "holds key 1 of fewer than 2048 bits (RFC 7518 §3.3)"),
        ({**good, "kid": ""}, kid),
        ({**good, "kid": 5}, kid),
        ({**good, "kid": "k" * 129}, kid),
        ({**good, "kid": "\ud800"}, kid),
        (without(good, "d"), "must begin with a private key: the first key signs, and this one has no member d"),
        ({**good, "d": jwk("EC2")["d"]}, half),
        ({**good, "d": "!"}, no_text),
        ({**good, "d": "AAAA"}, half),
        ({**good, "d": 5}, no_text),
        ({**without(jwk("RSA"), "p", "q", "dp", "dq", "qi"), "d": "AQAB"}, half),
    ]


def test_each_fault_of_a_key_set_has_its_sentence() -> None:
    """TOK-03: and no sentence quotes the key."""
    for member, sentence in bad_members():
        with pytest.raises(ValueError, match=r"^(holds|begins|must)") as caught:
            read_key_set(json.dumps({"keys": [member]}))
        assert str(caught.value).startswith(sentence), member
        assert jwk("EC")["d"] not in str(caught.value)


def test_a_later_key_may_be_public_but_not_bad_and_not_of_the_same_kid() -> None:
    first, second = jwk("EC"), jwk("EC2")
    assert len(read_key_set(json.dumps({"keys": [first, without(second, "d")]})).verification) == 2
    with pytest.raises(ValueError, match=r"^holds two keys with the same kid, at 2: give each a kid of its own$"):
        read_key_set(json.dumps({"keys": [first, {**second, "kid": first["kid"]}]}))
    with pytest.raises(ValueError, match=r"^holds key 2 "):
        read_key_set(json.dumps({"keys": [first, {**second, "use": "enc"}]}))


def test_a_key_without_a_kid_is_named_by_its_thumbprint_and_one_with_keeps_it() -> None:
    key = jwk("EC")
    assert read_key_set(json.dumps({"keys": [without(key, "kid")]})).signing.kid == key["kid"]
    assert read_key_set(json.dumps({"keys": [{**key, "kid": "mine"}]})).signing.kid == "mine"
    assert read_key_set(json.dumps({"keys": [{**key, "key_ops": ["sign"]}]})).signing.kid == key["kid"]


def test_without_any_key_nothing_is_loaded() -> None:
    """TOK-03: an empty secret would verify what anybody signs."""
    with pytest.raises(ValueError, match="missing"):
        load_keys(Tokens(None, None, ISSUER, "authsvc", 900))


junk = st.none() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2) | st.just("AQAB")


@settings(deadline=None, max_examples=300)
@given(
    st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "d", "kid", "alg", "use", "key_ops"]), junk, min_size=1)
)
def test_a_strange_key_is_refused_by_name_or_usable(changes: dict[str, object]) -> None:
    text = json.dumps({"keys": [{**jwk("EC"), **changes}]})
    try:
        keys = read_key_set(text)
    except ValueError:
        return
    assert keys.signing.key.sign(b"it works")


@pytest.mark.parametrize("document", [None, [], "keys", {}, {"keys": None}, {"keys": {}}, {"keys": "EC"}])
def test_what_is_no_jwk_set_is_refused(document: object) -> None:
    with pytest.raises(ValueError, match="is no JWK set"):
        read_published_keys(document)


def test_published_keys_of_other_kinds_are_left_out() -> None:
    good = without(jwk("EC"), "d")
    bad = [member for member, sentence in bad_members() if sentence.startswith("holds")]
    assert list(read_published_keys({"keys": [*bad, good, None]})) == [good["kid"]]


def test_secrets_for_other_purposes_are_stable_and_apart() -> None:
    for names in (["HMAC"], ["EC", "RSA"]):
        derived = signing.derived_keys(tokens_of(*names), b"form token")
        assert derived == signing.derived_keys(tokens_of(*names), b"form token")
        assert len(derived) == len(names)
        assert {len(key) for key in derived} == {32}
        assert not set(derived) & set(signing.derived_keys(tokens_of(*names), b"other"))
    first, second = (signing.derived_keys(tokens_of(*names), b"x") for names in (["EC", "RSA"], ["RSA", "EC"]))
    assert first == second[::-1]
    assert len(set(first)) == 2
    assert signing.derived_keys(Tokens(None, None, ISSUER, "authsvc", 900), b"x") == []


def test_a_public_key_gives_no_secret() -> None:
    keys = Secret(json.dumps({"keys": [jwk("EC"), without(jwk("EC2"), "d")]}))
    assert len(signing.derived_keys(Tokens(None, keys, ISSUER, "authsvc", 900), b"x")) == 1


def test_the_pure_python_backends_are_refused() -> None:
    with pytest.raises(ImportError, match=r"install python-jose\[cryptography\]"):
        signing.require_cryptography_backend(Key)


class CountingKey:
    """Stands before a real key and counts what it verifies."""

    def __init__(self, key: Key) -> None:
        self.key = key
        self.verified = 0

    def verify(self, message: bytes, signature: bytes) -> bool:
        self.verified += 1
        return bool(self.key.verify(message, signature))


@pytest.fixture
def counting() -> tuple[KeySet, CountingKey]:
    keys = load_keys(tokens_of("EC"))
    (kid,) = keys.verification
    counter = CountingKey(keys.verification[kid].key)
    key = dataclasses.replace(keys.verification[kid], key=cast("Key", counter))
    return dataclasses.replace(keys, verification={kid: key}), counter


def test_a_token_that_was_good_is_verified_once(clock: FrozenClock, counting: tuple[KeySet, CountingKey]) -> None:
    keys, counter = counting
    reader, token = reader_of(keys, clock), issuer_of(keys, clock).issue(SUBJECT, SESSION).text
    assert reader.read(token) == reader.read(token)
    assert counter.verified == 1


def test_a_remembered_token_expires_all_the_same(clock: FrozenClock) -> None:
    """TOK-19, DEP-15: and a clock that was set back is looked at too."""
    keys = load_keys(tokens_of("EC"))
    reader, token = reader_of(keys, clock), issuer_of(keys, clock).issue(SUBJECT, SESSION).text
    reader.read(token)
    clock.advance(900 + 30 - 0.001)
    reader.read(token)
    clock.advance(0.001)
    with pytest.raises(InvalidAccessTokenError, match="expired"):
        reader.read(token)
    clock.advance(-900 - 61)
    with pytest.raises(InvalidAccessTokenError, match="issued_in_the_future"):
        reader.read(token)


def test_a_refused_token_is_never_remembered(clock: FrozenClock, counting: tuple[KeySet, CountingKey]) -> None:
    keys, counter = counting
    reader, token = reader_of(keys, clock), issuer_of(keys, clock).issue(SUBJECT, SESSION).text
    head, _dot, signature = token.rpartition(".")
    clock.advance(3600)
    for refused in (token, f"{head}.{signature[::-1]}", token + "!", "", "x" * 5000):
        for _ in range(2):
            with pytest.raises(InvalidAccessTokenError):
                reader.read(refused)
    assert not reader._remembered
    assert reader._free_bytes == reader._cache_bytes
    assert counter.verified >= 2


def test_new_keys_forget_what_the_old_ones_verified(clock: FrozenClock, counting: tuple[KeySet, CountingKey]) -> None:
    """DEP-13."""
    keys, counter = counting
    reader, token = reader_of(keys, clock), issuer_of(keys, clock).issue(SUBJECT, SESSION).text
    reader.read(token)
    reader.replace_keys({})
    with pytest.raises(InvalidAccessTokenError, match="unknown_key"):
        reader.read(token)
    reader.replace_keys(keys.verification)
    reader.read(token)
    assert counter.verified == 2
    assert reader._free_bytes == reader._cache_bytes - signing._entry_bytes(token)


def test_memory_is_bounded_in_bytes_and_the_oldest_is_forgotten_first(
    clock: FrozenClock, counting: tuple[KeySet, CountingKey]
) -> None:
    """DOS-14."""
    keys, counter = counting
    issuer = issuer_of(keys, clock)
    tokens = [issuer.issue(SUBJECT, SESSION).text for _ in range(8)]
    size = signing._entry_bytes(tokens[0])
    reader = reader_of(keys, clock, cache_bytes=3 * size + size // 2)
    for token in tokens:
        reader.read(token)
        used = sum(map(signing._entry_bytes, reader._remembered))
        assert used == reader._cache_bytes - reader._free_bytes <= reader._cache_bytes
    assert list(reader._remembered) == tokens[-3:]
    for token in tokens[-3:]:
        reader.read(token)
    assert counter.verified == 8
    reader.read(tokens[0])
    assert counter.verified == 9


@pytest.mark.parametrize("cache_bytes", [0, 100])
def test_without_room_nothing_is_remembered(clock: FrozenClock, cache_bytes: int) -> None:
    keys = load_keys(tokens_of("EC"))
    reader = reader_of(keys, clock, cache_bytes=cache_bytes)
    token = issuer_of(keys, clock).issue(SUBJECT, SESSION).text
    for _ in range(2):
        reader.read(token)
    assert not reader._remembered
    assert reader._free_bytes == cache_bytes


def test_an_entry_takes_no_more_memory_than_is_counted_for_it(clock: FrozenClock) -> None:
    keys = load_keys(tokens_of("HMAC"))
    issuer, reader, count = issuer_of(keys, clock), reader_of(keys, clock), 700
    # The first one also pays for what the libraries keep.
    reader.read(issuer.issue(SUBJECT, SESSION).text)
    tracemalloc.start()
    for _ in range(count):
        reader.read(issuer.issue(ENTROPY.new_id(), ENTROPY.new_id()).text)
    used, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    counted = sum(map(signing._entry_bytes, reader._remembered))
    assert counted / 2 < used <= counted


def test_a_key_that_fails_refuses(clock: FrozenClock) -> None:
    class Broken:
        def verify(self, _message: bytes, _signature: bytes) -> bool:
            raise ValueError

    keys = load_keys(tokens_of("EC"))
    token = issuer_of(keys, clock).issue(SUBJECT, SESSION).text
    broken = {kid: dataclasses.replace(key, key=cast("Key", Broken())) for kid, key in keys.verification.items()}
    with pytest.raises(InvalidAccessTokenError, match="bad_signature"):
        reader_of(dataclasses.replace(keys, verification=broken), clock).read(token)
