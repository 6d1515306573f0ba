"""POST /api/auth/login."""

from tests.conftest import Client

CREDENTIALS = {"email": "ada@example.com", "password": "correct horse battery"}


async def test_who_registered_logs_in_and_is_known(client: Client) -> None:
    registered = await client.post("/api/auth/register", json=CREDENTIALS)
    assert registered.status == 201
    assert registered.headers["Location"] == "/api/auth/me"
    logged_in = await client.post("/api/auth/login", json=CREDENTIALS)
    assert logged_in.status == 200
    assert logged_in.headers["Cache-Control"] == "no-store"
    token = await logged_in.json()
    assert token.keys() == {"access_token", "token_type", "expires_in"}
    me = await client.get("/api/auth/me", headers={"Authorization": f"Bearer {token['access_token']}"})
    assert me.status == 200
    assert await me.json() == await registered.json()
