"""What good tokens cost: /api/auth/me and /api/auth/verify beside bare routes, and beside the signature alone."""

import json
import subprocess
import sys
from statistics import median

from authsvc import key_sets
from authsvc.clock import SystemClock
from authsvc.entropy import SystemEntropy
from authsvc.signing import AccessTokenIssuer
from bench import wrk
from bench.report import Figure, at_least
from bench.stage import Instance, Stage

ISSUER, AUDIENCE, LIFETIME_SECONDS = "http://127.0.0.1:8080", "authsvc", 3600
VERIFY = "/api/auth/verify"
# wrk has one thread: each request takes the next line of the file.
EACH_ITS_OWN = """
local tokens, at = {{}}, 0
for line in io.lines("{path}") do tokens[#tokens + 1] = "Bearer " .. line end
function request()
  at = at % #tokens + 1
  return wrk.format("GET", nil, {{["Authorization"] = tokens[at]}})
end
"""


def me(stage: Stage) -> list[Figure]:
    """GET /api/auth/me beside a bare aiohttp + asyncpg route."""
    seconds, ours, bare = stage.effort.seconds, [], []
    for _turn in stage.effort.turns():
        bare.append(wrk.run(f"{stage.bare}/me", clients=32, seconds=seconds).rate)
        ours.append(_rate(stage, stage.service, "/api/auth/me"))
    name = "(a) GET /api/auth/me over a bare aiohttp + asyncpg route, 32 clients"
    return [at_least(name, median(ours), median(bare), 0.80)]


def verify(stage: Stage) -> list[Figure]:
    """GET /api/auth/verify beside a bare 204, and without its cache of verified tokens."""
    seconds, ours, bare, uncached = stage.effort.seconds, [], [], []
    with stage.another({"AUTHSVC_TOKEN_CACHE_BYTES": "0"}) as without:
        for _turn in stage.effort.turns():
            bare.append(wrk.run(f"{stage.bare}/204", clients=32, seconds=seconds).rate)
            ours.append(_rate(stage, stage.service, VERIFY))
            uncached.append(_rate(stage, without, VERIFY))
    return [
        at_least("(d) GET /api/auth/verify over a bare 204, 32 clients", median(ours), median(bare), 0.60),
        Figure(
            "    the same without the cache of verified tokens, beside with it",
            f"{median(uncached):,.0f}/s",
            f"{median(ours):,.0f}/s",
            median(uncached) / median(ours),
        ),
    ]


def verify_never_seen(stage: Stage) -> list[Figure]:
    """GET /api/auth/verify with another token each time, beside the signature alone on one core."""
    seconds, ours, alone = stage.effort.seconds, [], []
    command = [sys.executable, "-m", "bench.raw_signature", str(seconds)]
    for turn in stage.effort.turns():
        alone.append(float(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        # As many as can be asked for, so that none comes twice.
        path = _tokens(stage, f"tokens-{turn}", round(alone[-1] * (seconds + 1)))
        script = stage.script("each-its-own.lua", EACH_ITS_OWN.format(path=path))
        ours.append(wrk.run(f"{stage.service.url}{VERIFY}", clients=32, seconds=seconds, script=script).rate)
    name = "(e) GET /api/auth/verify, never-seen tokens, over ES256 alone on one core"
    return [at_least(name, median(ours), median(alone), 0.70)]


def _rate(stage: Stage, instance: Instance, path: str) -> float:
    return wrk.run(f"{instance.url}{path}", clients=32, seconds=stage.effort.seconds, header=stage.bearer).rate


def issuer(stage: Stage) -> AccessTokenIssuer:
    """Return who signs as the stage's instances do."""
    key = key_sets.read_key_set(stage.keys).signing
    return AccessTokenIssuer(key, ISSUER, AUDIENCE, LIFETIME_SECONDS, SystemClock(), SystemEntropy())


def _tokens(stage: Stage, name: str, number: int) -> str:
    entropy, signer = SystemEntropy(), issuer(stage)
    path = stage.folder / name
    with path.open("w") as file:
        file.writelines(f"{signer.issue(entropy.new_id(), entropy.new_id()).text}\n" for _ in range(number))
    return json.dumps(str(path))[1:-1]
