"""Faults fire at PostgreSQL, at two instances and at the way between them, while 50 clients keep a ledger.

In the end every promise is called in. Short: `make drill-faults ARGS="--seconds 30"`.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path

import uvloop

from authsvc.installations import EmbeddedError
from drills import attacks, overload, report
from drills.ending import end_in_order
from drills.overload import Overload
from drills.play import Outcome, Play, say
from drills.stage import ROOT, Stage, StageError

DOCUMENT = ROOT / "docs" / "drills" / "faults.md"


async def faults_under_load(seconds: float, seed: int) -> Outcome:
    """Return what the clients' ledgers say after so many seconds of faults."""
    end_in_order()
    async with Stage.up() as stage:
        return await Play(stage, seconds, seed).run()


async def logins_beyond_capacity(seconds: float) -> Overload:
    """Return what ten times too many logins leave of the service, measured on a stage of its own."""
    end_in_order()
    async with Stage.up(is_measured=True) as stage:
        say(f"logins are offered at {overload.TIMES} times capacity")
        return await overload.measure(stage, seconds)


def main() -> None:
    """Play the drill, print its table, and exit 1 where a promise was broken or a goal was missed."""
    parser = argparse.ArgumentParser(prog="make drill-faults", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="of faults; each fires once at least (default 600)")
    parser.add_argument(
        "--overload-seconds", type=float, default=8, help="of each measurement of it; 0: none (default 8)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of all that is left to chance (default 1)")
    parser.add_argument("--without-attacks", action="store_true", help="do not run the tests of attacks")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.relative_to(ROOT)}")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    options = parser.parse_args()
    measured = tried = None
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            outcome = runner.run(faults_under_load(options.seconds, options.seed))
            if options.overload_seconds:
                measured = runner.run(logins_beyond_capacity(options.overload_seconds))
        if not options.without_attacks:
            say("the attacks, faults and races that are tests are run")
            tried = attacks.try_all()
    except (StageError, EmbeddedError) as error:
        sys.exit(str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("stopped before its end: nothing was written")
    told = ("seconds", "overload_seconds", "seed")
    given = [name for name in told if getattr(options, name) != parser.get_default(name)]
    words = [f"--{name.replace('_', '-')} {getattr(options, name):g}" for name in given]
    arguments = " ".join(words + ["--without-attacks"] * options.without_attacks)
    command = "make drill-faults" + (f' ARGS="{arguments}"' if arguments else "")
    drilled = report.Report(outcome, measured, tried, command)
    print(drilled.text())
    if options.json:
        options.json.write_text(json.dumps(drilled.figures(), indent=2) + "\n")
    if options.write:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(drilled.document(), "utf-8")
    sys.exit(bool(outcome.findings or drilled.missed()))


if __name__ == "__main__":
    main()
