"""What counts as a password."""

import pytest

from authsvc import resources
from authsvc.password_policy import (
    CommonPasswords,
    InvalidPasswordError,
    Password,
    PasswordPolicy,
    digest,
    service_names,
)

COMMON = CommonPasswords(resources.common_passwords())
NAMES = service_names("login.shop.example.com")
POLICY = PasswordPolicy(min_length=8, max_length=256, common=COMMON, names=NAMES)
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
    """REG-08, REG-09, REG-11, REG-12, REG-17, REG-18 (ASVS 6.2.5, 6.2.9)."""
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
    """REG-07, REG-08 (ASVS 6.2.1): neither UTF-8 bytes nor UTF-16 units nor the two halves of an NFD letter count."""
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
    """REG-11, REG-15 (ASVS 6.2.8, 6.2.4)."""
    assert code_of(POLICY, text) == "password_common"


@pytest.mark.parametrize(
    "text",
    [
        "ada.l@example.com",
        "Ada.L@Example.Com",
        "ada.l",
        "ADA.L",
        "ada.lada.l",
        "ada.lADA.Lada.l",
        "ada.l1987",
        "Ada.L-2026!",
        "ada.lada.l2026",
        "ada.l@example.com2026",
    ],
)
def test_the_address_itself_is_no_password(text: str) -> None:
    """REG-16 (ASVS 2.1.2, 2.2.3)."""
    with pytest.raises(InvalidPasswordError) as caught:
        POLICY.refuse_address(POLICY.read(text), "ada.l@example.com")
    assert caught.value.code == "password_is_email"


@pytest.mark.parametrize(
    "text",
    [
        "ada.l@example.com!",
        "ada.l@example.org",
        "example.com",
        "ada.l837261",
        "ada.l--2026",
        "my ada.l",
        "ada.lada",
        "2026",
        "",
    ],
)
def test_what_only_resembles_the_address_is_left_alone(text: str) -> None:
    POLICY.refuse_address(POLICY.read(text), "ada.l@example.com")


def test_neither_a_password_nor_the_policy_shows_what_it_holds() -> None:
    assert repr(Password("hunter22", "hunter22")) == str(Password("hunter22", "hunter22")) == "Password(***)"
    assert "password1" not in repr(POLICY)
    assert repr(digest("password1")) not in repr(POLICY)


@pytest.mark.parametrize(
    "text",
    [
        "authsvcauthsvc",
        "AuthSvc2026",
        "authsvc-2026!",
        "login.shop.example.com",
        "Example.Com",
        "shop.example.com1999",
        "ShopShopShop",
        "example2026",
        "loginlogin2026",
    ],
)
def test_the_name_of_the_service_is_no_password(text: str) -> None:
    """REG-16; NIST SP 800-63B-4 §3.1.1.2: it is said why."""
    assert code_of(POLICY, text) == "password_is_service"
    with pytest.raises(InvalidPasswordError, match="name of this service"):
        POLICY.read_new(text)
    POLICY.read(text)


@pytest.mark.parametrize("text", ["authsvc and more", "my example.com", "comcomcom", "example20260", "wwwwww www"])
def test_what_only_holds_the_name_is_left_alone(text: str) -> None:
    """REG-17."""
    POLICY.read_new(text)


@pytest.mark.parametrize(
    "host, names",
    [
        ("localhost", {"localhost"}),
        ("127.0.0.1", {"127.0.0.1", "0.0.1", "0.1"}),
        ("::1", {"::1"}),
        ("www.Example.org", {"www.example.org", "example.org", "example"}),
    ],
)
def test_a_service_is_called_by_its_host_and_by_its_own_name(host: str, names: set[str]) -> None:
    assert service_names(host) == {"authsvc", *names}


def test_the_shipped_list_holds_more_than_two_hundred_thousand() -> None:
    """REG-15 (ASVS 6.2.4): whole, sorted, each once."""
    data = resources.common_passwords()
    digests = [data[place : place + 6] for place in range(0, len(data), 6)]
    assert len(COMMON) == len(digests) > 200_000
    assert digests == sorted(set(digests))


@pytest.mark.parametrize(
    "text",
    [
        "passwordpassword",
        "1qaz2wsx3edc4rfv",
        "qwertyuiop",
        "sunshine1",
        "trustno1",
        "1q2w3e4r5t",
        "letmein1",
        "football",
    ],
)
def test_the_shipped_list_holds_what_everybody_tries(text: str) -> None:
    """REG-15 (ASVS 6.2.4)."""
    assert text in COMMON


def test_the_list_takes_no_password_for_another() -> None:
    """One in 1,400 million would be taken for one."""
    assert not [text for number in range(20_000) if (text := f"{number} of a kind") in COMMON]


def test_first_last_and_all_between_are_found_and_nothing_else() -> None:
    texts = [f"password number {number}" for number in range(100)]
    common = CommonPasswords(b"".join(sorted(map(digest, texts[::2]))))
    assert len(common) == 50
    assert [text in common for text in texts] == [True, False] * 50
    assert "anything" not in CommonPasswords(b"")
