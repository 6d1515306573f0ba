"""An instance is killed at random moments, with whatever was under way in it; nothing that was acknowledged is lost.

By default 10 times; `make test ARGS="tests/faults/test_kills.py --kills 100"` is the whole of it.
"""

import asyncio
import os
import shutil
import signal

import pytest

from drills import play
from drills.play import Play
from drills.stage import HAPROXIES, Stage

LONGEST_LIFE_SECONDS = 0.6
PEOPLE = 16


@pytest.fixture
def haproxy() -> None:
    if any(shutil.which(place) for place in HAPROXIES):
        return
    advice = "There is no HAProxy: run tests/install-haproxy."
    if os.environ.get("CI") == "true":  # noqa: TID251 - the tests' own
        pytest.fail(advice)
    pytest.skip(advice)


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> None:
    """It is the drill's own loop; the service has others, in its processes."""


class Kills(Play):
    """The drill of faults, with this fault alone."""

    kills = 0

    async def _fire(self) -> None:
        for number in range(self.kills):
            instance = self._stage.instances[number % 2]
            await asyncio.sleep(self._chance.uniform(0, LONGEST_LIFE_SECONDS))
            await instance.end(signal.SIGKILL)
            await instance.start()


@pytest.mark.lasting
@pytest.mark.usefixtures("haproxy")
async def test_kills_lose_nothing_that_was_acknowledged(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DEP-09, DEP-17 (CWE-362): nothing is left to be done after an answer, so registrations, sessions, logouts,
    password changes and chains of refresh tokens hold.
    """
    monkeypatch.setattr(play, "PEOPLE", PEOPLE)
    async with Stage.up() as stage:
        kills = Kills(stage, seconds=0, seed=1)
        kills.kills = request.config.getoption("--kills")
        outcome = await kills.run()
    assert [finding.sentence for finding in outcome.findings] == []
    assert min(outcome.acts[act] for act in ("register", "login", "refresh", "logout")) > 0
