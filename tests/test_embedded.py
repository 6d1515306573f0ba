"""What a developer may do to the embedded PostgreSQL, and what it must survive: with real servers, really killed."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import asyncpg
import psycopg
import pytest
import yoyo

from authsvc.embedded import Server, serve
from authsvc.installations import EmbeddedError, Installation, installations

AS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not AS_ROOT, reason="only root changes the user of the server")
needs_proc = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")

CHILD = """
import sys
from pathlib import Path
from authsvc.embedded import serve
with serve(Path(sys.argv[1]), durable=False) as server:
    print(server.pid, server._watcher.pid, server._sockets, flush=True)
    sys.stdin.read()
"""


def eventually(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.005)


def is_gone(pid: int) -> bool:
    """Count a zombie as gone: not every container has a process 1 that collects them."""
    if Path("/proc/self/stat").exists():
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].strip()
        except OSError:
            return True
    else:
        command = ["ps", "-o", "stat=", "-p", str(pid)]
        state = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return not state or state.startswith("Z")


def ask(url: str, statement: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return str(row[0]) if row else ""


def run(data_dir: Path) -> str:
    """Start, ask and stop: the next start that must just work."""
    with serve(data_dir, durable=False) as server:
        return ask(server.url, "select current_database()")


def refusal(data_dir: Path, pg_bin: Path | None = None, settings: dict[str, str] | None = None) -> str:
    with pytest.raises(EmbeddedError) as refused, serve(data_dir, pg_bin=pg_bin, settings=settings or {}):
        pytest.fail("the server started")
    return str(refused.value.args[0])


@contextmanager
def child(data_dir: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", CHILD, str(data_dir)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def introduced(process: subprocess.Popen[str]) -> tuple[int, int, Path]:
    """Read what the child prints when its server is ready: the pids of server and watcher, and the socket folder."""
    assert process.stdout is not None
    server, watcher, sockets = process.stdout.readline().split(maxsplit=2)
    return int(server), int(watcher), Path(sockets.strip())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make one cluster for the tests to copy: making it costs ten times a start."""
    data_dir = tmp_path_factory.mktemp("made")
    run(data_dir)
    return data_dir


@pytest.fixture
def data_dir(made: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "data with a blank"
    subprocess.run(["cp", "-a", str(made), str(copy)], check=True)
    return copy


@pytest.mark.parametrize("installation", installations(None), ids=lambda found: str(found.major))
def test_every_installation_found_serves_asyncpg_psycopg_and_yoyo(installation: Installation, tmp_path: Path) -> None:
    async def version(url: str) -> str:
        connection = await asyncpg.connect(url)
        try:
            return str(await connection.fetchval("select version()"))
        finally:
            await connection.close()

    with serve(tmp_path, pg_bin=installation.bin, durable=False) as server:
        assert f"PostgreSQL {installation.major}." in asyncio.run(version(server.url))
        assert f"PostgreSQL {installation.major}." in ask(server.url_of("postgres"), "select version()")
        backend = yoyo.get_backend(server.url.replace("postgresql:", "postgresql+psycopg:"))
        with closing(backend.connection):
            assert "yoyo_lock" in backend.list_tables()


def test_an_ordinary_cluster_is_durable_in_utf_8_and_only_on_its_socket(tmp_path: Path) -> None:
    with serve(tmp_path, settings={"work_mem": "5MB"}) as server:
        shown = {
            name: ask(server.url, f"show {name}")
            for name in ("fsync", "synchronous_commit", "full_page_writes", "server_encoding", "timezone", "work_mem")
        }
        assert ask(server.url, "show listen_addresses") == ""
        sockets = Path(ask(server.url, "show unix_socket_directories"))
        assert sockets.stat().st_mode & 0o777 == 0o700
    assert list(shown.values()) == ["on", "on", "on", "UTF8", "UTC", "5MB"]
    assert not sockets.exists()


def test_pg_variables_of_the_caller_change_nothing(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PGPORT": "1", "PGDATA": "/nowhere", "PGOPTIONS": "-c nonsense=1", "LC_ALL": "xx"}.items():
        monkeypatch.setenv(name, value)
    with serve(data_dir, durable=False) as server:
        monkeypatch.delenv("PGOPTIONS")  # a client's business
        assert ask(server.url, "select 1") == "1"


def test_data_survives_a_restart(data_dir: Path) -> None:
    with serve(data_dir) as server:
        ask(server.url, "create table kept as select 'yes' as answer")
    with serve(data_dir) as server:
        assert ask(server.url, "select answer from kept") == "yes"


@pytest.mark.parametrize("end", [Server.stop, Server.kill])
def test_a_url_stays_good_when_the_server_went_down_and_comes_back(
    data_dir: Path, end: Callable[[Server], None]
) -> None:
    with serve(data_dir) as server:
        url, pid = server.url, server.pid
        ask(url, "create table kept as select 'yes' as answer")
        end(server)
        assert is_gone(pid)
        with pytest.raises(psycopg.OperationalError):
            ask(url, "select 1")
        server.start()
        assert ask(url, "select answer from kept") == "yes"


def test_a_suspended_server_is_stopped_all_the_same(data_dir: Path) -> None:
    with serve(data_dir, durable=False) as server:
        pid = server.pid
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
    assert is_gone(pid)
    assert time.monotonic() - begun < 10, "it was not asked but forced"


def test_a_start_outwaits_the_last_child_of_a_killed_server(data_dir: Path) -> None:
    log = data_dir / "postgres.log"

    def resume_when_in_the_way(backend: int) -> None:
        try:
            eventually(lambda: "pre-existing shared memory block" in log.read_text(), "the start was tried")
        finally:
            os.kill(backend, signal.SIGCONT)

    with serve(data_dir) as server, psycopg.connect(server.url) as connection:
        backend = connection.info.backend_pid
        os.kill(backend, signal.SIGSTOP)
        server.kill()
        helper = threading.Thread(target=resume_when_in_the_way, args=(backend,))
        helper.start()
        server.start()
        helper.join()
        assert ask(server.url, "select 1") == "1"


def test_ctrl_c_reaches_only_the_parent_which_leaves_nothing_behind(data_dir: Path) -> None:
    with child(data_dir) as parent:
        server, watcher, sockets = introduced(parent)
        assert parent.pid not in {os.getpgid(server), os.getpgid(watcher)}
        os.killpg(parent.pid, signal.SIGINT)
        assert "KeyboardInterrupt" in parent.communicate(timeout=10)[1]
        assert is_gone(server)
        assert is_gone(watcher)
        assert not sockets.exists()


def test_the_server_ends_when_its_parent_is_killed_and_the_next_start_works(data_dir: Path) -> None:
    with child(data_dir) as parent:
        server, _, sockets = introduced(parent)
        parent.kill()
        eventually(lambda: is_gone(server), "the server ended")
        eventually(lambda: not sockets.exists(), "the socket folder was removed")
    assert run(data_dir) == "authsvc"


def test_the_next_start_does_not_wait_for_the_watcher_of_a_killed_parent(data_dir: Path) -> None:
    with child(data_dir) as parent:
        introduced(parent)
        parent.kill()
        parent.wait()
        assert run(data_dir) == "authsvc"


def test_a_server_left_by_a_killed_parent_and_watcher_is_replaced(data_dir: Path) -> None:
    with child(data_dir) as parent:
        orphan, watcher, sockets = introduced(parent)
        os.kill(watcher, signal.SIGKILL)
        parent.kill()
        parent.wait()
        assert not is_gone(orphan)
    with serve(data_dir, durable=False) as server:
        assert is_gone(orphan)
        assert ask(server.url, "select 1") == "1"
    assert not sockets.exists()


def test_a_second_start_on_the_same_folder_is_refused(data_dir: Path) -> None:
    with child(data_dir) as holder:
        introduced(holder)
        sentence = refusal(data_dir)
        assert f"process {holder.pid}" in sentence
        assert "AUTHSVC_DATA_DIR" in sentence


@pytest.mark.parametrize("kind", ["stranger", "zombie", "nobody", "empty"])
def test_a_stale_postmaster_pid_does_not_stop_the_start(data_dir: Path, kind: str) -> None:
    # Of the server's own user: PostgreSQL knows by itself that another user's process is none of its own.
    owner = (data_dir / "postgres").stat().st_uid
    with subprocess.Popen(["/bin/sh", "-c", "read _"], stdin=subprocess.PIPE, user=owner if AS_ROOT else None) as other:
        if kind == "zombie":
            other.kill()
            eventually(lambda: is_gone(other.pid), "it is a zombie")
        pid = "" if kind == "empty" else 2**22 + 1 if kind == "nobody" else other.pid
        stale = data_dir / "postgres" / "postmaster.pid"
        stale.write_text(f"{pid}\n{data_dir}/postgres\n1\n5432\n/nowhere\n\n\n" if pid else "")
        os.chown(stale, owner, -1)
        assert run(data_dir) == "authsvc"
        assert kind == "zombie" or other.poll() is None


def test_an_interrupted_initdb_is_begun_anew(tmp_path: Path) -> None:
    with child(tmp_path) as parent:
        eventually(lambda: bool(list(tmp_path.glob("postgres.new-*/PG_VERSION"))), "initdb is half-way")
        parent.kill()
        parent.wait()
    assert not (tmp_path / "postgres").exists()
    assert run(tmp_path) == "authsvc"
    assert run(tmp_path) == "authsvc"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["lock", "postgres", "postgres.log"]


def test_a_named_folder_without_a_server_is_refused(tmp_path: Path) -> None:
    assert f"AUTHSVC_PG_BIN={tmp_path} holds no PostgreSQL" in refusal(tmp_path / "data", pg_bin=tmp_path)


def test_a_cluster_of_another_major_version_is_refused(data_dir: Path) -> None:
    (data_dir / "postgres" / "PG_VERSION").write_text("14\n")
    sentence = refusal(data_dir)
    assert "PostgreSQL 14" in sentence
    assert str(installations(None)[0].major) in sentence
    assert "AUTHSVC_DATA_DIR" in sentence


def test_the_version_of_the_cluster_picks_the_server(tmp_path: Path) -> None:
    last = installations(None)[-1]
    with serve(tmp_path, pg_bin=last.bin, durable=False):
        pass
    with serve(tmp_path, durable=False) as server:
        assert server.installation.major == last.major


def test_a_folder_that_is_no_cluster_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "letter").write_text("dear")
    assert "is no PostgreSQL cluster" in refusal(tmp_path)
    assert [entry.name for entry in (tmp_path / "postgres").iterdir()] == ["letter"]


def test_a_data_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "AUTHSVC_DATA_DIR" in refusal(tmp_path / "file" / "data")


def test_an_early_death_quotes_the_log(data_dir: Path) -> None:
    sentence = refusal(data_dir, settings={"shared_buffers": "nonsense"})
    assert 'invalid value for parameter "shared_buffers"' in sentence
    assert str(data_dir / "postgres.log") in sentence


@needs_root
@needs_proc
def test_started_by_root_the_server_is_an_ordinary_user_with_the_least_capabilities() -> None:
    def status(pid: int) -> dict[str, str]:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}

    binaries = installations(None)[0].bin
    reachable = all(folder.stat().st_mode & 0o001 for folder in (binaries, *binaries.parents))
    with tempfile.TemporaryDirectory() as name:
        closed = Path(name)
        with serve(closed, durable=False) as server:
            below_a_closed_folder = status(server.pid)
        closed.chmod(0o755)
        shutil.rmtree(closed / "postgres")
        with serve(closed, durable=False) as server:
            in_the_open = status(server.pid)
        assert closed.stat().st_mode & 0o777 == 0o755
    for found in (below_a_closed_folder, in_the_open):
        assert set(found["Uid"].split()) == {"65534"}
        assert found["Groups"] == ""
    assert int(below_a_closed_folder["CapEff"], 16) in {1 << 2, 1 << 1}  # dac_read_search, or dac_override
    assert not reachable or int(in_the_open["CapEff"], 16) == 0


@needs_root
def test_root_without_setpriv_gets_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "util-linux" in refusal(tmp_path)
