"""Key sets are read, refused, published and made."""

import base64
import dataclasses
import json
import re
from functools import cache
from itertools import permutations
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jose.backends.base import Key  # noqa: TID251 - the backend guard is tested against the library's own base

from authsvc import key_sets
from authsvc.config import Secret, Tokens
from authsvc.key_sets import load_keys, read_key_set, read_published_keys
from tests.keys import ISSUER, jwk, tokens_of


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
    assert key_sets.thumbprint(public) == expected
    (kid,) = read_published_keys({"keys": [{**public, "alg": "RS256", "x5t": "ignored"}]})
    assert kid == expected


@pytest.mark.parametrize("name, bits", [("EC", 256), ("RSA", 3072)])
def test_a_generated_key_is_complete_and_named_by_its_thumbprint(name: str, bits: int) -> None:
    key = jwk(name)
    public = {member: key[member] for member in (("kty", "crv", "x", "y") if name == "EC" else ("kty", "n", "e"))}
    assert key["kid"] == key_sets.thumbprint(public)
    assert {"d", "alg", "use"} <= key.keys()
    assert len(base64.urlsafe_b64decode(key["x" if name == "EC" else "n"] + "==")) * 8 == bits
    assert key_sets.generate_key(key["alg"])["kid"] != key["kid"]


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


def with_zeros(text: str) -> str:
    """Return the same number with zeros in front."""
    return key_sets.base64url(b"\0\0" + base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def spare_bit(text: str) -> str:
    """Return another spelling of the same bytes: the last of 43 characters has two bits too many."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


def bad_members() -> list[tuple[object, str]]:
    good = jwk("EC")
    unusable = "holds key 1 that is neither ES256 (P-256) nor RS256, or not for signatures"
    broken = "holds key 1 that cannot be used ("
    no_text = "holds key 1 whose numbers are not base64url texts (RFC 7518 §6)"
    kid = "holds key 1 whose kid is not a text of 1 to 128 characters"
    length = "holds key 1 whose x, y or d has not 32 bytes (RFC 7518 §6.2)"
    zero = "holds key 1 whose n or e begins with a zero byte (RFC 7518 §6.3)"
    half = "cannot sign with key 1: d is broken, or belongs to another public key"
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
        ({**good, "x": spare_bit(good["x"])}, no_text),
        ({**good, "y": jwk("EC2")["y"]}, broken),
        *(({**good, part: with_zeros(good[part])}, length) for part in ("x", "y", "d")),
        ({**jwk("RSA"), "n": with_zeros(jwk("RSA")["n"])}, zero),
        ({**jwk("RSA"), "e": "AAEAAQ"}, zero),
        (without(jwk("RSA"), "e"), broken),
        ({**jwk("RSA"), "e": "AQ"}, broken),
        (other_curve(), "holds key 1 on another curve than P-256, which ES256 means (RFC 7518 §3.4)"),
        (short_rsa(), "holds key 1 of fewer than 2048 bits (RFC 7518 §3.3)"),
        ({**good, "kid": ""}, kid),
        ({**good, "kid": 5}, kid),
        ({**good, "kid": "k" * 129}, kid),
        ({**good, "kid": "\ud800"}, kid),
        (without(good, "d"), "cannot sign with key 1: it has no member d"),
        ({**good, "d": jwk("EC2")["d"]}, half),
        ({**good, "d": "!"}, no_text),
        ({**good, "d": "AAAA"}, length),
        ({**good, "d": key_sets.base64url(b"\0" * 32)}, half),
        ({**good, "d": 5}, no_text),
        ({**without(jwk("RSA"), "p", "q", "dp", "dq", "qi"), "d": "AQAB"}, half),
    ]


def test_each_fault_of_a_key_set_has_its_sentence() -> None:
    """TOK-03 (ASVS 11.2.3): and no sentence quotes the key."""
    for member, sentence in bad_members():
        with pytest.raises(ValueError, match=r"^(holds|cannot)") as caught:
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


def in_states(*states: str, names: tuple[str, ...] = ("EC", "EC2", "RSA")) -> list[dict[str, Any]]:
    return [{**jwk(name), "state": state} for name, state in zip(names, states, strict=False)]


@pytest.mark.parametrize("states", list(permutations(["next", "current", "previous"])), ids="-".join)
def test_the_current_key_signs_wherever_it_stands_and_every_key_verifies(states: tuple[str, ...]) -> None:
    members = in_states(*states)
    keys = read_key_set(json.dumps({"keys": members}))
    current = members[states.index("current")]
    assert (keys.signing.kid, keys.signing.algorithm) == (current["kid"], current["alg"])
    assert list(keys.verification) == [member["kid"] for member in members]
    assert keys.verification[current["kid"]].verifies(b"it works", keys.signing.key.sign(b"it works"))


def test_no_state_and_no_time_is_published() -> None:
    members = [{**member, "since": 1} for member in in_states("current", "next", "previous")]
    published = read_key_set(json.dumps({"keys": members})).published()["keys"]
    assert len(published) == 3
    assert set().union(*published) == {"kty", "crv", "x", "y", "n", "e", "kid", "alg", "use"}


def bad_states() -> list[tuple[list[dict[str, Any]], str]]:
    broken = {**jwk("EC2"), "d": jwk("EC")["d"], "state": "next"}
    return [
        (in_states("current", "current"), "holds 2 current keys: exactly one key signs"),
        (in_states("next"), "holds no current key: exactly one key signs"),
        (in_states("previous", "next"), "holds no current key: exactly one key signs"),
        (in_states("current", "next", "next"), "holds 2 next keys: only one can be the next to sign"),
        (
            in_states("current", "retired"),
            "holds key 2 of an unknown state: give it one of next, current, previous",
        ),
        (
            [{**jwk("EC"), "state": None}],
            "holds key 1 of an unknown state: give it one of next, current, previous",
        ),
        (
            [{**jwk("EC"), "state": ["current"]}],
            "holds key 1 of an unknown state: give it one of next, current, previous",
        ),
        (
            [*in_states("current"), jwk("EC2")],
            "holds keys with a state and keys without: give each one of next, current, previous, or none",
        ),
        (
            [in_states("previous")[0], without({**jwk("EC2"), "state": "current"}, "d")],
            "cannot sign with key 2: it has no member d",
        ),
        (
            [in_states("current")[0], without({**jwk("EC2"), "state": "next"}, "d")],
            "cannot sign with key 2: it has no member d",
        ),
        (
            [in_states("current")[0], broken],
            "cannot sign with key 2: d is broken, or belongs to another public key",
        ),
    ]


@pytest.mark.parametrize("members, sentence", bad_states())
def test_states_that_make_no_sense_are_one_sentence(members: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        read_key_set(json.dumps({"keys": members}))


REFRESH_SECRET = key_sets.base64url(b"r" * 32)


def with_refresh_secrets(value: object) -> str:
    return json.dumps({"keys": [jwk("EC")], "refresh_secrets": value})


@pytest.mark.parametrize(
    "value",
    [
        *(None, 5, REFRESH_SECRET, {}, [], [None], [5], [[REFRESH_SECRET]]),
        *([""], [REFRESH_SECRET[:-2]], [key_sets.base64url(b"r" * 31)], [REFRESH_SECRET, "short"]),
        # Other spellings: what one reader skips another one counts.
        *([REFRESH_SECRET + "="], [REFRESH_SECRET + "\n"], [REFRESH_SECRET[:-1] + "J"], [REFRESH_SECRET + "AA"]),
    ],
)
def test_refresh_secrets_that_are_none_are_one_sentence_that_tells_no_secret(value: object) -> None:
    sentence = "holds refresh_secrets that are no list of base64url texts of at least 32 bytes each"
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        read_key_set(with_refresh_secrets(value))


def test_refresh_secrets_are_taken_before_what_is_derived_and_never_published() -> None:
    tokens = tokens_of("EC")
    other = key_sets.base64url(b"s" * 48)
    tokens = dataclasses.replace(tokens, keys=Secret(with_refresh_secrets([REFRESH_SECRET, other])))
    assert key_sets.refresh_secrets(tokens) == [b"r" * 32, b"s" * 48]
    assert load_keys(tokens).published() == load_keys(tokens_of("EC")).published()


def test_a_previous_key_may_be_public() -> None:
    members = [*in_states("current"), without({**jwk("EC2"), "state": "previous"}, "d")]
    assert len(read_key_set(json.dumps({"keys": members})).verification) == 2


def test_a_key_without_a_kid_is_named_by_its_thumbprint_and_one_with_keeps_it() -> None:
    key = jwk("EC")
    assert read_key_set(json.dumps({"keys": [without(key, "kid")]})).signing.kid == key["kid"]
    assert read_key_set(json.dumps({"keys": [{**key, "kid": "mine"}]})).signing.kid == "mine"
    assert read_key_set(json.dumps({"keys": [{**key, "key_ops": ["sign"]}]})).signing.kid == key["kid"]


def test_without_any_key_nothing_is_loaded() -> None:
    """TOK-03: an empty secret would verify what anybody signs."""
    with pytest.raises(ValueError, match="missing"):
        load_keys(Tokens(None, None, ISSUER, "authsvc", 900, 0))


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


def test_a_published_set_without_a_usable_key_is_refused() -> None:
    bad = [member for member, sentence in bad_members() if sentence.startswith("holds")]
    for members in ([], bad):
        with pytest.raises(ValueError, match=r"^holds no key for signatures with ES256 or RS256$"):
            read_published_keys({"keys": members})


def test_a_published_set_with_two_keys_of_one_kid_is_refused() -> None:
    """Which of them counted would be chance."""
    first = without(jwk("EC"), "d")
    for second in (first, {**without(jwk("EC2"), "d"), "kid": first["kid"]}):
        with pytest.raises(ValueError, match=r"^holds two keys with the same kid$"):
            read_published_keys({"keys": [first, second]})
    other_use = {**jwk("EC2"), "kid": first["kid"], "use": "enc"}
    assert list(read_published_keys({"keys": [first, other_use]})) == [first["kid"]]


def test_keys_for_other_purposes_are_stable_and_apart() -> None:
    secrets = [b"r" * 32, b"s" * 48]
    derived = key_sets.derived_keys(secrets, b"form token")
    assert derived == key_sets.derived_keys(secrets, b"form token")
    assert derived[::-1] == key_sets.derived_keys(secrets[::-1], b"form token")
    assert {len(key) for key in derived} == {32}
    assert len({*derived, *key_sets.derived_keys(secrets, b"other"), *secrets}) == 6


def test_refresh_secrets_that_are_derived_are_stable_and_apart() -> None:
    for names in (["HMAC"], ["EC", "RSA"]):
        derived = key_sets.refresh_secrets(tokens_of(*names))
        assert derived == key_sets.refresh_secrets(tokens_of(*names))
        assert len(derived) == len(names)
        assert {len(key) for key in derived} == {32}
    first, second = (key_sets.refresh_secrets(tokens_of(*names)) for names in (["EC", "RSA"], ["RSA", "EC"]))
    assert first == second[::-1]
    assert len(set(first)) == 2
    assert key_sets.refresh_secrets(Tokens(None, None, ISSUER, "authsvc", 900, 0)) == []


def test_a_public_key_gives_no_secret() -> None:
    keys = Secret(json.dumps({"keys": [jwk("EC"), without(jwk("EC2"), "d")]}))
    assert len(key_sets.refresh_secrets(Tokens(None, keys, ISSUER, "authsvc", 900, 0))) == 1


def test_secrets_are_made_with_the_current_key_and_known_with_every_other() -> None:
    """An instance that is a rotation ahead makes its own with our next key."""

    def derived(*states: str) -> list[bytes]:
        keys = Secret(json.dumps({"keys": in_states(*states)}))
        return key_sets.refresh_secrets(Tokens(None, keys, ISSUER, "authsvc", 900, 0))

    first, second, third = derived("current", "next", "previous")
    assert derived("previous", "current", "next") == [second, first, third]
    assert derived("next", "previous", "current") == [third, first, second]


def test_the_pure_python_backends_are_refused() -> None:
    with pytest.raises(ImportError, match=r"install python-jose\[cryptography\]"):
        key_sets.require_cryptography_backend(Key)
