"""A whole journey whose every secret is known: none of them is in the log, in the metrics or in a refusal's body."""

import re
import signal
from urllib.parse import urlencode

from tests.cli.conftest import Answer, Run, Running, Start, call, settings, start

__all__ = ["call", "settings", "start"]  # the fixtures of a process

PERSON = {"email": "canary-ada@example.com", "password": "canary password one"}
CHANGED = "canary password two"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_no_secret_of_a_whole_journey_is_logged_counted_or_quoted(
    settings: dict[str, str], start: Start, call: Run
) -> None:
    """LGX-01, LGX-05, MET-01 (ASVS 16.2.5): passwords, tokens, cookies, addresses, keys, the DSN."""
    running = start("serve", settings={**settings, "AUTHSVC_LOG_LEVEL": "debug"})
    running.until_it_says('"event":"serving"')
    said = call("clients", "create", "orders", settings=settings).stdout
    client_id, client_secret = re.findall(r"client_(?:id|secret)=(\S+)", said)
    secrets, refused = journey(running, client_id, client_secret)
    scraped = running.ask("/metrics", admin=True).body.decode()
    running.send(signal.SIGTERM)
    assert running.ends() == 0
    secrets |= {settings["AUTHSVC_DATABASE_URL"], settings["AUTHSVC_JWT_KEYS"], client_secret, "canary", "$argon2"}
    shown = {
        "log": running.said,
        "metrics": scraped,
        **{f"{answer.status} {number}": answer.body.decode() for number, answer in enumerate(refused)},
    }
    assert [(name, secret) for name, text in shown.items() for secret in secrets if secret in text] == []


def journey(running: Running, client_id: str, client_secret: str) -> tuple[set[str], list[Answer]]:
    """Do all that people, programs and attackers do; return what nobody may tell, and the refusals."""
    assert running.ask("/api/auth/register", PERSON).status == 201
    first = running.ask("/api/auth/login", PERSON).json()
    pair = running.ask("/api/auth/refresh", {"refresh_token": first["refresh_token"]}).json()
    access = pair["access_token"]
    cookie = running.ask("/login").headers["Set-Cookie"].partition(";")[0]
    service = {"client_id": client_id, "client_secret": client_secret}
    for path in ("introspect", "revoke"):
        for token in (pair["refresh_token"] if path == "introspect" else first["access_token"], "canary-token"):
            fields = urlencode({**service, "token": token}).encode()
            assert running.ask(f"/api/auth/{path}", fields, FORM).status == 200
    again = running.ask("/api/auth/login", PERSON).json()
    known = bearer(again["access_token"])
    change = {"current_password": PERSON["password"], "new_password": CHANGED}
    assert running.ask("/api/auth/password", change, known).status < 300
    for path in ("me", "me/export", "sessions", "activity", "verify"):
        assert running.ask(f"/api/auth/{path}", headers=known).status < 300
    refused = [
        running.ask("/api/auth/login", PERSON),
        running.ask("/api/auth/login", {**PERSON, "a-field": "canary"}),
        running.ask("/api/auth/register", {**PERSON, "password": CHANGED}),
        running.ask("/api/auth/register", {**PERSON, "email": "canary@"}),
        running.ask("/api/auth/login", b'{"email": "canary'),
        running.ask("/api/auth/refresh", {"refresh_token": first["refresh_token"] + "canary"}),
        running.ask("/api/auth/me", headers=bearer("canary." + access)),
        running.ask(
            "/api/auth/me", headers={"Authorization": "Basic canary", "Cookie": f"access_token=canary;{cookie}"}
        ),
        running.ask("/api/auth/verify?token=canary", headers={"Referer": "https://a/?token=canary"}),
        running.ask("/reset?token=canary", headers={"User-Agent": "canary", "X-Request-Id": "no canary"}),
        running.ask(
            "/api/auth/introspect", urlencode({**service, "client_secret": "canary", "token": "x"}).encode(), FORM
        ),
        running.ask(
            "/login",
            urlencode({**PERSON, "email": "x@example.com", "form_token": "canary"}).encode(),
            {**FORM, "Cookie": cookie},
        ),
    ]
    assert {answer.status for answer in refused} <= {400, 401, 403, 404, 409, 422}
    assert running.ask("/api/auth/logout", b"", known).status < 300
    tokens = {each[name] for each in (first, pair, again) for name in ("access_token", "refresh_token")}
    return {*PERSON.values(), CHANGED, *tokens, access.split(".")[1], cookie.partition("=")[2]}, refused


def test_no_label_of_a_metric_comes_from_a_client(settings: dict[str, str], start: Start) -> None:
    """MET-01, MET-04 (CWE-770): other junk makes no other series."""
    running = start("serve", settings={**settings, "AUTHSVC_PASSWORD_REFUSAL_SECONDS": "0"})
    running.until_it_says('"event":"serving"')
    from_the_start = series(running)
    rounds = [series_after(running, junk) for junk in ("first", "second", "third")]
    assert rounds[0] == rounds[1] == rounds[2]
    assert len(rounds[0] - from_the_start) < 500


def series_after(running: Running, junk: str) -> set[str]:
    """Send what differs by `junk` in all that a client chooses; return the names and labels of all series."""
    for number in range(20):
        each = f"{junk}-{number}"
        running.ask(f"/{each}", headers={"User-Agent": each, "Host": f"{each}.example", "X-Request-Id": each})
        running.ask(f"/api/auth/verify/envoy/{each}", headers=bearer(each))
        running.ask(f"/api/auth/sessions/{each}?{each}={each}")
        running.ask("/api/auth/login", {"email": f"{each}@example.com", "password": each})
        running.ask("/api/auth/introspect", urlencode({"client_id": each, "token": each}).encode(), FORM)
        running.ask("/api/auth/refresh", {"refresh_token": each})
    return series(running)


def series(running: Running) -> set[str]:
    lines = running.ask("/metrics", admin=True).body.decode().splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}
