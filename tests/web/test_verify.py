"""GET /api/auth/verify, and its twin for Envoy."""

import pytest

from authsvc.app import Service
from authsvc.config import Config
from authsvc.refusals import DatabaseUnavailable
from authsvc.store.database import Database
from authsvc.store.leases import Lease
from authsvc.web.verify import SESSION_ID, USER_ID
from tests import make
from tests.conftest import Client, FrozenClock
from tests.web.helpers import CREDENTIALS, LOGIN, listening, problem

VERIFY, ENVOY = "/api/auth/verify", "/api/auth/verify/envoy"


async def logged_in(client: Client) -> tuple[str, str, str]:
    """Register and log in; return the access token, the user's id and the session's."""
    user = await make.user(client)
    token = await make.access_token(client)
    sessions = await (await client.get("/api/auth/sessions", headers=make.bearer(token))).json()
    return token, user["id"], sessions["sessions"][0]["id"]


async def test_a_good_bearer_is_answered_with_the_user_and_the_session(client: Client) -> None:
    token, user_id, session_id = await logged_in(client)
    for method in ("GET", "HEAD"):
        response = await client.request(method, VERIFY, headers=make.bearer(token))
        assert (response.status, await response.read()) == (204, b"")
        assert (response.headers[USER_ID], response.headers[SESSION_ID]) == (user_id, session_id)
        assert response.headers["Cache-Control"] == "no-store"


async def test_a_browsers_cookie_is_as_good_as_a_bearer(client: Client) -> None:
    user = await make.user(client)
    logged_in = await client.post(LOGIN, json=CREDENTIALS, headers={"Token-Delivery": "cookie"})
    assert logged_in.status == 204
    assert (await client.get(VERIFY)).headers[USER_ID] == user["id"]


async def test_what_a_client_claims_to_be_is_not_looked_at(client: Client) -> None:
    token, user_id, _ = await logged_in(client)
    response = await client.get(VERIFY, headers={**make.bearer(token), USER_ID: "somebody-else"})
    assert response.headers.getall(USER_ID) == [user_id]


@pytest.mark.parametrize("path", [VERIFY, f"{ENVOY}/"])
async def test_who_has_no_good_token_gets_the_challenge_and_no_name(path: str, client: Client) -> None:
    for headers, challenge in (
        ({}, "Bearer"),
        (make.bearer("nonsense"), 'Bearer error="invalid_token"'),
        ({"Authorization": "Basic YWRhOmFkYQ=="}, "Bearer"),
    ):
        response = await client.get(path, headers=headers)
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, challenge)
        assert not {USER_ID, SESSION_ID} & set(response.headers)


async def test_after_the_logout_nobody_passes(client: Client) -> None:
    token, _, _ = await logged_in(client)
    assert (await client.post("/api/auth/logout", headers=make.bearer(token))).status == 204
    await problem(await client.get(VERIFY, headers=make.bearer(token)), 401, "invalid_token")


async def test_a_known_session_passes_without_the_database_until_what_is_known_is_too_old(
    client: Client, config: Config, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, user_id, _ = await logged_in(client)

    def unreachable(_database: Database) -> Lease:
        raise DatabaseUnavailable

    monkeypatch.setattr(Database, "read", unreachable)
    await problem(await client.post(LOGIN, json=CREDENTIALS), 503, "temporarily_unavailable")
    response = await client.get(VERIFY, headers=make.bearer(token))
    assert (response.status, response.headers[USER_ID]) == (204, user_id)
    clock.advance(config.sessions.stale_seconds + 1)
    for path in (VERIFY, f"{ENVOY}/"):
        await problem(await client.get(path, headers=make.bearer(token)), 503, "temporarily_unavailable")


async def test_envoy_is_answered_200_whatever_the_client_asked_for(client: Client) -> None:
    token, user_id, session_id = await logged_in(client)
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        for path in ("/", "/orders/7?page=2", "//x", "/a%2Fb", "/{path}"):
            response = await client.request(method, ENVOY + path, headers=make.bearer(token))
            assert (response.status, await response.read()) == (200, b""), (method, path)
            assert (response.headers[USER_ID], response.headers[SESSION_ID]) == (user_id, session_id)


@pytest.mark.parametrize(
    "rest", ["../../../../login", "%2e%2e/%2e%2e/%2e%2e/%2e%2e/login", "..;/..;/..;/..;/login", "a%0ab"]
)
async def test_no_path_leads_envoy_to_a_route_that_is_open_to_everyone(rest: str, service: Service) -> None:
    """Envoy takes any 200 for a yes, and passes the path on as the client wrote it."""
    async with listening(service.public) as wire:
        status, answer = await wire.get(f"{ENVOY}/{rest}")
    assert status in (401, 404), answer


async def test_envoy_is_refused_what_another_sites_page_sends(client: Client) -> None:
    await make.user(client)
    await client.post(LOGIN, json=CREDENTIALS, headers={"Token-Delivery": "cookie"})
    assert (await client.post(f"{ENVOY}/orders", headers={"Sec-Fetch-Site": "same-origin"})).status == 200
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
    ):
        await problem(await client.post(f"{ENVOY}/orders", headers=headers), 403, "cross_site_request")
