"""`authsvc journal`: who did what, when, and from where."""

import asyncio
import dataclasses
import re
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from uuid import UUID

import click
import orjson

from authsvc import operations
from authsvc.clock import SystemClock
from authsvc.commands.names import ReadConfig, account_name, aligned, moment
from authsvc.config import Config
from authsvc.flows.journal import Entry, Filters, Journal, events_like
from authsvc.flows.users import Users
from authsvc.operations import OperationError

MOST = 100_000
# No client waits for it, and a filter without an index reads much.
STATEMENT_SECONDS = 60.0
_AGO = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _moment(_context: click.Context, _option: click.Parameter, value: str | None) -> datetime | None:
    """Read a moment: so long ago (`90s`, `15m`, `24h`, `7d`), or ISO 8601, in UTC where it names no zone."""
    if value is None:
        return None
    try:
        if ago := _AGO.fullmatch(value):
            return SystemClock().now() - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        given = datetime.fromisoformat(value)
        return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter("Give 24h (s, m, h, d), 2026-11-22, or 2026-11-22T12:00:00Z.") from None


def _address(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Read a network address; return its one spelling."""
    try:
        return None if value is None else str(ip_address(value))
    except ValueError:
        raise click.BadParameter("Give an IPv4 or IPv6 address.") from None


@click.command()
@click.option("--user", metavar="EMAIL_OR_ID", help="About this account.")
@click.option("--event", metavar="PATTERN", help="Of these kinds: session:login:failure, 'session:*', '*:failure'.")
@click.option(
    "--since", callback=_moment, metavar="MOMENT", help="From then on: 24h, 7d, 2026-11-22, 2026-11-22T12:00:00Z."
)
@click.option("--until", callback=_moment, metavar="MOMENT", help="Before then.")
@click.option("--address", callback=_address, metavar="ADDRESS", help="From this network address.")
@click.option("--limit", type=click.IntRange(1, MOST), default=100, show_default=True, help="The newest so many.")
@click.option("--json", "as_json", is_flag=True, help="JSON lines, with the sessions' ids.")
@click.pass_obj
def journal(
    read_config: ReadConfig,
    *,
    user: str | None,
    event: str | None,
    since: datetime | None,
    until: datetime | None,
    address: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show who did what, when, and from where: the newest last, as in a log.

    An id finds what is left of a deleted account, too.
    """
    events = None if event is None else events_like(event)
    if events == []:
        raise OperationError("No event is called so: subject:action:outcome, such as session:login:failure.")
    filters = Filters(None, events, since, until, address)
    entries = asyncio.run(_search(read_config(), user, filters, limit))
    if as_json:
        for entry in entries:
            click.echo(orjson.dumps(entry, default=str, option=orjson.OPT_UTC_Z))
        return
    head = ("TIME", "EVENT", "ACCOUNT", "ADDRESS", "AGENT")
    rows = [
        (moment(each.recorded_at), each.event, str(each.subject or "-"), each.address or "-", each.agent or "-")
        for each in entries
    ]
    for line in aligned([head, *rows]):
        click.echo(line)


async def _search(config: Config, user: str | None, filters: Filters, limit: int) -> list[Entry]:
    patient = dataclasses.replace(config.database, statement_seconds=STATEMENT_SECONDS)
    async with operations.open_database(dataclasses.replace(config, database=patient)) as database:
        name = None if user is None else account_name(user)
        if name is not None and not isinstance(name, UUID):
            found = await Users(database, config.sessions, SystemClock()).find(name)
            if found is None:
                raise OperationError("No account has this address.")
            name = found.public_id
        return await Journal(database).search(dataclasses.replace(filters, subject=name), limit)
