"""`authsvc users`: open, import, show, disable, enable and delete accounts."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from authsvc import operations
from authsvc.clock import SystemClock
from authsvc.commands.names import ReadConfig, account_name, aligned, moment
from authsvc.config import Config
from authsvc.flows.delete_user import delete_as_operator
from authsvc.flows.users import Details, Session, User, Users
from authsvc.operations import OperationError

T = TypeVar("T")
NO_ACCOUNT = "No account has this address or id."
_named = click.argument("name", metavar="EMAIL_OR_ID")


@click.group()
def users() -> None:
    """Accounts."""


@users.command()
@click.argument("email")
@click.pass_obj
def create(read_config: ReadConfig, email: str) -> None:
    """Open an account for EMAIL, by the same rules as the service.

    The password is asked for in a terminal, and else is the first line of standard input.
    """
    config = read_config()
    user = operations.create_user(config, email, _new_password())
    click.echo(f"created {user.public_id} {user.email}")


@users.command(name="import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--strict", is_flag=True, help="Exit with 65 if any row was left out.")
@click.pass_obj
def import_(read_config: ReadConfig, file: Path, *, strict: bool) -> None:
    """Open accounts from FILE, with the hashes they have elsewhere.

    FILE is CSV with the columns email and password_hash, or JSON lines with these members (a name that ends in .jsonl,
    .ndjson or .json). Hashes are argon2 in PHC format or bcrypt ($2a$, $2b$, $2y$). Rows at fault are named with their
    line and left out; addresses that have an account already are left as they are, so that it can be run again.
    """
    result = asyncio.run(operations.import_users(read_config(), file))
    click.echo(f"{result.imported} imported, {result.present} there already, {result.left_out} left out.")
    if strict and result.left_out:
        sys.exit(os.EX_DATAERR)


@users.command()
@_named
@click.pass_obj
def show(read_config: ReadConfig, name: str) -> None:
    """Show an account: never its password's hash, but how that was made."""

    async def look(flow: Users, user: User) -> tuple[User, Details]:
        return user, _found(await flow.details(user.public_id))

    user, details = _about(read_config(), name, look)
    shown = {
        "id": str(user.public_id),
        "email": user.email,
        "created": moment(user.created_at),
        "changed": moment(user.updated_at),
        "disabled": moment(details.disabled_at),
        "password": details.password,
        "sessions": str(len(details.sessions)),
    }
    for line in aligned(shown.items()):
        click.echo(line)


@users.command()
@_named
@click.pass_obj
def disable(read_config: ReadConfig, name: str) -> None:
    """Close an account for a while, and end its sessions.

    Nobody can log in to it; only who knows its password is told why.
    """

    async def close(flow: Users, user: User) -> str:
        ended = await flow.disable(user.public_id)
        return (
            f"disabled {user.email}; {_sessions(ended)} ended"
            if ended is not None
            else f"{user.email} is disabled already"
        )

    click.echo(_about(read_config(), name, close))


@users.command()
@_named
@click.pass_obj
def enable(read_config: ReadConfig, name: str) -> None:
    """Open a disabled account again. Its sessions stay ended."""

    async def reopen(flow: Users, user: User) -> str:
        return f"enabled {user.email}" if await flow.enable(user.public_id) else f"{user.email} is not disabled"

    click.echo(_about(read_config(), name, reopen))


@users.command()
@_named
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def delete(read_config: ReadConfig, name: str, *, yes: bool) -> None:
    """Delete an account, with its sessions and what the journal says about it. That cannot be undone."""
    config = read_config()

    async def itself(_flow: Users, user: User) -> User:
        return user

    user = _about(config, name, itself)
    if not yes:
        click.confirm(f"Delete {user.email} ({user.public_id}) for good?", abort=True, err=True)

    async def remove(flow: Users, user: User) -> None:
        if not await delete_as_operator(flow.database, user.public_id):
            raise OperationError(NO_ACCOUNT)

    _about(config, str(user.public_id), remove)
    click.echo(f"deleted {user.public_id} {user.email}")


@users.command()
@_named
@click.option("--end-all", is_flag=True, help="End them all.")
@click.pass_obj
def sessions(read_config: ReadConfig, name: str, *, end_all: bool) -> None:
    """List the sessions of an account that can still be renewed, the last used first; or end all."""

    async def listed(flow: Users, user: User) -> list[Session]:
        return _found(await flow.details(user.public_id)).sessions

    async def ended(flow: Users, user: User) -> str:
        return f"{_sessions(await flow.end_sessions(user.public_id))} of {user.email} ended"

    if end_all:
        click.echo(_about(read_config(), name, ended))
        return
    head = ("ID", "OPENED", "LAST USED", "EXPIRES", "ADDRESS", "AGENT")
    rows = [
        (
            str(each.id),
            *map(moment, (each.created_at, each.last_used_at, each.expires_at)),
            each.address or "-",
            each.agent or "-",
        )
        for each in _about(read_config(), name, listed)
    ]
    for line in aligned([head, *rows]):
        click.echo(line)


def _about(config: Config, name: str, act: Callable[[Users, User], Awaitable[T]]) -> T:
    """Return what `act` does with the account of this name.

    Raises:
        OperationError: there is none, or the database does not answer.
    """
    wanted = account_name(name)

    async def run() -> T:
        async with operations.open_database(config) as database:
            flow = Users(database, config.sessions, SystemClock())
            return await act(flow, _found(await flow.find(wanted)))

    return asyncio.run(run())


def _found(it: T | None) -> T:
    if it is None:
        raise OperationError(NO_ACCOUNT)
    return it


def _sessions(count: int) -> str:
    return f"{count} session" if count == 1 else f"{count} sessions"


def _new_password() -> str:
    """Return the password. Not an option: the list of processes and the history of the shell would show it."""
    if sys.stdin.isatty():
        password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return password
    try:
        return sys.stdin.buffer.readline().decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise OperationError("The password on standard input is not UTF-8.") from None
