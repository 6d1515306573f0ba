"""Ports for the programs that the drills, the benches and the tests start."""

import atexit
import socket
import sys
from contextlib import ExitStack

# Bound and never listening: the kernel gives such a port to nobody else, neither for a connection nor for port 0, and
# a program that asks for it with SO_REUSEADDR, as servers do, gets it (socket(7), as Linux reads it).
_held = ExitStack()
atexit.register(_held.close)


def free_ports(number: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody uses. On Linux nobody else is given them while this process runs."""
    sockets = [socket.socket() for _ in range(number)]
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        if sys.platform == "linux":
            _held.enter_context(each)
        else:
            each.close()
    return ports
