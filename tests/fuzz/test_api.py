"""The running service against all that its own description allows, and all that it does not."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run, Start, call, environment, settings, start

__all__ = ["call", "settings", "start"]  # the fixtures of a process

HERE = Path(__file__).parent
LONG = ("--max-examples", "1000")
# Bound by number and not by time: a busy machine takes the same way.
SHORT = ("--phases", "fuzzing,stateful", "--max-examples", "6", "--seed", "1", "--no-shrink")
# A form that gets past its token is answered with one of these.
READ = {"303", "401", "409", "422"}


@pytest.mark.lasting
def test_the_service_answers_whatever_is_sent_as_its_description_says(
    settings: dict[str, str], start: Start, call: Run, pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """HTTP-09, HTTP-14, HTTP-17, SQL-01, SQL-03, SQL-04: all checks of schemathesis, on operations and sequences.

    The short form takes the same way each time; the long one prints its seed.
    """
    seconds = pytestconfig.getoption("--fuzz-seconds")
    # One address sends all of it: with the limits on, the fuzzer would soon see nothing but 429.
    settings |= {"AUTHSVC_LIMITS": "off"}
    running = start("serve", settings=settings)
    running.until_it_says('"event":"serving"')
    made = call("clients", "create", "fuzz", settings=settings)
    credential = dict(re.findall(r"client_(id|secret)\W+([\w-]+)", made.stdout))
    client = base64.b64encode(f"{credential['id']}:{credential['secret']}".encode()).decode()
    url = f"http://127.0.0.1:{settings['AUTHSVC_PORT']}"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml")),
        *("run", f"{url}/api/openapi.json", "--url", url, "--checks", "all", "--no-color"),
        *("--generation-database", "none", *(LONG if seconds else SHORT)),
        *(("--max-time", str(seconds)) if seconds else ()),
    ]
    given = {
        **environment({}),
        "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
        "FUZZ_CLIENT": client,
        "FUZZ_ANSWERS": str(tmp_path / "answers.json"),
        "PYTHONPATH": str(HERE.parents[1]),
    }
    output = None if seconds else subprocess.PIPE
    # It leaves a folder of its own where it runs.
    done = subprocess.run(
        command, env=given, cwd=tmp_path, stdout=output, stderr=subprocess.STDOUT, text=True, check=False
    )
    answers = json.loads((tmp_path / "answers.json").read_text())
    assert answers
    assert not [operation for operation, by_status in answers.items() if "429" in by_status], answers
    # Else it saw no more of them than the 403 of a form without its token.
    for form in ("POST /login", "POST /register"):
        assert answers[form].keys() & READ, answers[form]
    assert done.returncode == 0, done.stdout
    assert '"event":"unforeseen"' not in running.said
    assert '"severity":"ERROR"' not in running.said
    assert running.is_ready()
