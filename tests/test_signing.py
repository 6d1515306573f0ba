"""Tokens are issued and read, and what was read is remembered within bounds."""

import base64
import dataclasses
import json
import tracemalloc
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from jose.backends.base import Key  # noqa: TID251 - one is stood in for

from authsvc import signing
from authsvc.entropy import SystemEntropy
from authsvc.key_sets import KeySet, load_keys, read_published_keys
from authsvc.signing import AccessTokenIssuer, AccessTokenReader, Identity, InvalidAccessTokenError
from tests.conftest import FrozenClock
from tests.keys import ISSUER, jwk, tokens_of

SUBJECT, SESSION = UUID(int=1), UUID(int=2)
ENTROPY = SystemEntropy()


class WholeLife(SystemEntropy):
    """Takes nothing off the life of a token."""

    def token_bytes(self, size: int) -> bytes:
        return bytes(size)


def issuer_of(keys: KeySet, clock: FrozenClock) -> AccessTokenIssuer:
    return AccessTokenIssuer(keys.signing, ISSUER, "authsvc", 900, clock, WholeLife())


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
    claims = Identity(ISSUER, str(SUBJECT), "authsvc", str(SESSION), payload["jti"], now, now, now + 900)
    assert reader_of(keys, clock).read(token.text) == claims
    assert token.expires_in == 900
    assert token.text not in repr(token)


@pytest.mark.parametrize("name, backend", [("EC", "CryptographyECKey"), ("RSA", "CryptographyRSAKey")])
def test_a_key_is_built_once_and_not_for_each_token(
    clock: FrozenClock, monkeypatch: pytest.MonkeyPatch, name: str, backend: str
) -> None:
    """DOS-12 (CWE-405): to build an RSA key takes longer than to sign with it a dozen times."""
    keys = load_keys(tokens_of(name))
    monkeypatch.setattr(f"jose.backends.cryptography_backend.{backend}.__init__", lambda *_given: pytest.fail("built"))
    texts = [issuer_of(keys, clock).issue(SUBJECT, SESSION).text for _ in range(2)]
    assert [reader_of(keys, clock).read(text).subject for text in texts] == [SUBJECT] * 2


def test_the_lives_of_tokens_differ_by_up_to_a_twentieth_and_end_with_the_session(clock: FrozenClock) -> None:
    issuer = AccessTokenIssuer(load_keys(tokens_of("EC")).signing, ISSUER, "authsvc", 900, clock, SystemEntropy())
    lives = [issuer.issue(SUBJECT, SESSION).expires_in for _ in range(300)]
    assert 855 < min(lives) < 870
    assert 885 < max(lives) <= 900
    soon = issuer.issue(SUBJECT, SESSION, not_after=clock.now() + timedelta(seconds=10.5))
    assert soon.expires_in == part(soon.text, 1)["exp"] - part(soon.text, 1)["iat"] == 10


def test_each_token_has_an_id_of_its_own(clock: FrozenClock) -> None:
    issuer = issuer_of(load_keys(tokens_of("EC")), clock)
    assert len({part(issuer.issue(SUBJECT, SESSION).text, 1)["jti"] for _ in range(20)}) == 20


@pytest.mark.parametrize("names", [["EC", "RSA"], ["RSA", "EC"], ["EC2", "EC", "RSA"]])
def test_a_mixed_set_signs_with_its_first_key_and_verifies_with_each(clock: FrozenClock, names: list[str]) -> None:
    """DEP-11, DEP-12 (RFC 7517): the library alone fails on these, by their order."""
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


def test_what_is_published_verifies_elsewhere(clock: FrozenClock) -> None:
    keys = load_keys(tokens_of("EC", "RSA"))
    verification = read_published_keys(json.loads(json.dumps(keys.published())))
    assert verification.keys() == keys.verification.keys()
    reader = AccessTokenReader(verification, issuer=ISSUER, audience="authsvc", clock=clock)
    assert reader.read(issuer_of(keys, clock).issue(SUBJECT, SESSION).text).session_id == SESSION


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
    """TOK-19, DEP-15 (ASVS 9.2.1): and a clock that was set back is looked at too."""
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
    """DOS-14 (ASVS 14.2.2)."""
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


def test_lookups_are_counted_and_a_refused_token_is_a_miss(clock: FrozenClock) -> None:
    keys = load_keys(tokens_of("EC"))
    reader, token = reader_of(keys, clock), issuer_of(keys, clock).issue(SUBJECT, SESSION).text
    assert (reader.lookups(), reader.remembered_bytes()) == ({"hit": 0, "miss": 0}, 0)
    for _ in range(3):
        reader.read(token)
    with pytest.raises(InvalidAccessTokenError):
        reader.read("no token")
    assert (reader.lookups(), reader.remembered_bytes()) == ({"hit": 2, "miss": 2}, signing._entry_bytes(token))


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
