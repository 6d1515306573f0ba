"""Prometheus' text format 0.0.4, and the programs that come with it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNPACKED = Path(__file__).parents[1] / "build" / "prometheus" / "usr" / "bin"
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="[^"\\\n]*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (-?[0-9.e+-]+|NaN|[+-]?[Ii]nf)")
COMMENT = re.compile(rf"# (HELP|TYPE) ({NAME}) ([^\n]+)")
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: bytes) -> Samples:
    """Read the format, and refuse whatever is not in it."""
    samples: Samples = {}
    types: dict[str, str] = {}
    assert text.endswith(b"\n")
    for line in text.decode().rstrip("\n").split("\n"):
        if comment := COMMENT.fullmatch(line):
            kind, name, rest = comment.groups()
            if kind == "TYPE":
                assert name not in types
                types[name] = rest
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, line
        name, labels, value = sample.groups()
        assert name in types or family(name) in types, line
        pairs = re.findall(r'([^,=]+)="([^"]*)"', labels or "")
        key = (name, frozenset(pairs))
        assert key not in samples, line
        samples[key] = float(value)
    assert set(types.values()) <= {"counter", "gauge", "histogram"}
    return samples


def family(sample: str) -> str:
    """Return the name of the histogram that a sample is of."""
    return re.sub("_(bucket|sum|count)$", "", sample)


def comments(text: bytes, kind: str) -> dict[str, str]:
    """Return the HELP or the TYPE of each metric."""
    return {name: rest for word, name, rest in COMMENT.findall(text.decode()) if word == kind}


def tool(name: str) -> str:
    """Return the path of a program, of the machine or of tests/install-prometheus."""
    path = shutil.which(name) or shutil.which(UNPACKED / name)
    if path is None:
        pytest.fail(f"{name} is missing: run tests/install-prometheus.")
    return path


def promtool(*arguments: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[str]":
    """Run promtool."""
    done = subprocess.run([tool("promtool"), *arguments], input=stdin, capture_output=True, check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
