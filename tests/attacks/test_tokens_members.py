"""What a token says under a good signature: each member of its header, each claim."""

import json
from uuid import UUID

import pytest

from authsvc.signing import AccessTokenReader, InvalidAccessTokenError
from tests.attacks.tokens import GOOD, ISSUER, MISSING, NOW, forge, header, payload, raw, refuse
from tests.conftest import FrozenClock


@pytest.mark.parametrize("name", ["alg", "kid", "typ"])
def test_a_header_that_names_a_member_twice(reader: AccessTokenReader, name: str) -> None:
    """TOK-14 (RFC 7515 §4)."""
    twice = raw(header(), f'"{name}":{json.dumps(header()[name])}')
    assert refuse(reader, forge(twice, payload())) == "not_json"
    escaped = raw(header(), f'"\\u{ord(name[0]):04x}{name[1:]}":"x"')
    assert refuse(reader, forge(escaped, payload())) == "not_json"


@pytest.mark.parametrize("name", ["sub", "exp", "jti", "sid", "iss", "aud", "iat"])
def test_a_payload_that_names_a_claim_twice(reader: AccessTokenReader, name: str) -> None:
    """TOK-14 (RFC 7515 §4): also inside of another claim."""
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
    """TOK-16 (RFC 9068 §4, ASVS 9.2.2)."""
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
    """TOK-16, TOK-17 (ASVS 9.2.2)."""
    assert refuse(reader, forge(header(typ=type_), payload())) == "wrong_type"


NO_TIMES = [MISSING, None, str(NOW + 900), " 9_999_999_999 ", "٩٩٩٩٩٩٩٩٩٩", True, [], {}, NOW + 900.0, NOW + 0.5]


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", NO_TIMES)
def test_a_time_that_is_no_whole_number(reader: AccessTokenReader, name: str, value: object) -> None:
    """TOK-18 (ASVS 15.3.5)."""
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
    """TOK-18 (RFC 8259 §6)."""
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
    """TOK-18 (CWE-613): whoever signed it, ours live for a day at most."""
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
    """DEP-15 (ASVS 9.2.1)."""
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
    """TOK-21, TOK-22 (RFC 9068 §4, ASVS 9.2.3)."""
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
    """TOK-23 (CWE-1286)."""
    reader.read(forge(header(), payload(**{name: ID})))
    assert refuse(reader, forge(header(), payload(**{name: value}))) == "wrong_claim"
