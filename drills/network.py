"""The way from the instances to PostgreSQL: a link of its own where one can be made, or else the relay alone.

With the right to do so (root, and iproute2) the relay listens in a network namespace, behind a pair of veth devices:
the kernel itself loses the packets then, or says that there is no way. Without it the relay does what it can.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from drills.relay import Relay

# RFC 2544: set aside for measurements, and routed nowhere.
RANGE = "198.18"
INSIDE = "inside"


@dataclass(frozen=True)
class Network:
    """What the faults do to it; `link` is None where there is the relay alone."""

    relay: Relay
    link: "Link | None"

    @property
    def sentence(self) -> str:
        """Return how it is made, for the report."""
        if self.link is None:
            return "The network is a relay in the drill: a namespace needs root and iproute2."
        delay = "`tc netem`" if self.link.has_netem else "the relay behind it, for want of netem in that kernel"
        return (
            "The network is a veth pair into a namespace of its own: it is cut by taking down the near end, silent by"
            f" taking down the far end, and slow by {delay}."
        )

    def cut(self) -> AbstractAsyncContextManager[None]:
        """Let nothing through, and say so: there is no way, or the connection is reset."""
        return self.relay.cut() if self.link is None else self.link.down()

    def silent(self) -> AbstractAsyncContextManager[None]:
        """Let nothing through, and tell nobody."""
        return self.relay.silent() if self.link is None else self.link.silent()

    def slow(self, seconds: float) -> AbstractAsyncContextManager[None]:
        """Have each answer come later."""
        return self.link.slow(seconds) if self.link is not None and self.link.has_netem else self.relay.slow(seconds)


@dataclass(frozen=True)
class Link:
    """A veth pair: `near` in our own namespace, `INSIDE` in the one called `name`."""

    name: str
    address: str
    near: str
    has_netem: bool

    @asynccontextmanager
    async def down(self) -> AsyncIterator[None]:
        """Take down the near end: from there on there is no route."""
        _ip("link", "set", self.near, "down")
        try:
            yield
        finally:
            _ip("link", "set", self.near, "up")

    @asynccontextmanager
    async def silent(self) -> AsyncIterator[None]:
        """Take down the far end: what is sent is lost."""
        _ip("-n", self.name, "link", "set", INSIDE, "down")
        try:
            yield
        finally:
            _ip("-n", self.name, "link", "set", INSIDE, "up")

    @asynccontextmanager
    async def slow(self, seconds: float) -> AsyncIterator[None]:
        """Hold up each packet of the far end."""
        _netem(self.name, "add", "delay", f"{seconds * 1000:.0f}ms")
        try:
            yield
        finally:
            _netem(self.name, "del")


@contextmanager
def made() -> Iterator[tuple[socket.socket, Link | None]]:
    """Lend a socket that listens at the far end of a link; on loopback, and no link, where none can be made."""
    with ExitStack() as stack:
        if os.geteuid() or not shutil.which("ip") or not _tried("netns", "add", name := f"drill-{os.getpid()}"):
            yield stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512)), None
            return
        stack.callback(_ip, "netns", "del", name)
        near, block = f"drill{os.getpid()}", os.getpid() % (1 << 14) * 4
        net = f"{RANGE}.{block >> 8}"
        ours, theirs = f"{net}.{(block & 255) + 1}", f"{net}.{(block & 255) + 2}"
        if not _tried("link", "add", near, "type", "veth", "peer", "name", INSIDE, "netns", name):
            yield stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=512)), None
            return
        # It would end with its namespace, and that only when its last socket is closed.
        stack.callback(_ip, "link", "del", near)
        # Where the link is down, nothing may go to the default route.
        unreachable = ("unreachable", f"{net}.{block & 255}/30", "metric", "1000")
        _ip("route", "add", *unreachable)
        stack.callback(_ip, "route", "del", *unreachable)
        _ip("address", "add", f"{ours}/30", "dev", near)
        _ip("link", "set", near, "up")
        _ip("-n", name, "address", "add", f"{theirs}/30", "dev", INSIDE)
        _ip("-n", name, "link", "set", INSIDE, "up")
        has_netem = _netem(name, "add", "delay", "0ms", must=False) and _netem(name, "del")
        listening = stack.enter_context(_listening(name, theirs))
        yield listening, Link(name, theirs, near, has_netem)


def _listening(name: str, address: str) -> socket.socket:
    """Return a socket that another process has opened in the namespace: a socket stays where it was made."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-m", __name__, str(theirs.fileno()), address]
        subprocess.run(["ip", "netns", "exec", name, *command], check=True, pass_fds=[theirs.fileno()])
        _data, [descriptor], _flags, _address = socket.recv_fds(ours, 1, 1)
    return socket.socket(fileno=descriptor)


def _send_listening(descriptor: str, address: str) -> None:
    with socket.socket(fileno=int(descriptor)) as to, socket.create_server((address, 0), backlog=512) as made:
        socket.send_fds(to, [b"."], [made.fileno()])


def _netem(name: str, verb: str, *what: str, must: bool = True) -> bool:
    if not shutil.which("tc"):
        return False
    command = ["tc", "-n", name, "qdisc", verb, "dev", INSIDE, "root", "netem", *what]
    return subprocess.run(command, capture_output=True, check=must).returncode == 0


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], capture_output=True, check=True)


def _tried(*words: str) -> bool:
    return subprocess.run(["ip", *words], capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    _send_listening(*sys.argv[1:])
