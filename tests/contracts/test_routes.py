"""The route table: who may call what, and a description that is valid OpenAPI 3.1."""

import dataclasses
import json
from collections.abc import Sequence

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from openapi_spec_validator import OpenAPIV31SpecValidator

from authsvc.app import Service
from authsvc.web import openapi, routes
from authsvc.web.routes import AROUND, ROUTES, Answer, Route
from tests.conftest import Client, Serve

# To open a route to everyone is a decision, made here too.
PUBLIC = """
GET /
GET /.well-known/change-password
GET /.well-known/jwks.json
GET /.well-known/oauth-authorization-server
GET /api/docs
GET /api/openapi.json
GET /login
GET /register
GET /static/app.css
GET /static/app.js
GET /static/favicon.svg
POST /api/auth/introspect
POST /api/auth/login
POST /api/auth/refresh
POST /api/auth/register
POST /api/auth/revoke
POST /login
POST /logout
POST /register
"""
ADMIN = ("/livez", "/readyz", "/metrics")


def table_of(service: Service) -> Sequence[Route]:
    return list(dict.fromkeys(service.public[ROUTES].values()))


def test_the_public_routes_are_these_and_no_others(service: Service) -> None:
    found = sorted(f"{route.method} {route.path}" for route in table_of(service) if route.public)
    assert found == PUBLIC.split("\n")[1:-1]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_route_that_nobody_declared_public_is_closed(method: str, service: Service, serve: Serve) -> None:
    """MW-05 (ASVS 8.3.1, CWE-862): closed by default."""

    async def forgotten(_request: web.Request) -> web.Response:
        pytest.fail("it was called")

    app = web.Application()
    route = Route(method, "/forgotten", forgotten, "Forgotten.", (Answer(303, "On to the login."),))
    page = dataclasses.replace(route, method="GET", path="/forgotten-page", page=True)
    routes.install(app, [*table_of(service), route, page], service.public[AROUND])
    client = await serve(app)
    response = await client.request(method, "/forgotten")
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
    response = await client.get("/forgotten-page", allow_redirects=False)
    assert (response.status, response.headers["Location"]) == (303, "/login?next=%2Fforgotten-page")


def test_the_router_holds_nothing_but_the_table(service: Service) -> None:
    (unmatched,) = set(service.public.router.routes()) - service.public[ROUTES].keys()
    assert (unmatched.method, unmatched.handler.__qualname__.partition(".")[0]) == ("*", "observe")
    assert not service.public._subapps


async def test_a_path_in_its_own_words_leads_where_the_router_leads(service: Service) -> None:
    """What spares the router its work opens no second way in (CWE-288)."""
    asked: list[str] = []

    async def router(request: web.Request) -> web.StreamResponse:
        asked.append(request.raw_path)
        return web.Response()

    seen: list[web.Request] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return web.Response()

    app = web.Application()
    routes.install(app, table_of(service), [lambda _route, _handler: handler])
    answer = routes.without_detour(app, router)
    for entry, route in app[ROUTES].items():
        await answer(make_mocked_request(entry.method, route.path))
        if "{" in route.path:
            assert asked.pop() == route.path
            continue
        request = seen.pop()
        found = await app.router.resolve(request)
        assert (request.match_info.route, dict(request.match_info)) == (found.route, dict(found)), route.path
        assert request.app is app
        for other in (f"{route.path}?a", f"{route.path}/", route.path.replace("a", "%61"), f"http://a{route.path}"):
            if other != route.path:
                await answer(make_mocked_request(entry.method, other))
                assert asked.pop() == other
        await answer(make_mocked_request("TRACE", route.path))
        await answer(make_mocked_request(entry.method, route.path, {"Expect": "100-continue"}))
        assert asked == [route.path] * 2
        asked.clear()
    assert not seen


def test_every_route_is_described_once(service: Service) -> None:
    table = table_of(service)
    described = [
        (method.upper(), path)
        for path, item in openapi.document(table, "http://127.0.0.1:8080")["paths"].items()
        for method in item
    ]
    assert sorted(described) == sorted((route.method, route.path) for route in table)


def test_the_description_is_valid_openapi_3_1(service: Service) -> None:
    document = openapi.document(table_of(service), "http://127.0.0.1:8080")
    assert document["openapi"] == "3.1.0"
    written = json.loads(json.dumps(document))
    assert [error.message for error in OpenAPIV31SpecValidator(written).iter_errors()] == []


async def test_the_description_that_is_served_is_that_of_the_route_table(service: Service, client: Client) -> None:
    served = await (await client.get("/api/openapi.json")).json()
    assert served == openapi.document(table_of(service), "http://127.0.0.1:8080")


def test_operation_ids_are_unique(service: Service) -> None:
    document = openapi.document(table_of(service), "http://127.0.0.1:8080")
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("path", ADMIN)
async def test_the_admin_port_and_it_alone_answers_for_operators(path: str, client: Client, admin: Client) -> None:
    assert (await admin.get(path)).status == 200
    assert (await client.get(path)).status == 404
