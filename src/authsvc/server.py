"""Running the composed service: two ports up, signals, and the way down.

SIGTERM turns /readyz to 503 while requests are still taken (load balancers notice), then the listening sockets close,
what is in flight finishes (a hash included), and the pool closes last.
"""

import asyncio
import gc
import re
import resource
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import structlog
import uvloop
from aiohttp import HttpVersion, hdrs, web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy
from multidict import CIMultiDict

from authsvc import logs, machine
from authsvc.app import Service, compose
from authsvc.config import Config
from authsvc.connections import TAKE_SECONDS, Connection, Connections
from authsvc.passwords import memory_left
from authsvc.web.routes import MALFORMED, without_detour

MAX_CONNECTIONS = 10_000
# However little memory there is: those of SERVICE_MIB in passwords.py.
LEAST_CONNECTIONS = 64
# The most that a connection was seen to take: 400 KiB for requests that wait behind one another, each with as many
# fields as there may be, and the kernel's 64. Idle ones cost about 10 KiB each.
CONNECTION_BYTES = 512 * 1024
MAX_ADMIN_CONNECTIONS = 64
# File descriptors for all that is no connection of a client or of the pool.
RESERVED_FILES = 128
# What one read can bring, about: of it the parser keeps what is no whole request yet. No body is larger.
RECEIVE_BYTES = 16 * 1024
# What the kernel keeps of answers that are not taken; by itself it lets that grow to 4 MiB.
SEND_BYTES = 16 * 1024
# RFC 3986 §3.2.2: a name or an address, and a port. HTTP/1.0 needs none.
_HOST = re.compile(r"(?:[\w.~!$&'()*+,;=%-]*|\[[0-9a-fA-F:.]+\])(?::\d*)?", re.ASCII)


class ServerError(Exception):
    """The service cannot run here; the message is one sentence that says what to do."""


def run(config: Config, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is called when both ports are open.

    Both signals stay taken when this returns: a second one must not interrupt what its caller still has to put away.

    Raises:
        ServerError: a port cannot be opened, or aiohttp runs without its C parser.
        ConfigError: the database URL cannot be used, or the hashes do not fit into the memory.
    """
    if HttpRequestParser is HttpRequestParserPy:
        raise ServerError("aiohttp runs without its C parser: install its wheel, and unset AIOHTTP_NO_EXTENSIONS.")
    service = compose(config)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        loop, stop = runner.get_loop(), asyncio.Event()

        def ask_to_stop(*_signal: object) -> None:
            with suppress(RuntimeError):  # the loop is closed: it was asked already
                loop.call_soon_threadsafe(stop.set)

        # Not the loop's own handlers: these would end with it.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, ask_to_stop)
        with logs.in_the_background():
            runner.run(_serve(service, config, stop, on_ready))


async def _serve(service: Service, config: Config, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
    http, log = config.http, structlog.get_logger()
    most = connections_that_fit(config, machine.memory_limit())
    public = _Port(service.public, most)
    service.metrics.gauge("authsvc_http_connections", "Open connections of the public port.", public.connections)
    service.metrics.gauge(
        "authsvc_http_connections_max", "Most connections that the public port may have open.", lambda: most
    )
    admin = _Port(service.admin, MAX_ADMIN_CONNECTIONS)
    try:
        await public.open(http.host, http.port, "AUTHSVC_PORT")
        await admin.open(http.admin_host, http.admin_port, "AUTHSVC_ADMIN_PORT")
        # What is there now stays: the collector need not walk through it again for every few requests.
        gc.collect()
        gc.freeze()
        if not config.limits.enabled:
            log.warning(
                "limits_off", advice="Passwords can be guessed as fast as they are hashed: set AUTHSVC_LIMITS=on."
            )
        log.info(
            "serving",
            url=http.public_url,
            host=http.host,
            port=http.port,
            admin_port=http.admin_port,
            most_connections=most,
        )
        on_ready()
        await stop.wait()
        service.readiness.draining = public.draining = True
        log.info("draining", seconds=http.drain_seconds)
        await asyncio.sleep(http.drain_seconds)
    finally:
        await public.close(http.shutdown_seconds)
        await admin.close(0)
    log.info("stopped")


def connections_that_fit(config: Config, limit: int | None) -> int:
    """Return how many connections of clients the memory is enough for, of which the process may use `limit` bytes.

    Or the file descriptors, where these are fewer: the process is allowed all that it may have.

    Raises:
        ConfigError: the memory is not enough for the hashes.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS has a lower bound of its own than the one it tells
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    files = MAX_CONNECTIONS * 2 if most == resource.RLIM_INFINITY else most
    by_files = files - RESERVED_FILES - config.database.pool_size - MAX_ADMIN_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, by_files, connections_by_memory(config, limit)))


def connections_by_memory(config: Config, limit: int | None) -> int:
    """Return how many connections of clients the memory alone is enough for; `limit` and errors as above."""
    room = memory_left(config, limit) / CONNECTION_BYTES
    return LEAST_CONNECTIONS + int(min(MAX_CONNECTIONS, room))


class _Port:
    """An application on its listening socket; waits at its end for what is in flight."""

    def __init__(self, app: web.Application, limit: int = MAX_CONNECTIONS) -> None:
        self.draining = False
        self._connections = Connections(limit)
        self._sockets: asyncio.Server | None = None
        # `close` has waited before: what is left then is cut.
        self._app, self._runner = app, web.AppRunner(app, access_log=None, shutdown_timeout=1)

    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._connections)

    async def open(self, host: str, port: int, setting: str) -> None:
        """Start the application and listen.

        Raises:
            ServerError: the port cannot be opened; the sentence names its `setting`.
        """
        await self._runner.setup()
        server = self._server()
        server.request_handler = self._counted(without_detour(self._app, server.request_handler))
        try:
            self._sockets = await asyncio.get_running_loop().create_server(self._accept, host, port, backlog=1024)
            for each in self._sockets.sockets:  # those that it accepts inherit all of it
                each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
                if sys.platform == "linux":  # the kernel's own end of waiting
                    each.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, TAKE_SECONDS * 1000)
        except OSError as error:
            raise ServerError(
                f"Port {port} on {host} cannot be opened ({error.strerror or type(error).__name__}): stop what uses"
                f" it, or set {setting} to another."
            ) from None

    async def close(self, seconds: float) -> None:
        """Stop listening, let what is in flight finish for at most `seconds`, and end the application.

        aiohttp's own way down comes last: from its begin on it reads no more of the bodies that are still arriving.
        """
        if self._sockets is not None:
            self._sockets.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._connections.all_answered()
        await self._runner.cleanup()

    def _server(self) -> web.Server:
        server = self._runner.server
        assert server is not None  # noqa: S101 - `open` has set it up
        return server

    def _accept(self) -> asyncio.Protocol:
        return self._connections.accept(self._server())

    def _counted(self, handle: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
        async def handler(request: web.Request) -> web.StreamResponse:
            connection: Connection = request.protocol  # type: ignore[assignment] # `_accept` has made it
            self._connections.asks(connection, request.content)
            malformed = not _is_http(request.version, request.headers.get(hdrs.HOST, ""))
            if malformed:
                request = _malformed(request)
            try:
                response: web.StreamResponse = await handle(request)
            except (web.HTTPException, UnicodeEncodeError):  # aiohttp's own, before any handler of ours
                response = await handle(_plain(request))
            finally:
                self._connections.waits(connection)
            if malformed or self.draining:
                response.force_close()  # the next request goes to another instance, or cannot be told from this one
            return response

        return handler


@lru_cache(maxsize=64)
def _is_http(version: HttpVersion, host: str) -> bool:
    """Tell whether it is HTTP/1 and has a Host that is one (RFC 9112 §3.2).

    aiohttp's parser takes 0.9, 2.0 and any text.
    """
    return version.major == 1 and _HOST.fullmatch(host) is not None


def _malformed(request: web.Request) -> web.Request:
    """Make it an unknown method at /, as what aiohttp's parser refuses by itself is from here on."""
    malformed = request.clone(method="UNKNOWN", rel_url="/", headers=CIMultiDict())
    malformed[MALFORMED] = True
    return malformed


def _plain(request: web.Request) -> web.Request:
    """Take away what aiohttp answers by itself, before any handler of ours.

    An Expect, which a server may (RFC 9110 §10.1.1): 100-continue is answered by now, and another aiohttp quotes,
    or answers 500 where it cannot. And a target without a path (`OPTIONS *`, CONNECT, `http://host`, RFC 9112 §3.2)
    means /.
    """
    if not request.rel_url.path_safe.startswith("/"):
        request = request.clone(rel_url="/")
    if hdrs.EXPECT in request.headers:
        # To clone what is no UTF-8 would be an error. Such bytes stand for nothing that is read here.
        headers = CIMultiDict((name, _in_utf8(value)) for name, value in request.headers.items())
        headers.popall(hdrs.EXPECT)
        request = request.clone(headers=headers)
    return request


def _in_utf8(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
