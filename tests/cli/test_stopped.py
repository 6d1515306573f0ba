"""An instance that the system stops for a while: what it knew before, it does not trust when it goes on."""

import http.client
import re
import signal
import time

from authsvc.revocations import PAUSE_SECONDS
from tests import make
from tests.cli.conftest import CREDENTIALS, Running, Start, eventually, free_ports

POLL_SECONDS = 1.0
VERIFY = "/api/auth/verify"


def rests(instance: Running) -> bool:
    """Tell whether its last look has ended, and the next is some way off."""
    text = instance.ask("/metrics", admin=True).body.decode()
    found = re.search(r"^authsvc_revocations_age_seconds(?:{})? (\S+)$", text, re.MULTILINE)
    return found is not None and 0.05 < float(found[1]) < POLL_SECONDS / 2


def test_an_instance_that_was_stopped_refuses_who_logged_out_meanwhile_at_its_very_first_answer(
    settings: dict[str, str], start: Start
) -> None:
    """The request is there before its next look, and what it knows is not too old by the setting."""
    feed = {"AUTHSVC_REVOCATION_POLL_SECONDS": f"{POLL_SECONDS}", "AUTHSVC_REVOCATION_STALE_SECONDS": "60"}
    common = {**settings, **feed, "AUTHSVC_JWT_ISSUER": "https://auth.example.com"}
    first, second = (start("serve", settings={**common, **free_ports()}) for _ in range(2))
    for instance in (first, second):
        instance.until_it_says('"event":"serving"')
    assert first.ask("/api/auth/register", CREDENTIALS).status == 201
    bearer = make.bearer(first.ask("/api/auth/login", CREDENTIALS).json()["access_token"])
    connection = http.client.HTTPConnection("127.0.0.1", int(second.settings["AUTHSVC_PORT"]), timeout=60)
    connection.request("GET", VERIFY, headers=bearer)
    response = connection.getresponse()
    assert (response.status, response.read()) == (204, b"")
    eventually(lambda: rests(second), "a moment between two looks")
    second.send(signal.SIGSTOP)
    assert first.ask("/api/auth/logout", {}, bearer).status == 204
    connection.request("GET", VERIFY, headers=bearer)
    time.sleep(POLL_SECONDS + PAUSE_SECONDS + 0.1)
    second.send(signal.SIGCONT)
    assert connection.getresponse().status == 401
    connection.close()
