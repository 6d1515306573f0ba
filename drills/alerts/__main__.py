"""Something breaks, and a webhook behind a real Prometheus and Alertmanager must be told of it, and of nothing else.

The windows of the rules are shorter by one factor. Short: `make drill-alerts ARGS="--short --only replay"`.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import uvloop

from authsvc.installations import EmbeddedError
from drills.alerts import faults, picture, report
from drills.alerts.play import Outcome, Pace, Play
from drills.alerts.scene import Scene
from drills.ending import end_in_order
from drills.stage import ROOT, StageError

DOCUMENTS = ROOT / "docs" / "drills"
PARTS = ROOT / "build" / "drills"
"""Where that of a drill is written which is not the whole of it."""
DOCUMENT, PICTURE = "alerts.md", "alerts.png"
FULL, SHORT = Pace(calm_seconds=30, hold_seconds=20), Pace(calm_seconds=1, hold_seconds=0, is_short=True)
FACTOR = "1/60"


async def drill(options: argparse.Namespace) -> Outcome:
    """Return what was told of the faults; draw the picture, where one is asked for."""
    end_in_order()
    chosen = [faults.ALL[key] for key in options.only]
    pace = SHORT if options.short else FULL
    async with Scene.up(float(options.factor), without=options.without) as scene:
        outcome = await Play(scene, chosen, pace, float(options.factor)).run()
        if options.write:
            folder = folder_of(options)
            folder.mkdir(parents=True, exist_ok=True)
            await picture.draw(folder / PICTURE, scene.monitoring, outcome)
    return outcome


def folder_of(options: argparse.Namespace) -> Path:
    """Return where the document goes: docs/ has that of a whole drill, and no other."""
    is_whole = options.only == list(faults.ALL) and options.factor == Fraction(FACTOR)
    return DOCUMENTS if is_whole and not options.short and not options.without else PARTS


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    keys = list(faults.ALL)
    parser = argparse.ArgumentParser(prog="make drill-alerts", description=__doc__)
    parser.add_argument(
        "--factor", type=Fraction, default=Fraction(FACTOR), help=f"all windows times this (default {FACTOR})"
    )
    parser.add_argument("--only", nargs="+", choices=keys, default=keys, metavar="FAULT", help=", ".join(keys))
    parser.add_argument("--short", action="store_true", help="do not wait where nothing happens")
    parser.add_argument("--without", nargs="+", default=[], metavar="ALERT", help="leave alerts out of the rules")
    parser.add_argument(
        "--write",
        action="store_true",
        help=f"write {DOCUMENT} and its picture into {DOCUMENTS.relative_to(ROOT)}; what is not the whole drill into "
        f"{PARTS.relative_to(ROOT)}",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    return parser.parse_args(arguments)


def main() -> None:
    """Play the drill, print its table, and exit 1 where an alert did not come, did not go, or came without a cause."""
    options = options_of(sys.argv[1:])
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            outcome = runner.run(drill(options))
    except (StageError, EmbeddedError) as error:
        sys.exit(str(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("stopped before its end: nothing was written")
    drilled = report.Report(outcome, options.factor)
    print(drilled.text())
    if options.json:
        options.json.write_text(json.dumps(drilled.figures(), indent=2) + "\n")
    if options.write:
        folder = folder_of(options)
        (folder / DOCUMENT).write_text(drilled.document(PICTURE), "utf-8")
        print(f"Written: {folder.relative_to(ROOT) / DOCUMENT}, and {PICTURE} beside it.")
    sys.exit(bool(outcome.findings))


if __name__ == "__main__":
    main()
