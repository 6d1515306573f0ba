"""What schemathesis is told beyond the API's description: who it is. Loaded by its command line.

And what it leaves to be read: how often each status was answered.
"""

import atexit
import json
import os
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import requests
import schemathesis

PASSWORD = "correct horse battery staple"
_numbers = count()
_answers: Counter[int] = Counter()


@schemathesis.hook
def after_call(_context: Any, _case: Any, response: Any) -> None:
    """Count an answer."""
    _answers[response.status_code] += 1


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
        answer = requests.post(f"{base}/api/auth/login", json=person, timeout=60)
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def set(self, case: Any, data: str, _context: Any) -> None:
        if case.operation.path in ("/api/auth/introspect", "/api/auth/revoke"):
            client = os.environ["FUZZ_CLIENT"]  # noqa: TID251 - a child of the test inherits it
            case.headers["Authorization"] = f"Basic {client}"
        else:
            case.headers["Authorization"] = f"Bearer {data}"
