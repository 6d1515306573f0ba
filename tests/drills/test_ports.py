"""Ports for the programs that the drills, the benches and the tests start: drills/ports.py."""

import socket
import sys

import pytest

from drills.ports import free_ports


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps a port that is bound and not listened on")
def test_a_port_is_given_to_nobody_else_until_a_server_asks_for_it() -> None:
    (port,) = free_ports(1)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == ("127.0.0.1", port)
    with socket.create_server(("127.0.0.1", port)):
        pass
