"""How a token is written: one spelling, three parts, JSON objects, a bounded length; and mutants of a good one."""

import json
import random  # noqa: TID251 - mutants must be the same in every run
import string
from typing import Any
from uuid import UUID

import pytest

from authsvc.signing import AccessTokenReader, InvalidAccessTokenError
from tests.attacks.tokens import (
    GOOD,
    GOOD_HEADER,
    GOOD_PAYLOAD,
    GOOD_SIGNATURE,
    MISSING,
    REASONS,
    b64,
    es256,
    forge,
    header,
    payload,
    refuse,
    rs256,
    rsa_jwk,
)

MUTANTS = 20_000
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
    """TOK-09, TOK-24 (RFC 7515 §2): what ended ends for every spelling, where there is one.

    At each end and in the middle of each part, also while the true spelling is in memory.
    """
    middle = len(GOOD) - 40
    places = (0, 5, len(GOOD_HEADER), len(GOOD_HEADER) + 1, len(GOOD_HEADER) + 5, middle, len(GOOD) - 1, len(GOOD))
    for place in places:
        refuse(reader, GOOD[:place] + junk + GOOD[place:])


def test_spare_bits_and_the_other_alphabet_are_no_spelling(reader: AccessTokenReader) -> None:
    """TOK-09 (RFC 4648 §3.5, §5): 15 last characters more would decode to the same signature."""
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
    """TOK-10 (RFC 7515 §7.1)."""
    refuse(reader, token)


def test_a_fourth_part_that_was_signed_over(reader: AccessTokenReader) -> None:
    """TOK-10 (RFC 7515 §7.1)."""
    message = f"{GOOD_HEADER}.{GOOD_PAYLOAD}.{GOOD_PAYLOAD}"
    assert refuse(reader, f"{message}.{b64(es256(message.encode()))}") == "not_a_jws"


@pytest.mark.parametrize("text", ["\udcff", "a.b.c\udcff"])
def test_bytes_beyond_ascii_in_the_header(reader: AccessTokenReader, text: str) -> None:
    """TOK-11 (CWE-248): the library alone answers with UnicodeEncodeError."""
    for token in (text, GOOD + text, text + GOOD, GOOD.replace(".", text)):
        assert refuse(reader, token) == "not_a_jws"


def test_a_token_of_4096_characters_is_read_and_a_longer_one_is_not(reader: AccessTokenReader) -> None:
    """TOK-13 (CWE-770)."""
    lengths = {len(token): token for n in range(2500, 2800) for token in [forge(header(), payload(pad="x" * n))]}
    longest = max(length for length in lengths if length <= 4096)
    shortest = min(length for length in lengths if length > 4096)
    assert longest > 4090
    assert reader.read(lengths[longest]).subject == UUID(int=1)
    for token in (lengths[shortest], GOOD * 20, "x" * 8000, "." * 1_000_000):
        assert refuse(reader, token) == "too_long"


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
    """TOK-10, TOK-18 (RFC 7519 §7.2, CWE-674): by deep nesting the library alone ends in a RecursionError."""
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
    """TOK-29 (CWE-347, CWE-248): none is accepted, and none brings up another exception."""
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
    """TOK-29 (CWE-1287, CWE-248): what a broken signer of ours may sign."""
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
