"""GET /.well-known/jwks.json and /.well-known/oauth-authorization-server."""

import dataclasses
import hashlib
import json
from collections.abc import Awaitable

import pytest
from aiohttp import ClientResponse

from authsvc import key_rotation
from authsvc.config import Config, Secret
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import CREDENTIALS, LOGIN, ME, PUBLIC_URL, composed, form, https

JWKS, METADATA = "/.well-known/jwks.json", "/.well-known/oauth-authorization-server"
both = pytest.mark.parametrize("path", [JWKS, METADATA])


async def test_the_published_keys_are_public_named_and_cacheable(client: Client) -> None:
    """MW-11."""
    response = await client.get(JWKS)
    assert (response.status, response.headers["Cache-Control"]) == (200, "public, max-age=300")
    (key,) = (await response.json())["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    assert (key["alg"], key["use"]) == ("ES256", "sig")


async def test_a_shared_secret_is_not_published_and_signs_all_the_same(
    config: Config, clock: FrozenClock, serve: Serve
) -> None:
    tokens = dataclasses.replace(config.tokens, keys=None, secret=Secret("s" * 32))
    client = await serve(await composed(dataclasses.replace(config, tokens=tokens), clock))
    assert await (await client.get(JWKS)).json() == {"keys": []}
    await make.user(client)
    assert (await client.get(ME, headers=make.bearer(await make.access_token(client)))).status == 200


@both
async def test_the_etag_is_strong_and_the_same_on_every_instance(
    client: Client, config: Config, clock: FrozenClock, serve: Serve, path: str
) -> None:
    response = await client.get(path)
    digest = hashlib.sha256(await response.read()).hexdigest()
    assert (response.headers["ETag"], response.headers["Cache-Control"]) == (f'"{digest}"', "public, max-age=300")
    other = await serve(await composed(config, clock))
    assert (await other.get(path)).headers["ETag"] == response.headers["ETag"]
    assert (await client.head(path)).headers["ETag"] == response.headers["ETag"]


@both
@pytest.mark.parametrize(
    "known, status",
    [
        ("ETAG", 304),
        ("W/ETAG", 304),
        ('"other", ETAG', 304),
        ('W/"other" ,W/ETAG,"another"', 304),
        ("*", 304),
        ('"other"', 200),
        ('"*"', 200),
        ('W/"*"', 200),
        ("UNQUOTED", 200),
        ("", 200),
        ('"unfinished', 200),
    ],
)
async def test_what_the_client_has_already_is_not_sent_again(
    client: Client, path: str, known: str, status: int
) -> None:
    """RFC 9110 §13.1.2: the comparison is weak."""
    first = await client.get(path)
    etag = first.headers["ETag"]
    given = known.replace("ETAG", etag).replace("UNQUOTED", etag.strip('"'))
    for method in ("GET", "HEAD"):
        response = await client.request(method, path, headers={"If-None-Match": given})
        assert response.status == status
        for name in ("ETag", "Cache-Control"):
            assert response.headers[name] == first.headers[name]
        if status == 304:
            assert await response.read() == b""
            assert "Content-Type" not in response.headers


async def test_new_keys_have_a_new_etag(client: Client, config: Config, clock: FrozenClock, serve: Serve) -> None:
    keys = Secret(key_rotation.first_set("ES256", clock.now()))
    tokens = dataclasses.replace(config.tokens, keys=keys)
    other = await serve(await composed(dataclasses.replace(config, tokens=tokens), clock))
    etag = (await client.get(JWKS)).headers["ETag"]
    assert (await other.get(JWKS, headers={"If-None-Match": etag})).status == 200


@pytest.mark.parametrize("has_secrets", [True, False], ids=["a set with refresh_secrets", "a set from before"])
async def test_a_refresh_token_outlives_every_key_of_its_time(
    config: Config,
    clock: FrozenClock,
    serve: Serve,
    has_secrets: bool,  # noqa: FBT001 - a column of the table
) -> None:
    def with_keys(text: str) -> Config:
        return dataclasses.replace(config, tokens=dataclasses.replace(config.tokens, keys=Secret(text)))

    def refresh(client: Client, token: str) -> Awaitable[ClientResponse]:
        return client.post("/api/auth/refresh", json={"refresh_token": token})

    text = key_rotation.first_set("ES256", clock.now())
    if not has_secrets:
        text = json.dumps({"keys": json.loads(text)["keys"]})
    before = await serve(await composed(with_keys(text), clock))
    await make.user(before)
    token = (await make.tokens(before))["refresh_token"]
    for _ in range(5):
        clock.advance(1230)
        text = key_rotation.rotate(text, algorithm=None, lifetime_seconds=900, now=clock.now()).text
    after = await serve(await composed(with_keys(text), clock))
    renewed = await refresh(after, token)
    assert renewed.status == 200
    # And an instance that has not been restarted knows what the others make.
    assert (await refresh(before, (await renewed.json())["refresh_token"])).status == 200


async def test_limits_known_browsers_and_open_forms_outlive_every_key_of_their_time(
    config: Config, clock: FrozenClock, serve: Serve
) -> None:
    """LGN-15, FRM-12: a turn of the keys gives who guesses no fresh count, and breaks no page that is open."""

    def with_keys(text: str) -> Config:
        return dataclasses.replace(config, tokens=dataclasses.replace(config.tokens, keys=Secret(text)))

    text = key_rotation.first_set("ES256", clock.now())
    before = await serve(await composed(with_keys(text), clock))
    await make.user(before)
    delivered = await before.post(LOGIN, json=CREDENTIALS, headers={"Token-Delivery": "cookie"})
    mark = {"Cookie": f"known_browser={delivered.cookies['known_browser'].value}"}
    before.session.cookie_jar.clear()
    fields = await form(before, "/login") | CREDENTIALS
    nonce = before.session.cookie_jar.filter_cookies(before.make_url("/"))["form_nonce"].value
    wrong = {**CREDENTIALS, "password": "not this battery"}
    for _ in range(5):
        text = key_rotation.rotate(text, algorithm=None, lifetime_seconds=900, now=clock.now(), force=True).text
    for _ in range(10):
        assert (await before.post(LOGIN, json=wrong)).status == 401
    after = await serve(await composed(with_keys(text), clock))
    assert (await after.post(LOGIN, json=wrong)).status == 429
    assert (await after.post(LOGIN, json=CREDENTIALS, headers=mark)).status == 200
    cookies = {"Cookie": f"{mark['Cookie']}; form_nonce={nonce}"}
    assert (await after.post("/login", data=fields, headers=cookies, allow_redirects=False)).status == 303


async def test_the_refresh_secret_of_the_configuration_is_taken_before_that_of_the_keys(
    config: Config, clock: FrozenClock, serve: Serve
) -> None:
    chosen = dataclasses.replace(config.sessions, refresh_secret=Secret("r" * 32))
    clients = []
    for _ in range(2):
        keys = Secret(key_rotation.first_set("ES256", clock.now()))
        tokens = dataclasses.replace(config.tokens, keys=keys)
        clients.append(await serve(await composed(dataclasses.replace(config, tokens=tokens, sessions=chosen), clock)))
    await make.user(clients[0])
    token = (await make.tokens(clients[0]))["refresh_token"]
    assert (await clients[1].post("/api/auth/refresh", json={"refresh_token": token})).status == 200


async def test_the_metadata_tells_where_everything_is(config: Config, clock: FrozenClock, serve: Serve) -> None:
    """RFC 8414 §2."""
    config = https(config)
    config = dataclasses.replace(config, tokens=dataclasses.replace(config.tokens, issuer="https://issuer.example.com"))
    client = await serve(await composed(config, clock))
    methods = ["client_secret_basic", "client_secret_post"]
    response = await client.get(METADATA)
    assert (response.status, response.content_type) == (200, "application/json")
    assert await response.json() == {
        "issuer": "https://issuer.example.com",
        "jwks_uri": f"{PUBLIC_URL}{JWKS}",
        "response_types_supported": [],
        "grant_types_supported": [],
        "introspection_endpoint": f"{PUBLIC_URL}/api/auth/introspect",
        "introspection_endpoint_auth_methods_supported": methods,
        "revocation_endpoint": f"{PUBLIC_URL}/api/auth/revoke",
        "revocation_endpoint_auth_methods_supported": methods,
        "service_documentation": f"{PUBLIC_URL}/api/docs",
    }


async def test_the_metadata_of_a_shared_secret_names_no_keys(config: Config, clock: FrozenClock, serve: Serve) -> None:
    tokens = dataclasses.replace(config.tokens, keys=None, secret=Secret("s" * 32))
    client = await serve(await composed(dataclasses.replace(config, tokens=tokens), clock))
    assert "jwks_uri" not in await (await client.get(METADATA)).json()
