"""Our parsers of what people and operators give, given texts that are nearly right, or not at all.

Each answers, or refuses by name.
"""

import json
import string
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import strategies as st
from multidict import CIMultiDict

from authsvc import emails, environment, import_files, key_sets, strict_json
from authsvc.config import Config, ConfigError
from authsvc.entropy import SystemEntropy
from authsvc.refresh_tokens import InvalidRefreshTokenError, RefreshToken, RefreshTokens
from authsvc.refusals import InvalidRequest, StaleForm
from authsvc.signing import AccessTokenReader, InvalidAccessTokenError
from authsvc.web import redirects, user_agents
from authsvc.web.cookies import Cookie
from authsvc.web.form_tokens import FIELD, FormTokens
from authsvc.web.guard import bearer_token
from tests.attacks.tokens import GOOD, ISSUER, REASONS, both, ec_jwk
from tests.conftest import FrozenClock
from tests.fuzz.conftest import HEADER, TEXT, Fuzz, mutants


def json_texts() -> st.SearchStrategy[str]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
    values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8)
    whole = values.map(json.dumps)
    return whole | whole.flatmap(lambda text: mutants(text, '{}[]",:0e-.tfn\\u\ud800')) | TEXT


ACCEPTED = [
    "[]", "{}", "0", "-0", "1e2", "1E+2", "1.5e-3", '""', '"\\u0000"', '"\\ud834\\udd1e"', '"\\/\\b\\f\\n\\r\\t"',
    "true", ' [ 1 , "a" ] ', "\n{\t}\r", '{"":0}', '{"a":{"b":[]}}', '"\u2028"', '"\x7f"', '"\\uD800"',
    "[[[[[[[[]]]]]]]]",
]  # fmt: skip
REFUSED = [
    "", " ", "[", "]", "{", "[1,]", "[,1]", "[1 2]", '{"a":1,}', "{,}", '{"a"}', '{"a" 1}', "{a:1}", "{'a':1}",
    '{"a":1 "b":2}', "[1]]", "[]{}", "01", "-01", "+1", ".5", "5.", "1e", "1e+", "0x1", "1_000", "--1", "- 1",
    "1.e1", "Infinity", "-Infinity", "NaN", "nan", "1e999", "-1e999", "True", "None", "nul", "truth", '"', '"a',
    "'a'", '"\\x41"', '"\\u12"', '"\\u123g"', '"\n"', '"\t"', '"\0"', "\ufeff[]", "[\u00a01]", "\x0c[]", "[1]//",
    "/*a*/[]", "[1]#", "[", "[" * 100_000, '{"a":' * 50_000, '{"a":1,"a":2}', '{"a":1,"\\u0061":2}', "\u0661",
    "1\u0660", "9" * 5000, "[" + "1," * 3 + "]", "*", "<null>", "\ud800",
]  # fmt: skip


def test_json_is_what_rfc_8259_says_and_a_little_less() -> None:
    """HTTP-09 (RFC 8259), in the shapes of nst/JSONTestSuite."""
    assert [text for text in ACCEPTED if strict_json.loads(text) != json.loads(text)] == []
    assert [text[:80] for text in REFUSED if not refuses_json(text)] == []


def refuses_json(text: str) -> bool:
    try:
        strict_json.loads(text)
    except ValueError:
        return True
    return False


def test_json_is_read_or_refused(fuzz: Fuzz) -> None:
    """HTTP-09, DOS-13."""

    def claim(text: str) -> None:
        try:
            value = strict_json.loads(text)
        except ValueError:
            return
        assert json.loads(json.dumps(value)) == value

    fuzz(json_texts(), claim)


def test_addresses_are_canonical_or_refused(fuzz: Fuzz) -> None:
    """EML-01 to EML-16, DOS-07."""

    def claim(text: str) -> None:
        try:
            canonical = emails.parse(text)
        except emails.InvalidEmailError:
            return
        assert canonical.isascii()
        assert canonical == canonical.lower() == emails.parse(canonical)

    fuzz(
        mutants("mike.o'hara+tag@mail.straße.example.org", '@.-+ "(<>,;\\\u0130\u0131\u212a\u017f\u200b\ud800é') | TEXT,
        claim,
    )


def test_a_local_path_stays_on_this_site(fuzz: Fuzz) -> None:
    """FRM-08 (ASVS 3.7.2)."""

    def claim(text: str) -> None:
        path = redirects.local_path(text)
        parts = urlsplit(f"https://auth.example.com{path}")
        assert (parts.netloc, urlsplit(path).netloc) == ("auth.example.com", "")
        assert path.startswith("/")
        assert not {"\\", "\r", "\n", "\t", "\0"} & set(path)
        assert "//" not in path

    fuzz(mutants("/account?a=b&c=%C3%A9", "/\\:@%25cCfF0aAdD09.?#\t\r\n \u2028\uff0f") | TEXT, claim)


def test_a_header_gives_one_token_or_none(fuzz: Fuzz) -> None:
    """MW-01 to MW-08 at the level of the parser."""

    def claim(values: list[str]) -> None:
        headers = CIMultiDict([("Authorization", value) for value in values])
        try:
            token = bearer_token(make_mocked_request("GET", "/", headers))
        except InvalidRequest:
            return
        assert token is None or (token and not set(token) & set(" ,"))

    fuzz(st.lists(mutants("Bearer abc.def.ghi", "Bb ,\t=.\xff") | HEADER, max_size=2), claim)


def test_a_cookie_is_read_once_or_not_at_all(fuzz: Fuzz) -> None:
    """FRM-05."""
    cookie = Cookie("__Host-access_token", secure=True)

    def claim(values: list[str]) -> None:
        headers = CIMultiDict([("Cookie", value) for value in values])
        value = cookie.read(make_mocked_request("GET", "/", headers))
        assert value is None or ";" not in value
        assert value is None or sum(text.count(cookie.name) for text in values) >= 1

    fuzz(st.lists(mutants("a=b; __Host-access_token=abc", ';=_ \t\u2000\xa0"') | HEADER, max_size=3), claim)


def test_a_form_token_is_the_one_that_was_issued(fuzz: Fuzz) -> None:
    """FRM-01."""
    tokens = FormTokens([b"k" * 32], Cookie("form_nonce", secure=False), SystemEntropy())
    nonce = tokens.nonce(make_mocked_request("GET", "/"))
    request = make_mocked_request("POST", "/", CIMultiDict({"Cookie": f"form_nonce={nonce}"}))
    good = tokens.issue(request, nonce)

    def claim(text: str) -> None:
        try:
            tokens.check(request, {FIELD: text})
        except StaleForm:
            return
        assert text == good

    fuzz(mutants(good, string.ascii_letters + "=-_é\ud800") | TEXT | st.just(good), claim)


def test_no_other_spelling_of_a_refresh_token_is_one(fuzz: Fuzz) -> None:
    """REF-12."""
    tokens = RefreshTokens([b"k" * 32])
    good = tokens.make(RefreshToken(UUID(int=7), 3))

    def claim(text: str) -> None:
        try:
            tokens.read(text)
        except InvalidRefreshTokenError:
            return
        assert text == good

    fuzz(mutants(good, string.ascii_letters + "=-_+/é\ud800") | TEXT, claim)


def test_no_other_spelling_of_an_access_token_is_one(fuzz: Fuzz) -> None:
    """TOK: CVE-2022-39227's class, and each mutant of a good token is refused for a known reason."""
    reader = AccessTokenReader(both().verification, issuer=ISSUER, audience="authsvc", clock=FrozenClock())

    def claim(text: str) -> None:
        try:
            reader.read(text)
        except InvalidAccessTokenError as error:
            assert error.reason in REASONS  # noqa: PT017 - both ways out are right
            return
        assert text == GOOD

    fuzz(mutants(GOOD, string.ascii_letters + '._-=+/!{}"é\ud800 \n') | TEXT, claim)


def test_a_key_set_is_read_or_refused_with_a_sentence(fuzz: Fuzz) -> None:
    """JWK: RFC 7517, CVE-2017-15361."""
    good = json.dumps({"keys": [ec_jwk()]})

    def claim(text: str) -> None:
        try:
            key_sets.read_key_set(environment.jwk_set(text).reveal())
        except ValueError as error:
            assert ec_jwk()["d"] not in str(error)  # noqa: PT017 - both ways out are right

    fuzz(mutants(good, '{}[]",:=kdxyP-256\ud800é') | json_texts(), claim)


@pytest.mark.parametrize(
    "name, good", [("a.csv", "email,password_hash\na@example.com,$2b$12$x\n"), ("a.jsonl", '{"email":"a@b.de"}\n')]
)
def test_a_file_of_users_is_rows_and_faults(fuzz: Fuzz, tmp_path: Path, name: str, good: str) -> None:
    """EML-17."""
    path = tmp_path / name

    def claim(text: str) -> None:
        path.write_bytes(text.encode("utf-8", "surrogateescape" if text.isascii() else "surrogatepass"))
        try:
            for row in import_files.read(path, lambda _bytes: None):
                assert row.line >= 1
        except import_files.ImportFileError as error:
            assert str(error)  # noqa: PT017 - both ways out are right

    fuzz(mutants(good, '{}[]",:\n\r\0\ufeff\ud800') | TEXT, claim)


def test_an_agent_is_named_in_a_few_plain_words(fuzz: Fuzz) -> None:
    """DOS-07."""

    def claim(text: str) -> None:
        named = user_agents.readable(text)
        assert named
        assert len(named) < 200

    fuzz(
        mutants("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36", "()/;. 0\ud800")
        | TEXT,
        claim,
    )


GOOD_SETTINGS = {
    "AUTHSVC_DATABASE_URL": "postgresql://a:b@localhost:5432/c",
    "AUTHSVC_PUBLIC_URL": "https://auth.example.com:8443",
    "AUTHSVC_PORT": "8080",
    "AUTHSVC_ACCESS_TOKEN_SECONDS": "900",
    "AUTHSVC_JWT_SECRET": "0123456789abcdef0123456789abcdef",
    "AUTHSVC_REFRESH_SECRET": "fedcba9876543210fedcba9876543210 0123456789abcdef0123456789abcdeg",
    "AUTHSVC_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8::/32",
    "AUTHSVC_LIMIT_ORIGIN": "60/300",
    "AUTHSVC_BREACHED_PASSWORDS_URL": "https://range.example.com:8443/range",
    "AUTHSVC_DATABASE_ACQUIRE_SECONDS": "2.5",
    "AUTHSVC_JWT_AUDIENCE": "authsvc",
}


@pytest.mark.parametrize("name", GOOD_SETTINGS)
def test_a_setting_is_taken_or_refused_with_a_sentence_that_names_it(fuzz: Fuzz, name: str) -> None:
    """DEP: every fault is told, and no secret with it."""

    def claim(text: str) -> None:
        try:
            Config.read({**GOOD_SETTINGS, name: text})
        except ConfigError as error:
            assert all(fault.startswith("AUTHSVC_") for fault in error.faults)  # noqa: PT017 - both ways out are right

    fuzz(mutants(GOOD_SETTINGS[name], "/:@?#[]%0159 \n\0é\ud800") | TEXT, claim)
