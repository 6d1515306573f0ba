"""`authsvc clients`: the credentials of other services."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click

from authsvc import operations
from authsvc.clock import SystemClock
from authsvc.commands.names import ReadConfig, aligned
from authsvc.config import Config
from authsvc.entropy import SystemEntropy
from authsvc.flows.clients import Clients

T = TypeVar("T")


@click.group()
def clients() -> None:
    """Services that may introspect and revoke tokens."""


@clients.command()
@click.argument("name")
@click.pass_obj
def create(read_config: ReadConfig, name: str) -> None:
    """Give the service NAME a credential, and print it: the secret is shown this once, and not kept."""
    made = _run(read_config(), lambda flow: flow.create(name))
    click.echo(f"client_id={made.client.id}\nclient_secret={made.secret}")


@clients.command(name="list")
@click.pass_obj
def list_(read_config: ReadConfig) -> None:
    """Print each service with its client_id, and since when it has it."""
    found = _run(read_config(), lambda flow: flow.all())
    for line in aligned([(str(client.id), f"{client.created_at:%Y-%m-%d}", client.name) for client in found]):
        click.echo(line)


@clients.command()
@click.argument("name")
@click.pass_obj
def delete(read_config: ReadConfig, name: str) -> None:
    """Take the credential of the service NAME back, at once."""
    _run(read_config(), lambda flow: flow.delete(name))
    click.echo(f"deleted {name}")


def _run(config: Config, act: Callable[[Clients], Awaitable[T]]) -> T:
    async def run() -> T:
        async with operations.open_database(config) as database:
            return await act(Clients(database, SystemClock(), SystemEntropy()))

    return asyncio.run(run())
