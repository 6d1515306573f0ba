"""Running wrk, and reading what it prints."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Load:
    """What one run of wrk saw: requests a second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


def start(
    url: str, *, clients: int, seconds: float, header: str | None = None, script: Path | None = None
) -> "subprocess.Popen[str]":
    """Start wrk on one thread."""
    options = ["-t1", f"-c{clients}", f"-d{round(seconds)}s", "--latency", "--timeout", "30s"]
    options += ["-H", header] if header else []
    options += ["-s", str(script)] if script else []
    return subprocess.Popen(["wrk", *options, url], stdout=subprocess.PIPE, text=True)


def result(process: "subprocess.Popen[str]") -> Load:
    """Wait for wrk, and return what it saw.

    Raises:
        RuntimeError: some answers were errors, or wrk failed.
    """
    out, _ = process.communicate()
    if process.returncode or "Non-2xx" in out or "Socket errors" in out:
        raise RuntimeError(f"wrk saw errors:\n{out}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    if rate is None:
        raise RuntimeError(f"wrk said nothing of a rate:\n{out}")
    return Load(float(rate[1]), _latency(out, "50"), _latency(out, "99"))


def run(url: str, *, clients: int, seconds: float, header: str | None = None, script: Path | None = None) -> Load:
    """Run wrk to its end."""
    return result(start(url, clients=clients, seconds=seconds, header=header, script=script))


def _latency(out: str, percentile: str) -> float:
    found = re.search(rf"^\s+{percentile}%\s+([\d.]+)(us|ms|s)\s*$", out, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"wrk said nothing of p{percentile}:\n{out}")
    return float(found[1]) * _UNITS[found[2]]
