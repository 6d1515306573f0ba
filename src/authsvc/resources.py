"""Where sql/, migrations/ and templates/ lie: beside src/ in a checkout, inside the package in a wheel."""

from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """Return the folder `name` of the shipped data files.

    Raises:
        FileNotFoundError: neither the package nor the checkout holds it: the installation is broken.
    """
    for base in (PACKAGE, PACKAGE.parent.parent):
        if (base / name).is_dir():
            return base / name
    raise FileNotFoundError(f"The folder {name}/ is missing beside {PACKAGE}: install authsvc again.")


@cache
def common_passwords() -> bytes:
    """Return the digests of the shipped list of common passwords (its source and licence are in NOTICE)."""
    return (PACKAGE / "common_passwords.bin").read_bytes()
