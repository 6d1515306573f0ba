"""Environment variables in, frozen sections out, every fault at once."""

import dataclasses
import json
from pathlib import Path

import pytest

from authsvc.config import (
    PROFILES,
    Argon2Profile,
    Config,
    ConfigError,
    Secret,
    settings,
)

SECRET = "0123456789abcdef0123456789abcdef"
KEYS = json.dumps({"keys": [{"kty": "EC"}]})
URL = "postgresql://ada:hunter2@localhost:5432/auth"
SECRETS = {f"AUTHSVC_{name}" for name in ("DATABASE_URL", "JWT_SECRET", "JWT_KEYS", "REFRESH_SECRET")} | {
    "AUTHSVC_BREACHED_PASSWORDS_URL"
}
LEAST = {"AUTHSVC_DATABASE_URL": URL, "AUTHSVC_JWT_SECRET": SECRET}
NEEDS_KEYS = "AUTHSVC_JWT_KEYS (ES256, RS256) or AUTHSVC_JWT_SECRET (HS256) is needed: set exactly one of them."
TWO_KEYS = "AUTHSVC_JWT_KEYS and AUTHSVC_JWT_SECRET are both set: keep one."


def faults_of(environ: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Config.read(environ)
    assert str(caught.value) == "\n".join(caught.value.faults)
    return caught.value.faults


def faults_with(name: str, value: str) -> list[str]:
    """The faults where this one variable is added to what is needed at least."""
    environ = {**LEAST, name: value}
    if name == "AUTHSVC_JWT_KEYS":
        del environ["AUTHSVC_JWT_SECRET"]
    return faults_of(environ)


def test_the_least_environment_gives_the_documented_defaults() -> None:
    config = Config.read({**LEAST, "PATH": "/bin", "HOME": "/root"})
    assert (config.http.host, config.http.port, config.http.admin_port) == ("127.0.0.1", 8080, 9090)
    assert config.http.public_url == config.tokens.issuer == "http://127.0.0.1:8080"
    assert config.passwords.profile == Argon2Profile(19_456, 2, 1)
    assert config.passwords.min_length == 8
    assert config.development.data_dir == Path(".authsvc")
    assert config.database.url.reveal() == URL


def test_the_largest_number_that_a_setting_takes_is_taken() -> None:
    config = Config.read({**LEAST, "AUTHSVC_DATABASE_CAPACITY_BYTES": "9007199254740992"})
    assert config.database.capacity_bytes == 2**53


def test_the_public_url_follows_the_port_and_the_issuer_follows_the_public_url() -> None:
    assert Config.read({**LEAST, "AUTHSVC_PORT": "80"}).http.public_url == "http://127.0.0.1:80"
    config = Config.read({**LEAST, "AUTHSVC_PUBLIC_URL": "https://Auth.Example.com/"})
    assert config.http.public_url == config.tokens.issuer == "https://auth.example.com"
    assert Config.read({**LEAST, "AUTHSVC_JWT_ISSUER": "https://other"}).tokens.issuer == "https://other"


def test_a_variable_that_is_empty_means_its_default() -> None:
    assert Config.read({**LEAST, "AUTHSVC_PORT": ""}).http.port == 8080


def test_sections_cannot_be_changed() -> None:
    config = Config.read(LEAST)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.http.port = 1  # type: ignore[misc]


def test_every_fault_is_told_at_once() -> None:
    faults = faults_of(
        {
            "AUTHSVC_PORT": "http",
            "AUTHSVC_ADMIN_PORT": "0",
            "AUTHSVC_JWT_SECRET": "short",
            "AUTHSVC_JWT_KEYS": "{}",
            "AUTHSVC_LOG_LEVEL": "loud",
            "AUTHSVC_PORTS": "1",
            "AUTHSVC_DATABASE_URLS": "1",
            "AUTHSVC_JWT_SECRETS": "1",
        }
    )
    assert [fault.partition(" ")[0] for fault in faults] == [
        "AUTHSVC_PORT",
        "AUTHSVC_ADMIN_PORT",
        "AUTHSVC_JWT_SECRET",
        "AUTHSVC_JWT_KEYS",
        "AUTHSVC_LOG_LEVEL",
        "AUTHSVC_JWT_KEYS",
        "AUTHSVC_DATABASE_URL",
        "AUTHSVC_DATABASE_URLS",
        "AUTHSVC_JWT_SECRETS",
        "AUTHSVC_PORTS",
    ]
    assert TWO_KEYS in faults


def test_an_empty_environment_lacks_a_database_and_a_key() -> None:
    assert faults_of({}) == [
        NEEDS_KEYS,
        "AUTHSVC_DATABASE_URL is missing: give postgresql://user:password@host:5432/name.",
    ]


@pytest.mark.parametrize(
    "name, values",
    [
        ("AUTHSVC_HOST", ["a\nb", "\x00"]),
        (
            "AUTHSVC_PORT",
            ["0", "65536", "-1", "+1", "8 0", "8080.0", "1_0", "\u0668\u0660", "²", "0" * 12 + "80", "9" * 5000],
        ),
        ("AUTHSVC_ADMIN_HOST", ["a\nb"]),
        ("AUTHSVC_ADMIN_PORT", ["0", "8080"]),
        (
            "AUTHSVC_PUBLIC_URL",
            [
                "auth.example.com",
                "ftp://auth.example.com",
                "http://auth.example.com",
                "http://127.0.0.1.evil.example",
                "https://",
                "https://auth.example.com/path",
                "https://auth.example.com?",
                "https://auth.example.com/?a=b",
                "https://auth.example.com#f",
                "https://ada:pw@auth.example.com",
                "https://@auth.example.com",
                "https://straße.de",
                "https://[::1",
                "https://a:99999",
                "https://a:",
                "https://a b",
                'https://a"b',
                "https://a\nb",
                "https://\u212aelvin.org",
            ],
        ),
        (
            "AUTHSVC_TRUSTED_PROXIES",
            [
                "0",
                "17",
                "-1",
                "cloud",
                "10.0.0.1/8",
                "10.0.0.0/33",
                "proxy.internal",
                ",",
                "0.0.0.0/0",
                "10.0.0.1,::/0",
                "0.0.0.0/1, 128.0.0.0/1",
                "10.0.0.0/7",
                "2000::/15",
                "2000::/3",
                " ".join(f"{number}.0.0.0/8" for number in range(256)),
            ],
        ),
        ("AUTHSVC_DRAIN_SECONDS", ["-1", "61", "nan", "inf", "1e1", "1_0", " 1", "one", "\u0661", "1."]),
        ("AUTHSVC_SHUTDOWN_SECONDS", ["301"]),
        ("AUTHSVC_DATABASE_POOL_SIZE", ["0", "501"]),
        ("AUTHSVC_DATABASE_ACQUIRE_SECONDS", ["0"]),
        ("AUTHSVC_DATABASE_STATEMENT_SECONDS", ["0.01"]),
        ("AUTHSVC_DATABASE_CAPACITY_BYTES", ["-1", "10GiB", "9007199254740993"]),
        ("AUTHSVC_DATABASE_POOLER", ["session", "Transaction"]),
        (
            "AUTHSVC_DATABASE_URL",
            [
                "auth",
                "mysql://localhost/auth",
                "postgresql://localhost",
                "postgresql://localhost/",
                "postgresql://localhost:port/auth",
                "postgresql://[::1/auth",
                "postgresql://ada:5/slash@localhost/auth",
                "postgresql://localhost/\udcff",
            ],
        ),
        (
            "AUTHSVC_JWT_SECRET",
            [
                SECRET[1:],
                "é" * 15 + "a",
                "\udcff" * 40,
                "-----BEGIN PUBLIC KEY-----\n" + SECRET,
                f"ssh-ed25519 {SECRET}",
                f"ecdsa-sha2-nistp256 {SECRET}",
            ],
        ),
        ("AUTHSVC_JWT_KEYS", ["{", "[]", "{}", "5", '{"keys": []}', '{"keys": {}}', '{"keys": [5]}', "[" * 10_000]),
        ("AUTHSVC_JWT_ISSUER", ["a\nb"]),
        ("AUTHSVC_JWT_AUDIENCE", ["a\tb"]),
        ("AUTHSVC_ACCESS_TOKEN_SECONDS", ["29", "86401"]),
        ("AUTHSVC_TOKEN_CACHE_BYTES", ["-1", "1073741825"]),
        ("AUTHSVC_REFRESH_SECRET", [SECRET[1:], f"{SECRET} {SECRET[1:]}", " ", f"ssh-ed25519{SECRET}"]),
        ("AUTHSVC_SESSION_SECONDS", ["59", "31536001", "604799"]),
        ("AUTHSVC_SESSION_IDLE_SECONDS", ["59", "899", "31536001"]),
        ("AUTHSVC_SESSIONS_PER_USER", ["0", "10001"]),
        ("AUTHSVC_REVOCATION_POLL_SECONDS", ["0", "61"]),
        ("AUTHSVC_REVOCATION_STALE_SECONDS", ["0.01", "0.9", "301"]),
        ("AUTHSVC_PASSWORD_MIN_LENGTH", ["7", "65"]),
        ("AUTHSVC_PASSWORD_MAX_LENGTH", ["63", "1025"]),
        ("AUTHSVC_PASSWORD_PROFILE", ["fast", "OWASP-19MIB"]),
        ("AUTHSVC_PASSWORD_THREADS", ["-1", "257"]),
        ("AUTHSVC_PASSWORD_QUEUE_SECONDS", ["0"]),
        ("AUTHSVC_PASSWORD_REFUSAL_SECONDS", ["-1", "10.5"]),
        ("AUTHSVC_BREACHED_PASSWORDS_SECONDS", ["0", "11"]),
        (
            "AUTHSVC_BREACHED_PASSWORDS_URL",
            [
                "range.example.com",
                "ftp://range.example.com/range",
                "http://range.example.com/range",
                "https://me:secret@range.example.com/range",
                "https://range.example.com/range?key=1",
                "https://range.example.com/range#a",
                "https://range.example.com:port/range",
                "https:///range",
            ],
        ),
        ("AUTHSVC_JOURNAL_DAYS", ["0", "x"]),
        ("AUTHSVC_LIMITS", ["ON", "no"]),
        (
            "AUTHSVC_LIMIT_ORIGIN",
            ["60", "60/", "/300", "0/300", "60/0", "-1/60", "60/300s", "60 / 300", "1234567/1", "6\u0660/300"],
        ),
        ("AUTHSVC_LIMIT_ACCOUNT", ["10", "10/60/1"]),
        ("AUTHSVC_LIMIT_ACCOUNT_DELAY_SECONDS", ["0", "86401"]),
        ("AUTHSVC_LIMIT_REGISTER", ["20"]),
        ("AUTHSVC_LIMITS_UNAVAILABLE", ["open"]),
        ("AUTHSVC_LOG_LEVEL", ["trace", "INFO"]),
        ("AUTHSVC_LOG_FORMAT", ["xml"]),
        ("AUTHSVC_LOG_SAMPLE_2XX", ["-0.1", "1.01", "10%", "nan", "1e-3", ".5"]),
        ("AUTHSVC_LOG_GOOGLE_PROJECT", ["My project", "projects/my-project", "123456789012", "short", "a-project-"]),
        ("AUTHSVC_TRACES", ["on", "OTLP", "http://127.0.0.1:4318"]),
        ("AUTHSVC_DATA_DIR", ["a\nb"]),
        ("AUTHSVC_PG_BIN", ["\x1b"]),
    ],
)
def test_a_bad_value_is_one_fault_that_names_its_variable_and_no_secret(name: str, values: list[str]) -> None:
    for value in values:
        faults = faults_with(name, value)
        assert len(faults) == 1, (value, faults)
        assert faults[0].startswith(f"{name} ")
        assert faults[0].endswith(".")
        assert name not in SECRETS or len(value) < 8 or value not in faults[0]


def test_each_setting_has_a_bad_value_above() -> None:
    (table,) = (
        mark.args[1]
        for mark in test_a_bad_value_is_one_fault_that_names_its_variable_and_no_secret.pytestmark  # type: ignore[attr-defined]
    )
    assert {name for name, _values in table} == {setting.name for setting in settings()}


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8080",
        "http://127.0.0.1",
        "http://[::1]:8080",
        "https://auth.example.com:8443",
        "https://xn--strae-oqa.de",
        "https://auth_service",
    ],
)
def test_a_public_url_is_an_origin_https_or_on_this_machine(url: str) -> None:
    assert Config.read({**LEAST, "AUTHSVC_PUBLIC_URL": url}).http.public_url == url


@pytest.mark.parametrize("networks", ["10.0.0.0/8, 11.0.0.0/8", "2001::/16", "fd00::/8", "fc00::/7", "192.0.2.1"])
def test_networks_of_proxies_may_be_as_large_as_private_ones_are(networks: str) -> None:
    assert str(Config.read({**LEAST, "AUTHSVC_TRUSTED_PROXIES": networks}).http.trusted_proxies) == networks


def test_the_ports_must_differ() -> None:
    faults = faults_of({**LEAST, "AUTHSVC_PORT": "9090"})
    assert faults == ["AUTHSVC_ADMIN_PORT must differ from AUTHSVC_PORT: metrics are never public."]


@pytest.mark.parametrize("name", ["AUTHSVC_PROT", "AUTHSVC_", "AUTHSVC_port", "AUTHSVC_PORT_FILE", "AUTHSVC_HOST_FILE"])
def test_an_unknown_name_is_refused(name: str) -> None:
    assert faults_of({**LEAST, name: "1"}) == [
        f"{name} is not a setting of this version: see docs/configuration.md, or unset it."
    ]


def test_an_unknown_name_moves_no_terminal() -> None:
    """CWE-150: its escape sequences are shown as text."""
    [fault] = faults_of({**LEAST, "AUTHSVC_\x1b[2J\r\u202eé\udcff": "1"})
    assert fault.startswith("AUTHSVC_\\x1b[2J\\r\\u202e\\xe9\\udcff is not a setting ")


def test_both_a_secret_and_keys_is_one_too_many_even_where_one_is_bad() -> None:
    assert faults_of({**LEAST, "AUTHSVC_JWT_KEYS": KEYS}) == [TWO_KEYS]
    assert faults_of({**LEAST, "AUTHSVC_JWT_KEYS": KEYS, "AUTHSVC_JWT_SECRET": "x"})[1:] == [TWO_KEYS]


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
@pytest.mark.parametrize("name", ["AUTHSVC_JWT_SECRET", "AUTHSVC_DATABASE_URL"])
def test_a_secret_may_stand_in_a_file(tmp_path: Path, name: str, ending: str) -> None:
    file = tmp_path / "secret"
    file.write_text(LEAST[name] + ending, newline="")
    environ = {**LEAST, f"{name}_FILE": str(file)}
    del environ[name]
    assert Config.read(environ) == Config.read(LEAST)


def test_a_key_set_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(KEYS)
    config = Config.read({"AUTHSVC_DATABASE_URL": URL, "AUTHSVC_JWT_KEYS_FILE": str(file)})
    assert config.tokens.keys == Secret(KEYS)


def test_a_variable_and_its_file_are_one_too_many(tmp_path: Path) -> None:
    faults = faults_with("AUTHSVC_JWT_SECRET_FILE", str(tmp_path))
    assert faults == ["AUTHSVC_JWT_SECRET and AUTHSVC_JWT_SECRET_FILE are both set: keep one."]


def test_a_file_that_cannot_be_read_is_a_fault_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xff" * 40)
    (tmp_path / "empty").touch()
    for name, reason in (
        ("missing", "_FILE names a file that cannot be read (No such file or directory)."),
        ("", "_FILE names a file that cannot be read (Is a directory)."),
        ("latin", "_FILE names a file that cannot be read (it is not UTF-8 text)."),
        ("empty", " must have at least 32 bytes: make one with `openssl rand -base64 48`."),
    ):
        environ = {"AUTHSVC_DATABASE_URL": URL, "AUTHSVC_JWT_SECRET_FILE": str(tmp_path / name)}
        assert faults_of(environ) == [f"AUTHSVC_JWT_SECRET{reason}"]


def test_the_keys_are_looked_into_and_their_fault_is_told() -> None:
    def check(text: str) -> None:
        raise ValueError(f"holds nothing good in {len(text)} characters")

    environ = {"AUTHSVC_DATABASE_URL": "x", "AUTHSVC_JWT_KEYS": KEYS}
    with pytest.raises(ConfigError) as caught:
        Config.read(environ, check_keys=check)
    assert caught.value.faults[1:] == [f"AUTHSVC_JWT_KEYS holds nothing good in {len(KEYS)} characters."]


def test_what_is_shown_names_every_setting_and_masks_secrets() -> None:
    shown = dict(Config.read({**LEAST, "AUTHSVC_PASSWORD_PROFILE": "rfc9106-64mib"}).shown())
    assert list(shown) == [setting.name for setting in settings()]
    assert shown["AUTHSVC_JWT_SECRET"] == "***"
    assert shown["AUTHSVC_JWT_KEYS"] == "(not set)"
    assert shown["AUTHSVC_DATABASE_URL"] == "postgresql://ada:***@localhost:5432/auth"
    assert shown["AUTHSVC_PASSWORD_PROFILE"] == "rfc9106-64mib"
    assert shown["AUTHSVC_PORT"] == "8080"


def test_a_profile_without_a_name_is_shown_by_its_parameters() -> None:
    config = Config.read(LEAST)
    own = dataclasses.replace(config, passwords=dataclasses.replace(config.passwords, profile=Argon2Profile(8, 1, 1)))
    assert "memory_kib=8" in dict(own.shown())["AUTHSVC_PASSWORD_PROFILE"]


def test_a_configuration_shows_no_secret_in_its_repr() -> None:
    text = repr(Config.read(LEAST))
    assert SECRET not in text
    assert "hunter2" not in text


def test_only_what_is_secret_is_marked_so() -> None:
    assert {setting.name for setting in settings() if setting.secret} == SECRETS


def test_each_profile_is_at_least_what_owasp_asks() -> None:
    """Each of OWASP's choices for argon2id is of about the cost of 46 MiB read once."""
    for profile in PROFILES.values():
        assert profile.memory_kib * profile.passes >= 19_456 * 2
        assert profile.lanes >= 1


@pytest.mark.parametrize("text", ["https://range.example.com/range", "http://127.0.0.1:8081/range", "https://h"])
def test_a_range_endpoint_is_a_url_that_a_segment_is_added_to(text: str) -> None:
    for given in (text, f"{text}/"):
        url = Config.read({**LEAST, "AUTHSVC_BREACHED_PASSWORDS_URL": given}).passwords.breached_url
        assert url is not None
        assert url.reveal() == text


def test_of_a_range_endpoint_no_more_than_its_host_is_shown() -> None:
    """ASVS 13.3.1: some have a key in the path."""
    config = Config.read({**LEAST, "AUTHSVC_BREACHED_PASSWORDS_URL": "https://range.example.com/canary-key/range"})
    assert dict(config.shown())["AUTHSVC_BREACHED_PASSWORDS_URL"] == "https://range.example.com/***"
    assert "canary" not in repr(config)
