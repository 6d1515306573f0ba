"""What counts as a password."""

import unicodedata

import pytest

from authsvc import resources
from authsvc.password_policy import InvalidPasswordError, Password, PasswordPolicy

COMMON = resources.common_passwords()
POLICY = PasswordPolicy(min_length=8, max_length=256, common=COMMON)
STRICT = PasswordPolicy(min_length=15, max_length=256, common=COMMON)


def code_of(policy: PasswordPolicy, text: str) -> str:
    with pytest.raises(InvalidPasswordError) as caught:
        policy.read_new(text)
    assert str(caught.value) == caught.value.message
    return caught.value.code


@pytest.mark.parametrize(
    "text",
    [
        "qwmzkxpt",
        "🦉🐢🦊🐙🦔🐝🦕🐳",
        "correct horse",
        " leading and trailing ",
        "\tqwmzkxpt\n",
        "q" * 64 + "z" * 192,
        "qwmzkxptqwmzkxp",
        "804917263549182",
        "correctpassword horse",
        "aaaaaaa\u0000bbbbbbbb",
        "パスワードは長い方がいい",
    ],
)
def test_these_are_accepted_as_they_are(text: str) -> None:
    """REG-08, REG-09, REG-11, REG-12, REG-17, REG-18."""
    password = POLICY.read_new(text)
    assert password.raw == text
    assert password.normalized == text


@pytest.mark.parametrize(
    "policy, text",
    [
        (POLICY, ""),
        (POLICY, "qwmzkxp"),
        (POLICY, "🦉🐢🦊🐙🦔🐝🦕"),
        (POLICY, "e\u0301" * 7),
        (STRICT, "qwmzkxptqwmzkx"),
        (STRICT, "🦉" * 8),
    ],
)
def test_length_is_counted_in_code_points(policy: PasswordPolicy, text: str) -> None:
    """REG-07, REG-08: neither UTF-8 bytes nor UTF-16 units nor the two halves of an NFD letter count."""
    assert code_of(policy, text) == "password_too_short"


def test_fifteen_emoji_are_fifteen_characters() -> None:
    """REG-08."""
    assert len(STRICT.read_new("🦉🐢🦊🐙🦔🐝🦕🐳🦉🐢🦊🐙🦔🐝🦕").normalized) == 15


@pytest.mark.parametrize("length", [257, 1_000_000])
def test_a_longer_one_is_refused_at_login_too(length: int) -> None:
    """REG-10, LGN-03."""
    assert code_of(POLICY, "x" * length) == "password_too_long"
    with pytest.raises(InvalidPasswordError, match="at most 256"):
        POLICY.read("x" * length)


def test_the_length_is_bounded_before_anything_is_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """REG-10: 257 code points that NFC would make 129 are too many, and NFC never sees them."""

    class Untouchable:
        @staticmethod
        def normalize(_form: str, _text: str) -> str:
            raise AssertionError("normalised")

    monkeypatch.setattr("authsvc.password_policy.unicodedata", Untouchable)
    assert code_of(POLICY, "e\u0301" * 128 + "e") == "password_too_long"


def test_nfc_and_nfd_spellings_are_one_password() -> None:
    """REG-14."""
    composed, decomposed = POLICY.read("caf\u00e9 au lait"), POLICY.read("cafe\u0301 au lait")
    assert composed.normalized == decomposed.normalized
    assert composed.raw != decomposed.raw


def test_compatibility_letters_stay_apart() -> None:
    assert POLICY.read("ﬁona ﬁona").normalized != POLICY.read("fiona fiona").normalized


@pytest.mark.parametrize("text", ["\ud800" + "x" * 8, "x" * 8 + "\udcff"])
def test_a_lone_surrogate_is_no_text(text: str) -> None:
    """REG-13: no hash can be made of it."""
    assert code_of(POLICY, text) == "password_not_unicode"


@pytest.mark.parametrize(
    "text",
    ["password", "PassWord", "12345678", "1qaz2wsx", "password1", "iloveyou1", "        ", "\t \u3000\u2003\u00a0\n  "],
)
def test_common_ones_are_refused_in_any_case(text: str) -> None:
    """REG-11, REG-15."""
    assert code_of(POLICY, text) == "password_common"


@pytest.mark.parametrize("text", ["ada.l@example.com", "Ada.L@Example.Com", "ada.l", "ADA.L"])
def test_the_address_itself_is_no_password(text: str) -> None:
    """REG-16."""
    with pytest.raises(InvalidPasswordError) as caught:
        POLICY.refuse_address(POLICY.read(text), "ada.l@example.com")
    assert caught.value.code == "password_is_email"


@pytest.mark.parametrize("text", ["ada.l@example.com!", "ada.l@example.org", "example.com", ""])
def test_what_only_resembles_the_address_is_left_alone(text: str) -> None:
    POLICY.refuse_address(POLICY.read(text), "ada.l@example.com")


def test_neither_a_password_nor_the_policy_shows_what_it_holds() -> None:
    assert repr(Password("hunter22", "hunter22")) == str(Password("hunter22", "hunter22")) == "Password(***)"
    assert "password1" not in repr(POLICY)


def test_the_shipped_list_has_ten_thousand_entries_that_can_be_met() -> None:
    """REG-15: each is long enough to be refused by the list, and in the form that it is compared in."""
    assert len(COMMON) >= 10_000
    for entry in COMMON:
        assert 8 <= len(entry) <= 256
        assert entry == unicodedata.normalize("NFC", entry).lower()
        assert entry.strip() == entry
