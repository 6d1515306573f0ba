"""GET /.well-known/jwks.json."""

import dataclasses

from authsvc.config import Config, Secret
from tests import make
from tests.conftest import Client, FrozenClock, Serve
from tests.web.helpers import ME, composed


async def test_the_published_keys_are_public_named_and_cacheable(client: Client) -> None:
    """MW-11."""
    response = await client.get("/.well-known/jwks.json")
    assert (response.status, response.headers["Cache-Control"]) == (200, "public, max-age=300")
    (key,) = (await response.json())["keys"]
    assert key.keys() == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    assert (key["alg"], key["use"]) == ("ES256", "sig")


async def test_a_shared_secret_is_not_published_and_signs_all_the_same(
    config: Config, clock: FrozenClock, serve: Serve
) -> None:
    tokens = dataclasses.replace(config.tokens, keys=None, secret=Secret("s" * 32))
    client = await serve(await composed(dataclasses.replace(config, tokens=tokens), clock))
    assert await (await client.get("/.well-known/jwks.json")).json() == {"keys": []}
    await make.user(client)
    assert (await client.get(ME, headers=make.bearer(await make.access_token(client)))).status == 200
