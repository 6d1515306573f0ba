"""The wheel: built from the checkout, installed into a clean environment, and serving from there."""

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.cli.conftest import CREDENTIALS, Start, environment

CHECKOUT = Path(__file__).parents[2]
HOLDS = (
    "sql/users.sql",
    "migrations/0001.users.sql",
    "migrations/0001.users.rollback.sql",
    "templates/base.html",
    "web/static/app.css",
    "web/static/app.js",
    "common_passwords.bin",
    "py.typed",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=CHECKOUT, check=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and, lent from ours, its dependencies; the checkout is not on its path."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", str(wheel)], check=True)
    # A folder named in a .pth file is searched, but the .pth files in it (our editable install is one) are not read.
    paths = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    [site] = home.glob("lib/python3*/site-packages")
    (site / "lent.pth").write_text("\n".join(paths))
    return home / "bin"


def test_the_wheel_holds_what_the_service_reads_and_what_the_licence_asks(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        license_files = {Path(name).name for name in names if "dist-info/licenses/" in name}
    assert {f"authsvc/{name}" for name in HOLDS} <= set(names)
    assert license_files == {"LICENSE", "NOTICE"}
    assert not [name for name in names if not re.match(r"authsvc(-[\d.]+\.dist-info)?/", name)]
    shipped = {path.relative_to(CHECKOUT) for folder in ("sql", "migrations", "templates") for path in files(folder)}
    assert {f"authsvc/{path}" for path in shipped} <= set(names)


def files(folder: str) -> list[Path]:
    return [path for path in (CHECKOUT / folder).rglob("*") if path.is_file()]


def test_the_installed_service_migrates_registers_and_logs_in(
    installed: Path, settings: dict[str, str], unmigrated_url: str, start: Start, tmp_path: Path
) -> None:
    settings["AUTHSVC_DATABASE_URL"] = unmigrated_url
    where = "import authsvc; print(authsvc.__file__)"
    found = subprocess.run(
        [installed / "python", "-c", where], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert Path(found.stdout).is_relative_to(installed.parent)
    subprocess.run([installed / "authsvc", "migrate"], env=environment(settings), check=True, cwd=tmp_path)
    running = start("serve", settings=settings, command=[str(installed / "authsvc")])
    running.until_it_says('"event":"serving"')
    assert running.is_ready()
    assert b"<form" in running.ask("/register").body
    assert running.ask("/static/app.css").status == 200
    assert running.ask("/api/auth/register", {**CREDENTIALS, "password": "password"}).status == 422
    assert running.ask("/api/auth/register", CREDENTIALS).status == 201
    assert running.ask("/api/auth/login", CREDENTIALS).status == 200
