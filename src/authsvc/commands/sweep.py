"""`authsvc sweep`: delete what has been kept for long enough."""

import asyncio
import sys

import click

from authsvc import operations
from authsvc.clock import SystemClock
from authsvc.commands.names import ReadConfig, aligned
from authsvc.config import Config
from authsvc.flows.sweep import Retention, Sweep


@click.command()
@click.pass_obj
def sweep(read_config: ReadConfig) -> None:
    """Delete what has been kept for long enough, in small transactions; to be run once a day.

    docs/retention.md says what and when.
    """
    swept = asyncio.run(_sweep(read_config(keys_needed=False)))
    for line in aligned([(f"{count:>9}", each.table, each.rows) for each, count in swept.items()]):
        click.echo(line)


async def _sweep(config: Config) -> dict[Retention, int]:
    swept: dict[Retention, int] = {}
    is_terminal = sys.stderr.isatty()

    def report(line: Retention, count: int) -> None:
        swept[line] = count
        if is_terminal:
            click.echo(f"\r\x1b[K{line.table}: {line.rows}: {count}", err=True, nl=False)

    async with operations.open_database(config) as database:
        try:
            await Sweep(database, config.sessions, config.journal, SystemClock())(report)
        finally:
            if is_terminal:
                click.echo("\r\x1b[K", err=True, nl=False)
    return swept
