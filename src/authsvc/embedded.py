"""A real PostgreSQL of one's own, for `authsvc dev` and for the tests.

Owns the data folder it is given (cluster, log, lock) and a private socket folder. It never listens on TCP, makes no
system user, changes the mode of no folder it did not make, and hears no PG* variable: its children get an environment
of their own.

Three processes take part: we, the server, and a watcher that ends the server when we are gone, however we went. The
kernel's parent-death signal would need no watcher, but it follows the starting *thread*, and macOS has none.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote

from authsvc.installations import ENVIRONMENT, EmbeddedError, Installation, installations, matching

_NAME = "authsvc"  # of the superuser and of the database
_SOCKETS = "authsvc-"  # start of a socket folder's name
_STAGING = "postgres.new-"  # start of the name of a cluster that is not whole yet
_NOBODY = 65534
_PORT = 5432  # only a part of the socket's name
_PATIENCE = 60.0  # seconds a server may take to become ready
_UNDURABLE = MappingProxyType({"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"})

# `read` returns when the last copy of our end of the pipe is closed: by the kernel, if nobody else does it.
_WATCHER = """
read -r _
kill -INT "$1"; kill -CONT "$1"
tries=0
while kill -0 "$1" && [ "$tries" -lt 300 ]; do tries=$((tries + 1)); sleep 0.1; done
kill -QUIT "$1"
rm -rf -- "$2"
"""


@dataclass(frozen=True)
class _Cluster:
    path: Path
    log: Path
    installation: Installation
    owner: tuple[int, int] | None  # uid and gid to give what the server must own; None: it runs as we do
    become: tuple[str, ...]  # the start of a command line that runs the rest as that owner

    def command(self, binary: str, *arguments: str) -> list[str]:
        return [*self.become, str(self.installation.bin / binary), *arguments]

    def run(self, binary: str, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        # A folder everybody may enter is the current one: initdb fails where its user cannot enter ours.
        return subprocess.run(
            self.command(binary, *arguments), input=text, capture_output=True, text=True, errors="replace",
            check=False, cwd="/", env=ENVIRONMENT, start_new_session=True,
        )  # fmt: skip


class Server:
    """A running server. `stop`, `kill` and `start` are for tests of faults: all its URLs stay good across them."""

    def __init__(self, cluster: _Cluster, sockets: Path, settings: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._sockets = sockets
        self._settings = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    @property
    def installation(self) -> Installation:
        """The binaries this server runs from."""
        return self._cluster.installation

    @property
    def url(self) -> str:
        """The address of the database `authsvc`, for asyncpg and for libpq."""
        return self.url_of(_NAME)

    @property
    def pid(self) -> int:
        """The process id of the postmaster. Raises EmbeddedError while the server is stopped."""
        if self._process is None:
            raise EmbeddedError("The server is stopped: start() it before asking for its process id.")
        return self._process.pid

    def url_of(self, database: str) -> str:
        """Return the address of a database of this server, which need not exist yet."""
        # The port is named because both drivers would else take it from PGPORT.
        where = f"host={quote(str(self._sockets), safe='')}&port={_PORT}"
        return f"postgresql://{_NAME}@/{quote(database, safe='')}?{where}"

    def start(self) -> None:
        """Start the server, again if it runs, and return when it accepts connections.

        Raises EmbeddedError when it ends instead, or is not ready in 60 seconds.
        """
        self.stop()
        deadline = time.monotonic() + _PATIENCE
        while not self._comes_up(deadline):
            self.stop()
            log = self._cluster.log.read_text(errors="replace").strip()
            # A killed server's last children outlive it by a moment, and hold its shared memory that long.
            if "pre-existing shared memory block" not in log or time.monotonic() > deadline:
                last = "\n".join(log.splitlines()[-5:])
                raise EmbeddedError(
                    f"PostgreSQL {self.installation.major} did not start: mend what the end of {self._cluster.log}"
                    f" says, or set AUTHSVC_DATA_DIR to a new folder.\n{last}"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server as an administrator would, by force if it does not obey; harmless when it is stopped."""
        if process := self._release():
            _end(process.pid, lambda: process.poll() is None)

    def kill(self) -> None:
        """Kill the server without a warning, as a crash would; harmless when it is stopped."""
        if process := self._release():
            process.kill()
            process.wait()

    def _comes_up(self, deadline: float) -> bool:
        for stale in self._sockets.iterdir():  # a killed server's; its lock may name a pid that lives again
            stale.unlink()
        flags = ("-D", str(self._cluster.path), "-h", "", "-k", str(self._sockets), "-p", str(_PORT))
        # The log can quote users' addresses, so it is ours alone; each start begins it anew, lest it grow for ever.
        # Anew, and never through a link that somebody has put there.
        self._cluster.log.unlink(missing_ok=True)
        created = os.open(self._cluster.log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(created, "wb") as log:
            process = self._process = subprocess.Popen(
                self._cluster.command("postgres", *flags, *self._settings),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd="/", env=ENVIRONMENT, start_new_session=True,
            )  # fmt: skip
        self._watcher = subprocess.Popen(
            ["sh", "-c", _WATCHER, "authsvc-watcher", str(process.pid), str(self._sockets)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd="/", env=ENVIRONMENT, start_new_session=True,
        )  # fmt: skip

        def is_ready() -> bool:
            lines = _postmaster_file(self._cluster.path)
            return len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready"

        _until(lambda: process.poll() is not None or is_ready(), deadline - time.monotonic())
        return process.poll() is None and is_ready()

    def _release(self) -> subprocess.Popen[bytes] | None:
        """Dismiss the watcher, and return the server for its end: once collected, its pid may be somebody else's."""
        watcher, self._watcher = self._watcher, None
        process, self._process = self._process, None
        if watcher is not None:
            watcher.kill()
            watcher.communicate()
        return process


@contextmanager
def serve(
    data_dir: Path,
    *,
    pg_bin: Path | None = None,
    durable: bool = True,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Server]:
    """Run a server on the cluster in `data_dir`, made at the first time, until the block ends.

    `pg_bin` is the folder of the binaries to use, instead of those found. `durable=False` gives up surviving a power
    cut, for speed. `settings` are PostgreSQL's own. Raises EmbeddedError when there is no server to use, when another
    process uses the folder, or when the server does not start.
    """
    data_dir = data_dir.resolve()
    path = data_dir / "postgres"
    with ExitStack() as unwinding:
        unwinding.enter_context(_locked(data_dir))
        _clear_leftovers(path)
        installation = matching(path, installations(pg_bin))
        owner = _owner(path) if os.geteuid() == 0 else None
        become = _become(owner, installation.bin, data_dir) if owner else ()
        cluster = _Cluster(path, data_dir / "postgres.log", installation, owner, become)
        if not path.exists():
            _initialise(cluster, durable=durable)
        # Not below data_dir: a socket's path has at most 107 bytes (103 on macOS).
        sockets = unwinding.enter_context(_private_folder(cluster, prefix=_SOCKETS))
        server = Server(cluster, sockets, {**({} if durable else _UNDURABLE), **settings})
        unwinding.callback(server.stop)
        server.start()
        yield server


def make_folder(path: Path) -> None:
    """Make a folder that others may pass through but not write to, whatever the umask; leave one that is there.

    Raises:
        OSError: it cannot be made.
    """
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o711)


@contextmanager
def _locked(data_dir: Path) -> Iterator[None]:
    try:
        make_folder(data_dir)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        lock = os.fdopen(os.open(data_dir / "lock", flags, 0o600), "r+")
    except OSError as error:
        raise EmbeddedError(
            f"{data_dir} cannot hold a database ({error.strerror or type(error).__name__}):"
            " set AUTHSVC_DATA_DIR to a folder of yours."
        ) from error
    with lock:
        lock.seek(0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedError(
                f"{data_dir} is in use by process {lock.read() or '(unknown)'}:"
                " stop that process, or set AUTHSVC_DATA_DIR to another folder."
            ) from None
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _clear_leftovers(path: Path) -> None:
    """Clear what a killed run left: a half-made cluster, a server nobody owns, a stale postmaster.pid.

    The caller holds the lock, so whatever still runs here has lost its owner.
    """
    for staging in path.parent.glob(f"{_STAGING}*"):
        shutil.rmtree(staging, ignore_errors=True)
    lines = _postmaster_file(path)
    if lines and lines[0].isdecimal():
        pid = int(lines[0])
        if _serves(pid, path) and not _end(pid, lambda: _serves(pid, path)):
            raise EmbeddedError(
                f"Process {pid}, left by an earlier run, still serves {path}:"
                " kill it, or set AUTHSVC_DATA_DIR to another folder."
            )
    # PostgreSQL would refuse to start while the pid lives on as something else or as a zombie. Should a server be
    # missed here, its shared memory still keeps a second one out.
    (path / "postmaster.pid").unlink(missing_ok=True)
    if len(lines) > 4 and Path(lines[4]).name.startswith(_SOCKETS):
        shutil.rmtree(lines[4], ignore_errors=True)


def _postmaster_file(path: Path) -> list[str]:
    """Return the lines of postmaster.pid: [0] is the process id, [4] the socket folder, [7] the state."""
    try:
        return (path / "postmaster.pid").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _serves(pid: int, path: Path) -> bool:
    """Tell whether the process is a living server of this cluster; a zombie has no command line, so it is none."""
    try:
        if Path("/proc/self/cmdline").exists():
            command = os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ")
        else:
            command = subprocess.run(
                ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
            ).stdout
    except OSError:  # it ended meanwhile
        return False
    return f"/postgres -D {path} " in command


def _until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait until the condition holds, and tell whether it did in that time."""
    deadline = time.monotonic() + seconds
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds


def _end(pid: int, is_alive: Callable[[], bool]) -> bool:
    """End a server: politely, then without a checkpoint, then at once; tell whether it is gone."""
    for number, seconds in ((signal.SIGINT, 20), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)):
        with suppress(ProcessLookupError):
            if is_alive():
                os.kill(pid, number)
                os.kill(pid, signal.SIGCONT)  # it may have been suspended
        if _until(lambda: not is_alive(), seconds):
            return True
    return False


def _owner(path: Path) -> tuple[int, int]:
    """Return the uid and gid for a server that root starts: PostgreSQL refuses to be root."""
    if path.exists() and (status := path.stat()).st_uid != 0:
        return status.st_uid, status.st_gid
    return _NOBODY, _NOBODY


def _become(owner: tuple[int, int], binaries: Path, data_dir: Path) -> tuple[str, ...]:
    """Return the start of a command line that turns root into the owner.

    The owner may be unable to reach the binaries or the data, for instance below /root. The first remedy that works is
    taken: none, passing through closed folders, and last (a package installed with umask 077) passing every permission.
    Opening the folders instead would outlive us.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise EmbeddedError(
            "PostgreSQL does not run as root, and `setpriv` is missing to change the user:"
            " install the package util-linux, or run this as an ordinary user."
        )
    uid, gid = owner
    said = ""
    for extra in ("", "dac_read_search", "dac_override"):
        become: tuple[str, ...] = (
            setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups",
            f"--inh-caps=-all{extra and ',+' + extra}", f"--ambient-caps=-all{extra and ',+' + extra}",
        )  # fmt: skip
        if (
            extra
        ):  # access(2), by which initdb looks for `postgres`, would else ignore the capabilities of a non-root user
            become += ("--securebits=+no_setuid_fixup",)
        probe = subprocess.run(
            [*become, "sh", "-c", '"$1" --version && cd "$2" && cd "$3"', "probe",
             binaries / "postgres", data_dir, tempfile.gettempdir()],
            capture_output=True, text=True, errors="replace", check=False, cwd="/", env=ENVIRONMENT,
        )  # fmt: skip
        if probe.returncode == 0:
            return become
        said = probe.stderr.strip()
    raise EmbeddedError(
        f"PostgreSQL does not run as root, and user {uid} reaches not both {binaries} and {data_dir} ({said}):"
        " set AUTHSVC_DATA_DIR and AUTHSVC_PG_BIN to folders open to every user, or run this as an ordinary user."
    )


def _initialise(cluster: _Cluster, *, durable: bool) -> None:
    """Make the cluster and its database aside and move it into place whole: no half-made one is ever started."""
    home = cluster.path.parent
    with _private_folder(cluster, prefix=_STAGING, parent=home) as staging:
        options = ["--auth=trust", "--encoding=UTF8", "--locale-provider=libc", *([] if durable else ["--no-sync"])]
        for locale in ("C.UTF-8", "C"):  # not every system has the former
            where = ("-D", str(staging), f"--username={_NAME}")
            done = cluster.run("initdb", *where, *options, f"--locale={locale}")
            if done.returncode == 0:
                break
        if done.returncode == 0:
            strict = ("-c", "exit_on_error=on", "-c", f"fsync={'on' if durable else 'off'}")
            create = f"create database {_NAME}\n"
            done = cluster.run("postgres", "--single", "-D", str(staging), *strict, "postgres", text=create)
        if done.returncode != 0:
            raise EmbeddedError(
                f"PostgreSQL {cluster.installation.major} could not make a cluster in {home}: mend what it says, or set"
                f" AUTHSVC_DATA_DIR to another folder.\n{done.stderr.strip()}"
            )
        staging.rename(cluster.path)
    folder = os.open(home, os.O_RDONLY)
    os.fsync(folder)  # else a power cut could undo the rename, and with it everything written since
    os.close(folder)


@contextmanager
def _private_folder(cluster: _Cluster, prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """Make a folder that only the server's user (and root) can enter; remove it if it is still there at the end."""
    with tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True) as name:
        if cluster.owner:
            os.chown(name, *cluster.owner)
        yield Path(name)
