"""Prometheus and Alertmanager as processes, those of the machine or those that tests/install-prometheus unpacked."""

import os
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from infra.local import ROOT

UNPACKED = ROOT / "build" / "prometheus" / "usr"
ASSETS = UNPACKED / "share" / "prometheus" / "web"
PROGRAMS = {
    "Prometheus": ("prometheus", str(UNPACKED / "bin/prometheus")),
    "Alertmanager": ("prometheus-alertmanager", "alertmanager", str(UNPACKED / "bin/prometheus-alertmanager")),
}


@dataclass(frozen=True)
class Program:
    """One that was started; it may not answer yet."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def end(self) -> None:
        """End it as an administrator does, and wait until it has."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()

    def last_line(self) -> str:
        """Return what it said last."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "It says nothing."


def missing() -> str | None:
    """Return one sentence about what is not installed; None where all is there."""
    lacking = [name for name in PROGRAMS if _found(name) is None]
    if not lacking:
        return None
    return f"There is no {' and no '.join(lacking)}: run tests/install-prometheus, or install the two with your system."


def start(name: str, folder: Path, address: str) -> Program:
    """Start one of PROGRAMS by the configuration in a folder, where it keeps all that it keeps, too."""
    found, key = str(_found(name)), name.lower()
    options = {
        "Prometheus": [
            f"--storage.tsdb.path={folder / 'prometheus'}",
            "--log.level=warn",
            *([f"--web.local-assets={ASSETS}"] if found == PROGRAMS["Prometheus"][-1] else []),
        ],
        "Alertmanager": ["--cluster.listen-address=", f"--storage.path={folder / 'alertmanager'}"],
    }
    log = folder / f"{key}.log"
    with log.open("wb") as file:
        # In a session of its own: a Ctrl-C is for who started it, who puts all away in order.
        process = subprocess.Popen(  # noqa: S603 - a program of PROGRAMS
            [found, f"--config.file={folder / key}.yml", f"--web.listen-address={address}", *options[name]],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={"PATH": os.defpath},
            start_new_session=True,
        )
    return Program(process, log)


def _found(name: str) -> str | None:
    return next((found for place in PROGRAMS[name] if (found := shutil.which(place))), None)
