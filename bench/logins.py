"""Logins beside the raw hash rate, and what they leave to the others."""

import subprocess
import sys
import time
from statistics import median

from bench import wrk
from bench.report import Figure, at_least, at_most
from bench.stage import CROWD, PASSWORD, Stage

LOGIN = f"""
local number = 0
function request()
  number = (number + 1) % {len(CROWD)}
  local body = '{{"email":"load' .. number .. '@example.com","password":"{PASSWORD}"}}'
  return wrk.format("POST", nil, {{["Content-Type"] = "application/json"}}, body)
end
"""


def over_raw_hash(stage: Stage) -> list[Figure]:
    """POST /api/auth/login beside argon2id on as many threads."""
    seconds, script, ours, raw = stage.effort.seconds, stage.script("login.lua", LOGIN), [], []
    command = [sys.executable, "-m", "bench.raw_hash", str(seconds)]
    for _turn in stage.effort.turns():
        raw.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        ours.append(wrk.run(f"{stage.service.url}/api/auth/login", clients=16, seconds=seconds, script=script).rate)
    name = "(b) POST /api/auth/login over raw argon2id on as many threads, 16 clients"
    return [at_least(name, median(ours), median(raw), 0.95)]


def me_in_a_storm(stage: Stage) -> list[Figure]:
    """GET /api/auth/me while 32 clients log in."""
    idle, storm = _idle_and_in_a_storm(stage, "/api/auth/me")
    rates = median(load.rate for load in storm), median(load.rate for load in idle)
    return [
        at_least("(c) GET /api/auth/me in a login storm over idle, 4 clients", *rates, 0.50),
        at_most("    its p99 in the storm", median(load.p99 for load in storm), 50),
    ]


def verify_in_a_storm(stage: Stage) -> list[Figure]:
    """GET /api/auth/verify while 32 clients log in."""
    idle, storm = _idle_and_in_a_storm(stage, "/api/auth/verify")
    ours, beside = median(load.rate for load in storm), median(load.rate for load in idle)
    return [
        Figure(
            "(f) GET /api/auth/verify in a login storm over idle, 4 clients",
            f"{ours:,.0f}/s",
            f"{beside:,.0f}/s",
            ours / beside,
        ),
        at_most("    its p99 in the storm", median(load.p99 for load in storm), 10),
    ]


def _idle_and_in_a_storm(stage: Stage, path: str) -> tuple[list[wrk.Load], list[wrk.Load]]:
    seconds, script, idle, storm = stage.effort.seconds, stage.script("login.lua", LOGIN), [], []
    url = f"{stage.service.url}{path}"
    for _turn in stage.effort.turns():
        idle.append(wrk.run(url, clients=4, seconds=seconds, header=stage.bearer))
        logins = wrk.start(f"{stage.service.url}/api/auth/login", clients=32, seconds=seconds + 2, script=script)
        time.sleep(1)
        storm.append(wrk.run(url, clients=4, seconds=seconds, header=stage.bearer))
        wrk.result(logins)
    return idle, storm
