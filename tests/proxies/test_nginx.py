"""examples/nginx.conf in a real nginx, between a client and a small service, with authsvc beside it."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from authsvc.config import Config
from drills.ports import free_ports
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import composed

Nginx = aiohttp.ClientSession

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "nginx.conf"
PLACES = ("nginx", "/usr/sbin/nginx", str(ROOT / "build" / "nginx" / "usr" / "sbin" / "nginx"))
PATIENCE = 30
# What the example says for a machine: everything else of nginx stays in a folder of the test.
MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr warn;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  include {folder}/example.conf;
}}
"""


class Backend:
    """A service that knows nothing of tokens: it keeps what it was asked, and says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, list[str]], bytes]] = []
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._keep)
        self.server = TestServer(app)

    async def _keep(self, request: web.Request) -> web.Response:
        headers = {name.lower(): request.headers.getall(name) for name in request.headers}
        self.asked.append((request.method, request.raw_path, headers, await request.read()))
        return web.Response(text="from the service")


@pytest.fixture(scope="session")
def nginx_binary() -> str:
    path = next((path for each in PLACES if (path := shutil.which(each))), None)
    if path is not None:
        return path
    advice = "There is no nginx: run tests/install-nginx."
    if os.environ.get("CI") == "true":  # noqa: TID251 - the tests' own
        pytest.fail(advice)
    pytest.skip(advice)


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    backend = Backend()
    await backend.server.start_server()
    yield backend
    await backend.server.close()


@pytest.fixture
async def nginx(nginx_binary: str, client: Client, backend: Backend, tmp_path: Path) -> AsyncIterator[Nginx]:
    """Return a client of nginx; every port is one of 127.0.0.1."""
    (port,) = free_ports(1)
    example = EXAMPLE.read_text("utf-8")
    for given, ours in ((8080, client.port), (8081, backend.server.port), (8082, port)):
        assert example.count(f"127.0.0.1:{given};") == 1
        example = example.replace(f"127.0.0.1:{given};", f"127.0.0.1:{ours};")
    (tmp_path / "example.conf").write_text(example)
    # Its workers would else be nobody, who may not enter this folder.
    (tmp_path / "nginx.conf").write_text(MAIN.format(folder=tmp_path, user="user root;" if os.geteuid() == 0 else ""))
    command = [nginx_binary, "-e", "stderr", "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    with (tmp_path / "said").open("wb") as said:
        process = await asyncio.create_subprocess_exec(*command, stderr=said)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", cookie_jar=aiohttp.DummyCookieJar()) as session:
        await until(lambda: _listens(port), (tmp_path / "said").read_text)
        yield session
    process.terminate()
    assert await process.wait() == 0


async def until(condition: Callable[[], Awaitable[bool]], story: Callable[[], str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not await condition():
        assert time.monotonic() < deadline, story()
        await asyncio.sleep(0.02)


async def _listens(port: int) -> bool:
    try:
        _reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def test_the_service_learns_who_is_asking_and_sees_the_request_as_it_was(
    nginx: Nginx, client: Client, backend: Backend
) -> None:
    user, token = await make.user(client), await make.access_token(client)
    [session] = (await (await client.get("/api/auth/sessions", headers=make.bearer(token))).json())["sessions"]
    body = b"x" * 100_000  # more than nginx keeps in memory
    response = await nginx.post("/orders/7?page=2", data=body, headers=make.bearer(token))
    assert (response.status, await response.text()) == (200, "from the service")
    [(method, path, headers, received)] = backend.asked
    assert (method, path, received) == ("POST", "/orders/7?page=2", body)
    assert headers["x-auth-user-id"] == [user["id"]]
    assert headers["x-auth-session-id"] == [session["id"]]
    assert "authorization" not in headers


async def test_what_a_client_says_of_itself_never_arrives(nginx: Nginx, client: Client, backend: Backend) -> None:
    user, token = await make.user(client), await make.access_token(client)
    forged = [("X-Auth-User-Id", "root"), ("x-auth-user-id", "root"), ("X_Auth_User_Id", "root")]
    await nginx.get("/", headers=[*forged, ("X-Auth-Session-Id", "root"), *make.bearer(token).items()])
    [(_, _, headers, _)] = backend.asked
    assert headers["x-auth-user-id"] == [user["id"]]
    assert not [name for name, values in headers.items() if "root" in values]


@pytest.mark.parametrize(
    "headers, challenge",
    [({}, "Bearer"), (make.bearer("nonsense"), 'Bearer error="invalid_token"'), ({"X-Auth-User-Id": "root"}, "Bearer")],
)
async def test_who_has_no_good_token_gets_the_challenge_and_the_service_hears_nothing(
    headers: dict[str, str], challenge: str, nginx: Nginx, backend: Backend
) -> None:
    for method in ("GET", "POST"):
        response = await nginx.request(method, "/orders", headers=headers)
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, challenge)
    assert backend.asked == []


async def test_after_a_logout_at_another_instance_nobody_passes_within_the_bound(
    nginx: Nginx, client: Client, config: Config, clock: FrozenClock, serve: Serve
) -> None:
    await make.user(client)
    token = await make.access_token(client)
    assert (await nginx.get("/", headers=make.bearer(token))).status == 200
    other = await serve(await composed(config, clock))
    assert (await other.post("/api/auth/logout", headers=make.bearer(token))).status == 204

    async def is_refused() -> bool:
        return (await nginx.get("/", headers=make.bearer(token))).status == 401

    await until(is_refused, lambda: "the session still passes")


async def test_a_browsers_cookie_passes_but_not_with_what_another_site_sends(
    nginx: Nginx, client: Client, backend: Backend
) -> None:
    await make.user(client)
    cookie = {"Cookie": f"access_token={await make.access_token(client)}"}
    for site in ("same-site", "cross-site"):
        assert (await nginx.post("/", headers={**cookie, "Sec-Fetch-Site": site})).status == 403
    assert backend.asked == []
    assert (await nginx.get("/", headers={**cookie, "Sec-Fetch-Site": "cross-site"})).status == 200
    for allowed in ({"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}):
        assert (await nginx.post("/", headers={**cookie, **allowed})).status == 200


async def test_nobody_asks_the_inner_location_from_outside(nginx: Nginx, client: Client, backend: Backend) -> None:
    await make.user(client)
    token = await make.access_token(client)
    assert (await nginx.get("/_verify", headers=make.bearer(token))).status == 404
    assert backend.asked == []


async def test_without_authsvc_nobody_passes(nginx: Nginx, client: Client, backend: Backend) -> None:
    await make.user(client)
    token = await make.access_token(client)
    assert (await nginx.get("/", headers=make.bearer(token))).status == 200
    await client.close()
    response = await nginx.get("/", headers=make.bearer(token))
    assert response.status >= 500
    assert len(backend.asked) == 1
