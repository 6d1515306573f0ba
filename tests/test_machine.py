"""What the process may use: read from the files of every kind of container, and from a real one."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from authsvc import machine
from authsvc.config import Config, ConfigError
from authsvc.passwords import choose_threads
from tests.conftest import SIGNING_KEYS

MIB = 2**20
MEMINFO = "MemTotal:       8388608 kB\nMemFree:  1 kB\n"
NOTHING = 9_223_372_036_854_771_712
Files = Mapping[str, str]


def lay_out(root: Path, files: Files) -> Path:
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V2 = {"proc/self/cgroup": "0::/\n"}
V2_DEEP = {"proc/self/cgroup": "0::/user.slice/authsvc.service\n"}
V1 = {"proc/self/cgroup": "12:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"}
HYBRID = {"proc/self/cgroup": "4:memory:/job\n2:cpu:/job\n0::/\n", "sys/fs/cgroup/unified/cgroup.procs": "1\n"}
LIMITS: list[tuple[str, Files, int]] = [
    ("no cgroups", {}, 8192),
    ("v2, in its own namespace", V2 | {"sys/fs/cgroup/memory.max": f"{512 * MIB}\n"}, 512),
    ("v2, none", V2 | {"sys/fs/cgroup/memory.max": "max\n"}, 8192),
    ("v2, its own", V2_DEEP | {"sys/fs/cgroup/user.slice/authsvc.service/memory.max": f"{300 * MIB}"}, 300),
    (
        "v2, a parent's",
        V2_DEEP
        | {
            "sys/fs/cgroup/user.slice/authsvc.service/memory.max": "max",
            "sys/fs/cgroup/user.slice/memory.max": f"{200 * MIB}",
            "sys/fs/cgroup/memory.max": f"{400 * MIB}",
        },
        200,
    ),
    ("v1, mounted at the top", V1 | {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{256 * MIB}\n"}, 256),
    ("v1, its own", V1 | {"sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": f"{128 * MIB}\n"}, 128),
    ("v1, none", V1 | {"sys/fs/cgroup/memory/memory.limit_in_bytes": f"{NOTHING}\n"}, 8192),
    ("both", HYBRID | {"sys/fs/cgroup/memory/job/memory.limit_in_bytes": f"{64 * MIB}\n"}, 64),
    ("more than there is", V2 | {"sys/fs/cgroup/memory.max": f"{64 * 1024 * MIB}\n"}, 8192),
    ("outside of its namespace", {"proc/self/cgroup": "0::/../..\n", "sys/fs/cgroup/memory.max": f"{99 * MIB}"}, 99),
]


@pytest.mark.parametrize("name, files, mib", LIMITS, ids=[limit[0] for limit in LIMITS])
def test_the_least_limit_counts(tmp_path: Path, name: str, files: Files, mib: int) -> None:
    assert machine.memory_limit(lay_out(tmp_path, files)) == mib * MIB, name


def test_where_nothing_tells_there_is_no_limit(tmp_path: Path) -> None:
    assert machine.memory_limit(tmp_path) is None
    lay_out(tmp_path, {"proc/meminfo": "MemFree:  1 kB\n"})
    assert machine.memory_limit(tmp_path) is None


SHARES: list[tuple[str, Files, int]] = [
    ("no cgroups", {}, 4),
    ("v2, none", V2 | {"sys/fs/cgroup/cpu.max": "max 100000\n"}, 4),
    ("v2, two", V2 | {"sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2),
    ("v2, one and a half", V2 | {"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1),
    ("v2, a tenth", V2 | {"sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1),
    ("v2, more than there are", V2 | {"sys/fs/cgroup/cpu.max": "6400000 100000\n"}, 4),
    (
        "v2, a parent's",
        V2_DEEP | {"sys/fs/cgroup/user.slice/cpu.max": "300000 100000", "sys/fs/cgroup/cpu.max": "max 100000"},
        3,
    ),
    (
        "v1, none",
        V1 | {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"},
        4,
    ),
    (
        "v1, two",
        V1 | {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "100000\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "50000\n"},
        2,
    ),
]


@pytest.mark.parametrize("name, files, number", SHARES, ids=[share[0] for share in SHARES])
def test_a_quota_counts_in_whole_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: Files, number: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    assert machine.cpus(lay_out(tmp_path, files)) == number, name


def test_where_there_is_no_affinity_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "sys", SimpleNamespace(platform="darwin"))
    assert machine.cpus(tmp_path) == os.cpu_count()


def config(**settings: str) -> Config:
    given = {"AUTHSVC_DATABASE_URL": "postgresql://localhost/authsvc", "AUTHSVC_JWT_KEYS": SIGNING_KEYS}
    return Config.read(given | settings)


@pytest.mark.parametrize(
    "limit, profile, most",
    [
        (512, "owasp-19mib", 12),
        (512, "owasp-46mib", 5),
        (512, "rfc9106-64mib", 3),
        (1024, "owasp-19mib", 39),
        (1024, "owasp-46mib", 16),
        (1024, "rfc9106-64mib", 11),
    ],
)
def test_as_many_threads_as_the_document_says_fit_and_not_one_more(limit: int, profile: str, most: int) -> None:
    """DOS-01 (ASVS 15.2.2)."""
    document = (Path(__file__).parents[1] / "docs" / "configuration.md").read_text("utf-8")
    row = next(line for line in document.splitlines() if line.startswith(f"| {limit // 1024 or limit} "))
    assert f"{most} threads" in row
    fitting = config(AUTHSVC_PASSWORD_PROFILE=profile, AUTHSVC_PASSWORD_THREADS=str(most))
    assert choose_threads(fitting, limit * MIB) == most
    beyond = config(AUTHSVC_PASSWORD_PROFILE=profile, AUTHSVC_PASSWORD_THREADS=str(most + 1))
    with pytest.raises(ConfigError, match="AUTHSVC_PASSWORD_THREADS"):
        choose_threads(beyond, limit * MIB)
    assert choose_threads(beyond, None) == most + 1


def test_the_sum_is_shown() -> None:
    with pytest.raises(ConfigError) as caught:
        choose_threads(config(AUTHSVC_PASSWORD_THREADS="64"), 512 * MIB)
    (fault,) = caught.value.faults
    assert "64 x 19 MiB for hashes + 128 MiB for one stored hash of other parameters + 32 MiB" in fault
    assert "+ 112 MiB for the service = 1488 MiB, and it may use 512 MiB: " in fault


def test_the_automatic_number_takes_no_more_than_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container with much CPU and little memory starts, with fewer threads."""
    monkeypatch.setattr(machine, "cpus", lambda: 64)
    assert choose_threads(config(), None) == choose_threads(config(), 8192 * MIB) == 64
    assert choose_threads(config(), 512 * MIB) == 12
    assert choose_threads(config(), 292 * MIB) == 1
    with pytest.raises(ConfigError, match=r" 1 x 19 MiB for hashes .* = 291 MiB, and it may use 290 MiB"):
        choose_threads(config(), 290 * MIB)


def test_a_larger_cache_counts_too() -> None:
    with pytest.raises(ConfigError, match="1024 MiB for AUTHSVC_TOKEN_CACHE_BYTES"):
        choose_threads(config(AUTHSVC_TOKEN_CACHE_BYTES=str(1024 * MIB)), 1024 * MIB)
