"""What schemathesis is told beyond the API's description: who it is. Loaded by its command line.

And what it leaves to be read: how often each operation answered with each status.
"""

import atexit
import json
import os
import re
from collections import Counter, defaultdict
from itertools import count
from pathlib import Path
from typing import Any

import requests
import schemathesis

PASSWORD = "correct horse battery staple"
FOR_STRANGERS = ("/login", "/register")
_FORM_TOKEN = re.compile('name="form_token" value="([^"]+)"')
_numbers = count()
_logins = count()
_people: list[dict[str, str]] = []
_answers: defaultdict[str, Counter[int]] = defaultdict(Counter)


@schemathesis.hook
def before_call(_context: Any, case: Any, _kwargs: Any) -> None:
    """Open the page that a form is on and take its token and cookie, as a browser does: without them none is read.

    Every other login is by who has an account, else none would ever be led on.
    """
    path = case.operation.path
    if case.method != "POST" or path.startswith("/api/") or not isinstance(case.body, dict):
        return
    url = f"{case.operation.base_url}{path if path in FOR_STRANGERS else '/account'}"
    page = requests.get(url, cookies=case.cookies, allow_redirects=False, timeout=60)
    if shown := _FORM_TOKEN.search(page.text):
        case.body["form_token"] = shown[1]
        case.cookies |= page.cookies
    if path == "/login" and _people and next(_logins) % 2 == 0:
        case.body |= _people[-1]


@schemathesis.hook
def after_call(_context: Any, case: Any, response: Any) -> None:
    """Count an answer."""
    _answers[case.operation.label][response.status_code] += 1


@atexit.register
def _tell() -> None:
    Path(os.environ["FUZZ_ANSWERS"]).write_text(json.dumps(_answers))  # noqa: TID251 - a child of the test inherits it


@schemathesis.auth(refresh_interval=2)
class Somebody:
    """An account of its own, made anew now and then: the fuzzer logs out, and deletes what it finds."""

    def get(self, case: Any, _context: Any) -> str:
        base = case.operation.base_url
        person = {"email": f"fuzz-{os.getpid()}-{next(_numbers)}@example.com", "password": PASSWORD}
        requests.post(f"{base}/api/auth/register", json=person, timeout=60).raise_for_status()
        _people.append(person)
        answer = requests.post(f"{base}/api/auth/login", json=person, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def set(self, case: Any, data: str, _context: Any) -> None:
        if case.operation.path in ("/api/auth/introspect", "/api/auth/revoke"):
            client = os.environ["FUZZ_CLIENT"]  # noqa: TID251 - a child of the test inherits it
            case.headers["Authorization"] = f"Basic {client}"
        elif not case.operation.path.startswith("/api/"):
            if case.operation.path not in FOR_STRANGERS:
                case.cookies["access_token"] = data
        else:
            case.headers["Authorization"] = f"Bearer {data}"
