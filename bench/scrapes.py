"""What a scrape costs: with all series that there can be, and for those who are served meanwhile."""

import asyncio
import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import product
from statistics import median
from urllib.parse import urlsplit

from aiohttp import web

from authsvc.app import Service, compose
from authsvc.config import Config
from authsvc.metrics import METHODS
from authsvc.web.routes import ROUTES
from bench import wrk
from bench.report import Figure, at_least, at_most
from bench.stage import Instance, Stage

SCRAPES = 200
SCRAPE_SECONDS = 1
CLASSES = (200, 302, 404, 503)


def scrape(stage: Stage) -> list[Figure]:
    """A scrape with all series, and GET /api/auth/me with one each second beside none."""
    config = Config.read({"AUTHSVC_DATABASE_URL": stage.database_url, "AUTHSVC_JWT_KEYS": stage.keys})
    milliseconds, lines = asyncio.run(_render(compose(config)))
    _use(stage.service)
    alone, ratios = [], []
    # What the machine does beside changes slower than a turn: each turn has its own ratio, over both orders.
    for _turn in stage.effort.turns():
        rates: dict[bool, float] = {False: 0, True: 0}
        for scraped in (False, True, True, False):
            with _scraping(stage.service, scraped):
                rates[scraped] += _rate(stage) / 2
        alone.append(rates[False])
        ratios.append(rates[True] / rates[False])
    name = f"(j) a scrape with all series there can be, {lines:,} lines, median of {SCRAPES}"
    name_of_me = "    GET /api/auth/me with a scrape each second over none, 32 clients"
    return [
        at_most(name, milliseconds, 10),
        Figure("    over HTTP, of an instance whose routes were each asked", f"{_over_http(stage.service):.1f} ms"),
        at_least(name_of_me, median(alone) * median(ratios), median(alone), 0.98),
    ]


async def _render(service: Service) -> tuple[float, int]:
    """Return how long the event loop is held up by a scrape, and how many lines it has."""
    runner = web.AppRunner(service.public)
    await runner.setup()
    try:
        for route, status in product(service.public[ROUTES].items(), CLASSES):
            service.metrics.request(route[0].method, route[1].path, status, 0.01)
        for method, status in product([*METHODS, "other"], CLASSES):
            service.metrics.request(method, "unmatched", status, 0.01)
        taken = []
        for _ in range(SCRAPES):
            await asyncio.sleep(0)
            # Its own time alone: what else runs on the machine is not the matter.
            began = time.thread_time()
            text = service.metrics.render()
            taken.append(time.thread_time() - began)
        return median(taken) * 1000, text.count(b"\n")
    finally:
        await runner.cleanup()


def _use(instance: Instance) -> None:
    """Ask for every path of the API's description by every method that it has there, and by one that it has not."""
    with urllib.request.urlopen(f"{instance.url}/api/openapi.json", timeout=30) as response:  # noqa: S310 - our own address
        paths = json.loads(response.read())["paths"]
    for path, operations in paths.items():
        for method in [*(each for each in operations if each in ("get", "post", "delete")), "put"]:
            url = instance.url + path.replace("{", "").replace("}", "")
            request = urllib.request.Request(url, method=method.upper())  # noqa: S310
            try:
                urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
            except urllib.error.HTTPError as error:
                error.close()


@contextmanager
def _scraping(instance: Instance, wanted: bool) -> Iterator[None]:  # noqa: FBT001 - one of two ways to measure
    """Scrape each second meanwhile, where it is `wanted`."""
    over = threading.Event()

    def repeat() -> None:
        while not over.wait(SCRAPE_SECONDS):
            _scrape(instance)

    thread = threading.Thread(target=repeat)
    if wanted:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if wanted:
            thread.join()


def _scrape(instance: Instance) -> bytes:
    with urllib.request.urlopen(f"{instance.admin_url}/metrics", timeout=30) as response:  # noqa: S310 - our own address
        text: bytes = response.read()
    return text


def _over_http(instance: Instance) -> float:
    taken = []
    with closing(http.client.HTTPConnection(urlsplit(instance.admin_url).netloc, timeout=30)) as connection:
        for _ in range(SCRAPES):
            began = time.perf_counter()
            connection.request("GET", "/metrics")
            connection.getresponse().read()
            taken.append(time.perf_counter() - began)
    return median(taken) * 1000


def _rate(stage: Stage) -> float:
    url = f"{stage.service.url}/api/auth/me"
    return wrk.run(url, clients=32, seconds=stage.effort.seconds, header=stage.bearer).rate
