"""Wycheproof's signatures and keys against our readers (tests/vectors/wycheproof/README.md)."""

import base64
import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jose import jwk  # noqa: TID251 - secrets that are no text can be no setting of ours; their keys are built as ours

from authsvc.config import Config, ConfigError
from authsvc.key_sets import VerificationKey, load_keys, read_key_set, read_published_keys
from authsvc.signing import AccessTokenReader, InvalidAccessTokenError
from tests.conftest import FrozenClock

FOLDER = Path(__file__).parent / "vectors" / "wycheproof"

REFUSED = {
    "is neither ES256 (P-256) nor RS256, or not for signatures": (
        *("signature 4 rs384", "signature 5 rs512"),
        *("signature 6 ps256", "signature 7 ps384", "signature 8 ps512"),
        *("signature 10 rfc7520", "signature 14 rfc7520WithKeyOps"),  # PS256
        *("signature 11 rfc7520", "signature 15 rfc7520WithKeyOps"),  # P-521
        *("signature 17 rsa_encryption", "signature 18 ec_key_for_encryption"),  # use
        *("signature 19 rsa_encryption", "signature 20 ec_key_for_encryption"),  # key_ops
        *("key 4 rs256", "key 19 invalid_use"),
        *("key 0 jws_mixedSymmetryKeyset", "key 1 jws_keyset", "key 2 jws_duplicate_kid"),  # secrets
        *("key 9 HS384", "key 12 HS384", "key 15 HS384", "key 10 HS512", "key 13 HS512", "key 16 HS512"),
        *("key 17 wrong_algorithm", "key 18 invalid_algorithm", "key 22 wrong_kty"),
        *("key 23 invalid_aes_gcm_key", "key 24 invalid_aes_kw_key"),
    ),
    "that cannot be used": ("key 7 exponentOne", "key 20 invalid_point", "key 21 wrong_curve"),
    "of fewer than 2048 bits": ("key 6 keysize_too_small",),
    "whose primes can be guessed (CVE-2017-15361)": ("key 5 jws_rsa_roca_key",),
}
REFUSED_SETS = {name: sentence for sentence, names in REFUSED.items() for name in names}
"""The keys of these groups must not be used, by the sentence that says why."""

MIXED = "key 0 jws_mixedSymmetryKeyset"
SHORT_SECRETS = {"key 8 HS256", "key 14 HS256"}

DIFFERENT = {
    "signature": {
        259: "an empty payload: a token of ours has claims",
        367: "the very text of 357, which is valid: its padding was lost in the file",
        370: "the very text of 357, which is valid: its padding was lost in the file",
        372: "valid in the file; a question mark is not in the alphabet of base64url (RFC 7515 §2)",
        373: "valid in the file; a question mark is not in the alphabet of base64url (RFC 7515 §2)",
    },
    "key": {},
}
"""Where our answer is not the file's although the key is good: by number, and why."""


@dataclass(frozen=True)
class Group:
    """Signatures by one key or by the keys of one set."""

    file: str
    name: str
    members: list[dict[str, Any]]
    vectors: list[dict[str, Any]]


def read_groups(file: str) -> Iterator[Group]:
    document = json.loads((FOLDER / f"json_web_{file}_test.json").read_text("utf-8"))
    for number, group in enumerate(document["testGroups"]):
        keys = group.get("public", group["private"])
        yield Group(file, f"{file} {number} {group['comment']}", keys.get("keys", [keys]), group["tests"])


GROUPS = [*read_groups("signature"), *read_groups("key")]
each_group = pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def configured(secret: str) -> Config:
    return Config.read({"AUTHSVC_JWT_SECRET": secret, "AUTHSVC_DATABASE_URL": "postgresql://127.0.0.1:5432/authsvc"})


def shared_key(secret: bytes, kid: str) -> VerificationKey:
    """Return the key of a shared secret, as it is configured, under another kid than ours."""
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        return VerificationKey(kid, "HS256", jwk.construct(secret, "HS256"), None)
    (key,) = load_keys(configured(text).tokens).verification.values()
    return dataclasses.replace(key, kid=kid)


def keys_of(group: Group) -> Mapping[str, VerificationKey]:
    """Return the keys that our readers take from a group: of a published set, or a secret that stands alone."""
    if [member.get("alg") for member in group.members] == ["HS256"] and group.name not in SHORT_SECRETS:
        (member,) = group.members
        return {member["kid"]: shared_key(decode(member["k"]), member["kid"])}
    return published(group)


def published(group: Group) -> Mapping[str, VerificationKey]:
    """Return the keys of a set that somebody publishes, which is refused where it has none that we can use."""
    if group.name in (REFUSED_SETS.keys() | SHORT_SECRETS) - {MIXED}:
        with pytest.raises(ValueError, match=r"^holds no key for signatures"):
            read_published_keys({"keys": group.members})
        return {}
    return read_published_keys({"keys": group.members})


def under_the_kid_of(token: str, keys: Mapping[str, VerificationKey]) -> Mapping[str, VerificationKey]:
    """Return `keys`, where there is one, under the kid that the token names too: no kid is what refuses it."""
    try:
        kid = json.loads(decode(token.partition(".")[0]))["kid"]
    except (ValueError, KeyError):
        return keys
    return {kid: next(iter(keys.values())), **keys} if len(keys) == 1 else keys


class SignatureReader(AccessTokenReader):
    """Reads what is no access token: all of the reader but the gate of `typ`, which no vector has."""

    def _check_type(self, header: dict[str, object]) -> None:
        assert "typ" not in header


def reader(kind: type[AccessTokenReader], keys: Mapping[str, VerificationKey]) -> AccessTokenReader:
    return kind(keys, issuer="https://auth.example.com", audience="authsvc", clock=FrozenClock())


def has_good_signature(token: str, keys: Mapping[str, VerificationKey]) -> bool:
    try:
        payload = reader(SignatureReader, keys)._signed_payload(token)
    except InvalidAccessTokenError:
        return False
    assert payload == decode(token.split(".")[1])
    return True


@each_group
def test_a_signature_is_good_where_wycheproof_says_so_and_nowhere_else(group: Group) -> None:
    keys = keys_of(group)
    different = set()
    for vector in group.vectors:
        good = has_good_signature(vector["jws"], under_the_kid_of(vector["jws"], keys))
        if good != (vector["result"] == "valid"):
            different.add(vector["tcId"])
    if group.name in REFUSED_SETS:
        assert different == {vector["tcId"] for vector in group.vectors if vector["result"] == "valid"}
    else:
        assert different == {vector["tcId"] for vector in group.vectors} & DIFFERENT[group.file].keys()


@each_group
def test_no_vector_is_an_access_token(group: Group) -> None:
    """All of the reader, with its one exception."""
    keys = keys_of(group)
    for vector in group.vectors:
        with pytest.raises(InvalidAccessTokenError):
            reader(AccessTokenReader, under_the_kid_of(vector["jws"], keys)).read(vector["jws"])


@pytest.mark.parametrize("group", [group for group in GROUPS if group.name in REFUSED_SETS], ids=lambda each: each.name)
def test_a_key_that_must_not_be_used_is_refused_where_it_is_read(group: Group) -> None:
    with pytest.raises(ValueError, match=r"^holds ") as caught:
        read_key_set(json.dumps({"keys": group.members}))
    assert REFUSED_SETS[group.name] in str(caught.value)
    # Of a set that somebody publishes the usable keys are taken: here the elliptic one of the mixed set.
    assert published(group).keys() == ({"kid-ec-sign"} if group.name == MIXED else set())


@pytest.mark.parametrize("name", sorted(SHORT_SECRETS))
def test_a_secret_shorter_than_its_hash_is_refused(name: str) -> None:
    (member,) = next(group.members for group in GROUPS if group.name == name)
    with pytest.raises(ConfigError):
        configured(decode(member["k"]).decode())


def test_every_group_is_tried_and_every_difference_is_one_of_a_vector() -> None:
    names = [group.name for group in GROUPS]
    assert (len(names), sum(len(group.vectors) for group in GROUPS)) == (23 + 25, 401 + 26)
    assert set(names) >= REFUSED_SETS.keys() | SHORT_SECRETS
    # What must be usable is: else nothing above would have been verified.
    assert all(keys_of(group) for group in GROUPS if group.name not in REFUSED_SETS.keys() | SHORT_SECRETS)
    texts = {vector["tcId"]: vector["jws"] for group in GROUPS if group.file == "signature" for vector in group.vectors}
    assert DIFFERENT["signature"].keys() <= texts.keys()
    assert texts[357] == texts[367] == texts[370]
