"""Running the composed service: two ports up, signals, and the way down.

SIGTERM turns /readyz to 503 while requests are still taken (load balancers notice), then the listening sockets close,
what is in flight finishes (a hash included), and the pool closes last.
"""

import asyncio
import logging
import signal
from collections.abc import Callable

import structlog
import uvloop
from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from authsvc.app import compose
from authsvc.config import Config

MAX_LINE_BYTES = 4096
MAX_FIELD_BYTES = 8190
# Also the longest wait for a request's headers.
KEEPALIVE_SECONDS = 75


class ServerError(Exception):
    """The service cannot run here; the message is one sentence that says what to do."""


def run(config: Config, on_ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT; `on_ready` is called when both ports are open.

    Raises:
        ServerError: a port cannot be opened, or aiohttp runs without its C parser.
        ConfigError: the database URL cannot be used.
    """
    if HttpRequestParser is HttpRequestParserPy:
        raise ServerError("aiohttp runs without its C parser: install its wheel, and unset AIOHTTP_NO_EXTENSIONS.")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(config, on_ready))


async def _serve(config: Config, on_ready: Callable[[], None]) -> None:
    service, http, log = compose(config), config.http, structlog.get_logger()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    public = _runner(service.public, http.shutdown_seconds)
    admin = _runner(service.admin, 1)
    try:
        await _listen(public, http.host, http.port, "AUTHSVC_PORT")
        await _listen(admin, http.admin_host, http.admin_port, "AUTHSVC_ADMIN_PORT")
        log.info("serving", url=http.public_url, host=http.host, port=http.port, admin_port=http.admin_port)
        on_ready()
        await stop.wait()
        service.readiness.draining = True
        log.info("draining", seconds=http.drain_seconds)
        await asyncio.sleep(http.drain_seconds)
    finally:
        await public.cleanup()
        await admin.cleanup()
    log.info("stopped")


def _runner(app: web.Application, shutdown_seconds: float) -> web.AppRunner:
    return web.AppRunner(
        app,
        access_log=None,
        logger=logging.getLogger("aiohttp.server"),
        keepalive_timeout=KEEPALIVE_SECONDS,
        shutdown_timeout=shutdown_seconds,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_FIELD_BYTES,
        auto_decompress=False,
    )


async def _listen(runner: web.AppRunner, host: str, port: int, setting: str) -> None:
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=1024).start()
    except OSError as error:
        raise ServerError(
            f"Port {port} on {host} cannot be opened ({error.strerror or type(error).__name__}): stop what uses it, or"
            f" set {setting} to another."
        ) from None
