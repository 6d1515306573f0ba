"""Refresh tokens as texts: what is one of ours, and what is not."""

import base64
import hmac
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsvc.refresh_tokens import MAX_COUNTER, InvalidRefreshTokenError, RefreshToken, RefreshTokens

KEY, OLDER_KEY, ALIEN_KEY = b"a" * 32, b"b" * 32, b"c" * 32
TOKENS = RefreshTokens([KEY, OLDER_KEY])
SESSION_ID = UUID("1c9a6f0e-7a54-4c3b-9a55-0f5a3a0d9e11")
TOKEN = RefreshToken(SESSION_ID, 7)
TEXT = TOKENS.make(TOKEN)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
COUNTERS = st.integers(0, MAX_COUNTER)


def written(body: bytes, key: bytes = KEY) -> str:
    """Return a token with a good MAC, whatever it says."""
    return base64.urlsafe_b64encode(body + hmac.digest(key, body, "sha256")[:16]).decode()


@given(st.uuids(), COUNTERS)
def test_what_is_made_is_read(session_id: UUID, counter: int) -> None:
    token = RefreshToken(session_id, counter)
    text = TOKENS.make(token)
    assert len(text) == 52
    assert TOKENS.read(text) == token


def test_a_token_is_written_as_documented() -> None:
    assert written(b"\x01" + SESSION_ID.bytes + (7).to_bytes(6, "big")) == TEXT


@given(st.uuids(), COUNTERS, st.uuids(), COUNTERS)
def test_two_that_say_something_else_are_never_one_text(one: UUID, first: int, other: UUID, second: int) -> None:
    differ = (one, first) != (other, second)
    assert differ == (TOKENS.make(RefreshToken(one, first)) != TOKENS.make(RefreshToken(other, second)))


@given(st.integers(0, len(TEXT) - 1), st.sampled_from(ALPHABET))
def test_one_character_changed_is_no_token(position: int, character: str) -> None:
    """REF-12: each of the 52 characters counts, down to its last bit: a token has one spelling."""
    mutant = TEXT[:position] + character + TEXT[position + 1 :]
    if mutant == TEXT:
        assert TOKENS.read(mutant) == TOKEN
    else:
        with pytest.raises(InvalidRefreshTokenError):
            TOKENS.read(mutant)


@given(st.text(max_size=80) | st.text(ALPHABET, min_size=52, max_size=52) | st.binary(max_size=60).map(repr))
def test_any_other_text_is_no_token(text: str) -> None:
    """REF-12"""
    with pytest.raises(InvalidRefreshTokenError):
        TOKENS.read(text)


OTHER_SPELLINGS = {
    "empty": "",
    "one character less": TEXT[:-1],
    "one character more": TEXT + "A",
    "padded": TEXT + "=",
    "a line end behind it": TEXT + "\n",
    "a space before it": " " + TEXT,
    "NUL": TEXT[:-1] + "\x00",
    "a surrogate": TEXT[:-1] + "\udc80",
    "digits of another script": "".join(chr(ord(each) + 0x660 - 0x30) if each.isdigit() else each for each in TEXT),
    "base64 with + and /": "+/" + TEXT[2:],
    "1 MB": "A" * 1_000_000,
    "an access token": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.AAAA",
}


@pytest.mark.parametrize("text", OTHER_SPELLINGS.values(), ids=OTHER_SPELLINGS.keys())
def test_another_spelling_is_no_token(text: str) -> None:
    """REF-12"""
    with pytest.raises(InvalidRefreshTokenError):
        TOKENS.read(text)


BODY = b"\x01" + SESSION_ID.bytes + (7).to_bytes(6, "big")
FORGED = {
    "by another key": written(BODY, ALIEN_KEY),
    "without a key": written(BODY, b""),
    "its MAC all zero": base64.urlsafe_b64encode(BODY + bytes(16)).decode(),
    "the MAC of another token": base64.urlsafe_b64encode(
        BODY + base64.urlsafe_b64decode(TOKENS.make(RefreshToken(SESSION_ID, 8)))[-16:]
    ).decode(),
    "a version that is none yet": written(b"\x02" + BODY[1:]),
    "version 0": written(b"\x00" + BODY[1:]),
}


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED.keys())
def test_a_forged_token_is_no_token(text: str) -> None:
    with pytest.raises(InvalidRefreshTokenError):
        TOKENS.read(text)


def test_the_first_key_makes_tokens_and_all_read_them() -> None:
    """A key is exchanged in two steps: first read by it, then make by it; nobody is logged out."""
    before, between, after = RefreshTokens([OLDER_KEY]), RefreshTokens([KEY, OLDER_KEY]), RefreshTokens([KEY])
    assert between.read(before.make(TOKEN)) == TOKEN
    assert after.read(between.make(TOKEN)) == TOKEN
    with pytest.raises(InvalidRefreshTokenError):
        after.read(before.make(TOKEN))


@pytest.mark.parametrize("counter", [-1, MAX_COUNTER + 1])
def test_a_counter_that_does_not_fit_is_never_cut_to_one_that_does(counter: int) -> None:
    with pytest.raises(OverflowError):
        TOKENS.make(RefreshToken(SESSION_ID, counter))


def test_no_key_is_shown() -> None:
    assert repr(TOKENS) == "RefreshTokens()"
