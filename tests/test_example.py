"""examples/protected_service.py, against a running issuer."""

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from authsvc.app import compose
from authsvc.config import Config
from drills.ports import free_ports
from tests import make
from tests.conftest import Serve

EXAMPLE = Path(__file__).parent.parent / "examples" / "protected_service.py"


@pytest.fixture
def application() -> Callable[..., web.Application]:
    spec = importlib.util.spec_from_file_location("protected_service", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., web.Application] = module.application
    return found


@pytest.fixture
def issuer(config: Config) -> TestServer:
    """An issuer that calls itself by the address it listens on, as the example expects it."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    tokens = dataclasses.replace(config.tokens, issuer=url)
    return TestServer(compose(dataclasses.replace(config, tokens=tokens)).public, port=port)


async def test_the_example_knows_who_is_asking(
    issuer: TestServer, serve: Serve, application: Callable[..., web.Application]
) -> None:
    async with TestClient(issuer) as client:
        user = await make.user(client)
        token = await make.access_token(client)
        example = await serve(application(str(issuer.make_url("")).rstrip("/")))
        assert (await example.get("/")).status == 200
        assert (await example.get("/hello")).status == 401
        greeted = await example.get("/hello", headers=make.bearer(token))
        assert await greeted.json() == {"hello": user["id"]}
