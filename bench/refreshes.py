"""Refreshes beside the one statement that each of them is."""

import subprocess
import sys
from statistics import median
from uuid import UUID

import psycopg

from authsvc.app import refresh_keys
from authsvc.config import Config
from authsvc.entropy import SystemEntropy
from authsvc.refresh_tokens import RefreshToken, RefreshTokens
from bench import wrk
from bench.report import Figure, at_least
from bench.stage import Stage

SESSIONS, CLIENTS = 256, 32
# Each answer's refresh token is used next: a client that renews and renews.
REFRESH = """
local tokens, first, last = {{}}, 1, 0
for line in io.lines("{path}") do last = last + 1; tokens[last] = line end
function request()
  local token = tokens[first]
  tokens[first] = nil
  first = first + 1
  local body = '{{"refresh_token":"' .. token .. '"}}'
  return wrk.format("POST", nil, {{["Content-Type"] = "application/json"}}, body)
end
function response(status, headers, body)
  last = last + 1
  tokens[last] = string.match(body, '"refresh_token":"([^"]+)"')
end
"""
OPEN = """
insert into sessions (id, subject, counter, created_at, last_used_at, expires_at, access_until, authentication_methods)
select id, %s, 1, now(), now(), now() + interval '1 day', now(), '{pwd}' from unnest(%s::uuid[]) as id
"""


def over_bare_update(stage: Stage) -> list[Figure]:
    """POST /api/auth/refresh beside a bare UPDATE … RETURNING through a pool of the same size."""
    seconds, ours, bare = stage.effort.seconds, [], []
    for _turn in stage.effort.turns():
        ids = [SystemEntropy().new_id() for _ in range(SESSIONS)]
        with psycopg.connect(stage.database_url, autocommit=True) as connection:
            connection.execute(OPEN, [stage.subject, ids])
        command = [sys.executable, "-m", "bench.bare_update", stage.database_url, str(ids[0]), str(seconds)]
        # Ours first: the bare statement counts on without giving out tokens.
        ours.append(_refreshes(stage, ids))
        bare.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    name = f"(g) POST /api/auth/refresh over bare UPDATE … RETURNING, {CLIENTS} clients"
    return [at_least(name, median(ours), median(bare), 0.50)]


def _refreshes(stage: Stage, ids: list[UUID]) -> float:
    config = Config.read({"AUTHSVC_DATABASE_URL": stage.database_url, "AUTHSVC_JWT_KEYS": stage.keys})
    tokens = RefreshTokens(refresh_keys(config))
    path = stage.script("refresh-tokens", "".join(f"{tokens.make(RefreshToken(each, 1))}\n" for each in ids))
    script = stage.script("refresh.lua", REFRESH.format(path=path))
    url = f"{stage.service.url}/api/auth/refresh"
    return wrk.run(url, clients=CLIENTS, seconds=stage.effort.seconds, script=script).rate
