"""Measure the service beside the physical limit, in one run (short: `make bench ARGS="--seconds 2 --rounds 1"`).

Each pair is measured in turns, several rounds; medians are compared. Trust the ratios, not the absolute figures.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from bench import accesses, costs, logins, refreshes, revocations, scrapes
from bench.report import Figure, say
from bench.stage import Effort, Stage

CASES = {
    "a": accesses.me,
    "b": logins.over_raw_hash,
    "c": logins.me_in_a_storm,
    "d": accesses.verify,
    "e": accesses.verify_never_seen,
    "f": logins.verify_in_a_storm,
    "g": refreshes.over_bare_update,
    "h": revocations.logout_seen_elsewhere,
    "i": revocations.verify_with_a_million,
    "j": scrapes.scrape,
    "k": costs.costs,
}


def main() -> None:
    """Run the cases, print the table, and exit 1 where something wanted is missed."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="of each pair (default 3)")
    parser.add_argument("--only", default="".join(CASES), help=f"letters of the cases (default {''.join(CASES)})")
    parser.add_argument("--json", type=Path, help="write the figures to this file, too")
    parser.add_argument("--write", action="store_true", help=f"keep what (k) measured in {costs.FILE.name}")
    options = parser.parse_args()
    if options.write and "k" not in options.only:
        parser.error("--write keeps what (k) measures: add k to --only")
    figures: list[Figure] = []
    with Stage.up(Effort(options.seconds, options.rounds)) as stage:
        for letter in options.only:
            say(f"({letter}) {(CASES[letter].__doc__ or '').partition('.')[0]}")
            figures += CASES[letter](stage)
    cores = len(os.sched_getaffinity(0))
    print(f"\nmedians of one run on {cores} cores, Python {sys.version.split()[0]}\n")
    print(f"{'':<74} {'authsvc':>12} {'beside':>12} {'ratio':>6}  wanted")
    for each in figures:
        print(each.line())
    if options.json:
        options.json.write_text(json.dumps([vars(each) for each in figures], indent=2) + "\n")
    if options.write:
        costs.keep()
        print(f"\nwritten: {costs.FILE}; now bring docs/scaling.md up to date with `make capacity`")
    sys.exit(not all(each.met for each in figures))


if __name__ == "__main__":
    main()
