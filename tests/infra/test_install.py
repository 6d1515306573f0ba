"""tests/install-prometheus keeps what it got, whatever else cannot be."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.infra.conftest import ROOT

SCRIPT = ROOT / "tests" / "install-prometheus"
TEMPLATES = "/usr/share/prometheus/alertmanager"
# In place of the network: packages as Debian has them, as far as the script looks.
APT_GET = """#!/bin/sh
shift
case "$1" in download) shift; for each; do [ "$each" = "$LACKING" ] && exit 100; touch "$each.deb"; done;; esac
"""
DPKG_DEB = """#!/bin/sh
program() { mkdir -p "$into/usr/bin"; touch "$into/usr/bin/$1"; chmod +x "$into/usr/bin/$1"; }
into=$3
case "$2" in
*/prometheus.deb) program prometheus; program promtool;;
*/prometheus-alertmanager.deb) program prometheus-alertmanager; program amtool
    mkdir -p "$into$TEMPLATES"; touch "$into$TEMPLATES/default.tmpl";;
*/prometheus-blackbox-exporter.deb) program prometheus-blackbox-exporter;;
esac
"""
TOOLS = (
    "bash",
    "cat",
    "chmod",
    "dirname",
    "id",
    "install",
    "mkdir",
    "mktemp",
    "mv",
    "paste",
    "rm",
    "sh",
    "tail",
    "touch",
)


class Machine:
    """A checkout on a machine that has nothing of it; templates can be put into `templates`, where that is given."""

    def __init__(self, folder: Path, templates: Path) -> None:
        self.templates = templates
        self._script = folder / "tests" / SCRIPT.name
        self._bin = folder / "bin"
        self._unpacked = folder / "build" / "prometheus"
        for each in (self._script.parent, self._bin):
            each.mkdir()
        self._script.write_text(SCRIPT.read_text("utf-8").replace(TEMPLATES, str(templates)), "utf-8")
        for name, text in (("apt-get", APT_GET), ("dpkg-deb", DPKG_DEB)):
            (self._bin / name).write_text(text)
            (self._bin / name).chmod(0o755)
        for name in TOOLS:
            (self._bin / name).symlink_to(
                next(path for path in (Path("/bin", name), Path("/usr/bin", name)) if path.exists())
            )

    def install(self, lacking: str = "", ci: str = "true") -> "subprocess.CompletedProcess[str]":
        environ = {
            "PATH": str(self._bin),
            "LACKING": lacking,
            "TEMPLATES": str(self.templates),
            "CI": ci,
            "HOME": os.devnull,
        }
        return subprocess.run(["bash", self._script], env=environ, capture_output=True, text=True, check=False)

    @property
    def programs(self) -> set[str]:
        return {path.name for path in self._unpacked.glob("usr/bin/*")}


EVERYTHING = {"prometheus", "promtool", "prometheus-alertmanager", "amtool", "prometheus-blackbox-exporter"}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path, tmp_path / "templates")


def test_all_is_fetched_once(machine: Machine) -> None:
    done = machine.install()
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.programs == EVERYTHING
    assert (machine.templates / "default.tmpl").exists()
    again = machine.install(lacking="prometheus")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_who_may_not_put_the_templates_there_keeps_promtool_and_is_told_what_to_do(tmp_path: Path) -> None:
    machine = Machine(tmp_path, Path("/proc/nobody-can-write-here"))
    for _ in range(2):
        done = machine.install()
        assert done.returncode == 1
        (sentence,) = done.stderr.splitlines()
        assert sentence.startswith("Alertmanager lacks its templates; as root: install -D -m 644 -t /proc/nobody-can")
        assert machine.programs == EVERYTHING
    assert machine.install(ci="").returncode == 0


def test_where_a_package_cannot_be_fetched_a_line_says_what_is_lacking(machine: Machine) -> None:
    done = machine.install(lacking="prometheus-alertmanager")
    assert done.returncode == 1
    assert "apt-get install prometheus prometheus-alertmanager prometheus-blackbox-exporter" in done.stderr
    assert "prometheus-alertmanager amtool" in done.stderr
    assert machine.programs == set()
