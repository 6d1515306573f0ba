"""Logging out: the form of the account page."""

from tests import make
from tests.conftest import Client, FrozenClock
from tests.web.helpers import ME, form, log_in, problem, send


async def test_logging_out_makes_the_browser_forget_its_token(client: Client) -> None:
    await make.user(client)
    await log_in(client)
    sent = await send(client, "/logout", await form(client, "/account"))
    assert (sent.status, sent.headers["Location"]) == (303, "/login")
    for name in ("access_token", "refresh_token"):
        assert (sent.cookies[name].value, sent.cookies[name]["max-age"]) == ("", "0")
    assert sent.headers["Clear-Site-Data"] == '"cache", "storage"'
    await problem(await client.get(ME), 401, "missing_credentials")


async def test_a_link_or_an_image_logs_nobody_out(client: Client) -> None:
    """SES-03."""
    await make.user(client)
    await log_in(client)
    response = await client.get("/logout", headers={"Accept": "text/html"})
    assert (response.status, response.headers["Allow"], response.content_type) == (405, "POST", "text/html")
    refused = await send(client, "/logout", {})
    assert (refused.status, refused.content_type) == (403, "text/html")
    assert (await client.get(ME)).status == 200


async def test_who_was_logged_out_by_time_may_still_log_out(client: Client, clock: FrozenClock) -> None:
    await make.user(client)
    await log_in(client)
    fields = await form(client, "/account")
    clock.advance(604_801)
    sent = await send(client, "/logout", fields)
    assert (sent.status, sent.headers["Location"]) == (303, "/login")
