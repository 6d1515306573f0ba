"""What this process may use: the limits of its container (cgroups v2 and v1), then the machine itself.

Read below a `root`, by default `/`, so that a test can lay out the files of any container. What cannot be read limits
nothing.
"""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
UNIFIED = ""
"""cgroup v2 has one hierarchy, and lists it without a controller."""
_NUMBER = re.compile(r"\d{1,20}", re.ASCII)
_INSTALLED = re.compile(r"MemTotal: +(\d{1,20}) kB", re.ASCII)


def memory_limit(root: Path = ROOT) -> int | None:
    """Return the most bytes that this process may use; None where nothing tells."""
    limits = [
        *(_whole(text) for text in _settings(root, UNIFIED, "memory.max")),
        *(_whole(text) for text in _settings(root, "memory", "memory.limit_in_bytes")),
        _installed_memory(root),
    ]
    return min((limit for limit in limits if limit is not None), default=None)


def cpus(root: Path = ROOT) -> int:
    """Return how many CPUs this process may keep busy: a quota of one and a half is one."""
    present = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    quotas, periods = (_settings(root, "cpu", f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    shares = [*_settings(root, UNIFIED, "cpu.max"), *map(" ".join, zip(quotas, periods, strict=False))]
    return min([present, *(_share(text) or present for text in shares)])


def _settings(root: Path, controller: str, name: str) -> Iterator[str]:
    """Yield a setting of this process's cgroup and of each that it lies in.

    /proc may tell a path of the host, of which the container sees the end alone, mounted at the top: what is not there
    is passed over.
    """
    for line in _lines(root / "proc/self/cgroup"):
        match line.split(":", 2):
            case [_, controllers, path] if controller in controllers.split(","):
                top = root / "sys/fs/cgroup" / controller
                own = top / path.lstrip("/")
                for folder in (own, *own.parents):
                    if folder.is_relative_to(top):
                        yield from (text.strip() for text in _lines(folder / name)[:1])


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except (OSError, ValueError):  # a NUL in its path
        return []


def _whole(text: str) -> int | None:
    """Read a limit; `max` is none, for which cgroup v1 says a number beyond any machine's memory."""
    return int(text) if _NUMBER.fullmatch(text) else None


def _share(text: str) -> int | None:
    """Read quota and period of CPU time, in microseconds; `max` and -1 are none."""
    quota, period = map(_whole, text.partition(" ")[::2])
    return max(1, quota // period) if quota is not None and period else None


def _installed_memory(root: Path) -> int | None:
    found = filter(None, map(_INSTALLED.fullmatch, _lines(root / "proc/meminfo")))
    return next((int(match[1]) * 1024 for match in found), None)
