"""What `authsvc dev` adds to the environment: a PostgreSQL of its own, and a signing key made once."""

import shlex
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from authsvc import embedded, key_rotation, key_sets
from authsvc.clock import SystemClock
from authsvc.config import Config
from authsvc.entropy import Entropy, SystemEntropy
from authsvc.operations import OperationError, write_private

KEY_FILE = "signing-keys.json"
_PLACEHOLDER = "postgresql://localhost/not-started-yet"


@contextmanager
def environment(given: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Lend `given` with what it lacks: a database (embedded, up while this lasts), a key, no wait when stopping.

    Raises:
        ConfigError: before anything is started.
        OperationError: the key cannot be written.
        EmbeddedError: the database cannot be started.
    """
    # The first interrupt unwinds what was begun; a second one (`timeout` and impatient people send two) must not
    # interrupt the unwinding, or it would leave a database behind.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt_once)
    environ = {"AUTHSVC_DRAIN_SECONDS": "0", **{name: value for name, value in given.items() if value}}
    lacks_database = environ.keys().isdisjoint({"AUTHSVC_DATABASE_URL", "AUTHSVC_DATABASE_URL_FILE"})
    data_dir = Path(environ.get("AUTHSVC_DATA_DIR") or ".authsvc")
    keys = ("AUTHSVC_JWT_KEYS", "AUTHSVC_JWT_KEYS_FILE", "AUTHSVC_JWT_SECRET", "AUTHSVC_JWT_SECRET_FILE")
    if environ.keys().isdisjoint(keys):
        environ["AUTHSVC_JWT_KEYS_FILE"] = str(_signing_keys(data_dir / KEY_FILE).absolute())
    if not lacks_database:
        yield environ
        return
    checked = Config.read({**environ, "AUTHSVC_DATABASE_URL": _PLACEHOLDER}, check_keys=key_sets.read_key_set)
    pg_bin = checked.development.pg_bin
    with embedded.serve(data_dir, pg_bin=pg_bin) as server:
        yield {**environ, "AUTHSVC_DATABASE_URL": server.url}


def welcome(public_url: str, lent: Mapping[str, str], entropy: Entropy | None = None) -> str:
    """Return what a newcomer reads first: the sign-up page, and lines to paste; of them what was `lent`, to export."""
    # Another address at each start, so that the lines work again where yesterday's users are still there.
    name = (entropy or SystemEntropy()).token_bytes(3).hex()
    body = f"""'{{"email": "ada-{name}@example.com", "password": "correct horse battery staple"}}'"""
    exports = "".join(f"  export {setting}={shlex.quote(value)}\n" for setting, value in lent.items())
    reached = (
        f"\n  For the operator's commands in another shell, such as `authsvc journal`:\n\n{exports}" if lent else ""
    )
    return f"""
  Sign up in the browser   {public_url}/register
  Read the API reference   {public_url}/api/docs

  Or from a shell: register, then log in.

  curl -i {public_url}/api/auth/register -H 'Content-Type: application/json' -d {body}
  curl -i {public_url}/api/auth/login -H 'Content-Type: application/json' -d {body}
{reached}
  Ctrl-C stops all of it.
"""


def lent(given: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return what `environment` has lent to `given` that the operator's commands need."""
    names = ("AUTHSVC_DATABASE_URL", "AUTHSVC_JWT_KEYS_FILE")
    return {name: environ[name] for name in names if name in environ and not given.get(name)}


def _signing_keys(path: Path) -> Path:
    if not path.exists():
        try:
            embedded.make_folder(path.parent)
            # Another `authsvc dev` may have made it meanwhile.
            with suppress(FileExistsError):
                write_private(path, key_rotation.first_set("ES256", SystemClock().now()))
        except OSError as error:
            raise OperationError(
                f"{path} cannot be written ({error.strerror}): set AUTHSVC_DATA_DIR to a folder of yours."
            ) from None
    return path


def _interrupt_once(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt
