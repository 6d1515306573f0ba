"""AUTHSVC_DATABASE_URL: what is taken, what is refused with a sentence, and what is shown of it."""

from pathlib import Path

import pytest

from authsvc.config import Config, DatabaseUrl
from tests.test_config import LEAST, faults_with


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada@db.example.com/auth",
        "postgresql://ada@10.0.0.1/auth?sslmode=",
        "postgresql://ada@db.example.com/auth?sslmode=prefer",
        "postgresql://ada@db.example.com/auth?sslmode=allow",
        "postgresql://ada@db.example.com/auth?sslmode=verify-fulll",
        "postgresql://ada@db.example.com/auth?sslmode=require&sslmode=prefer",
        "postgresql:///auth?host=db.example.com",
        "postgresql://localhost/auth?host=db.example.com",
        "postgresql://localhost,db.example.com/auth",
        "postgresql:///auth?host=/run/postgresql,db.example.com",
    ],
)
def test_another_machine_is_reached_by_a_stated_sslmode_that_never_falls_back(url: str) -> None:
    """DBF-16 (ASVS 12.3.1)."""
    (fault,) = faults_with("AUTHSVC_DATABASE_URL", url)
    assert fault.startswith("AUTHSVC_DATABASE_URL must say how to secure the way to another machine")


@pytest.mark.parametrize(
    "url",
    [
        "postgres://localhost/auth",
        "postgresql://[::1]:5432/auth",
        "postgresql:///auth",
        "postgresql:///auth?host=/run/postgresql&port=5433",
        "postgresql://ada@/auth?host=%2Frun%2Fpostgresql",
        "postgresql://%2Frun%2Fpostgresql/auth",
        *(f"postgresql://ada@db.example.com/auth?sslmode={mode}" for mode in ("disable", "require")),
        "postgresql://ada@/auth?host=/run/one,/run/two&port=5432,5433&target_session_attrs=read-write",
    ],
)
def test_these_database_urls_are_taken_as_they_are(url: str) -> None:
    assert Config.read({**LEAST, "AUTHSVC_DATABASE_URL": url}).database.url.reveal() == url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://%ff@localhost/auth",
        "postgresql://ada:50%a4@localhost/auth",
        "postgresql://localhost/%00",
        "postgresql:///auth?user=%00",
    ],
)
def test_bytes_that_are_no_text_are_refused_before_a_driver_meets_them(url: str) -> None:
    assert faults_with("AUTHSVC_DATABASE_URL", url) == [
        "AUTHSVC_DATABASE_URL has percent-encoded bytes that are no text: a % of a password is written %25."
    ]


VERIFIED = "postgresql://ada@db.example.com/auth?sslmode=verify-full"


def test_who_verifies_names_an_authority_that_can_be_read(tmp_path: Path) -> None:
    """DBF-16: at the start, and not as a 503 of each request."""
    (no_pem := tmp_path / "empty.pem").touch()
    assert faults_with("AUTHSVC_DATABASE_URL", VERIFIED) == [
        "AUTHSVC_DATABASE_URL must name the authority that sslmode=verify-full trusts: add sslrootcert=FILE."
    ]
    assert faults_with("AUTHSVC_DATABASE_URL", f"{VERIFIED}&sslrootcert={no_pem}") == [
        "AUTHSVC_DATABASE_URL names a file in sslrootcert that cannot be used (it holds no certificate in PEM)."
    ]
    for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl"):
        url = f"postgresql://ada@db.example.com/auth?sslmode=require&{name}={tmp_path / 'none.pem'}"
        assert faults_with("AUTHSVC_DATABASE_URL", url) == [
            f"AUTHSVC_DATABASE_URL names a file in {name} that cannot be used (No such file or directory)."
        ]


@pytest.mark.parametrize("name", ["sslmoed", "connect_timeout", "options", "application_name", "dbname"])
def test_a_parameter_that_one_of_the_drivers_does_not_know_is_refused(name: str) -> None:
    (fault,) = faults_with("AUTHSVC_DATABASE_URL", f"postgresql:///auth?{name}=1")
    assert fault.startswith("AUTHSVC_DATABASE_URL has a parameter that is none of host, passfile, password, port,")
    assert fault.endswith(f": take {name} out.")


@pytest.mark.parametrize(
    "url, shown",
    [
        ("postgresql://ada:a%40b@h/n", "postgresql://ada:***@h/n"),
        ("postgresql://ada:@h/n", "postgresql://ada:***@h/n"),
        ("postgresql://ada@h/n?sslmode=require", "postgresql://ada@h/n?sslmode=require"),
        ("postgresql:///n?host=/run/pg&password=hunter2", "postgresql:///n?host=/run/pg&password=***"),
        ("postgresql:///n?p%61ssword=hunter2&sslpassword=hunter2", "postgresql:///n?password=***&sslpassword=***"),
    ],
)
def test_a_database_url_shows_all_but_its_passwords(url: str, shown: str) -> None:
    assert str(DatabaseUrl(url)) == repr(DatabaseUrl(url)) == f"{DatabaseUrl(url)}" == shown
