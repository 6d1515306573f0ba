"""The command line: the only reader of os.environ and argv."""

import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import click

from authsvc import dev, key_rotation, key_sets, logs, machine, operations
from authsvc.addresses import network_of
from authsvc.app import make_tracing
from authsvc.clock import SystemClock
from authsvc.commands.clients import clients
from authsvc.commands.journal import journal
from authsvc.commands.sweep import sweep
from authsvc.commands.users import users
from authsvc.config import Config, ConfigError, settings
from authsvc.installations import EmbeddedError
from authsvc.passwords import choose_threads
from authsvc.server import ServerError, run
from authsvc.store import migrations
from authsvc.store.service_roles import ServiceRoleError
from authsvc.web.origins import client_address

ALGORITHMS = click.Choice(["ES256", "RS256"])
EX_CONFIG = 78
"""sysexits.h: something was found in a misconfigured state."""


def main() -> None:
    """Run the command line."""
    try:
        cli(prog_name="authsvc", obj=_config)
    except ConfigError as error:
        click.echo("authsvc cannot start with this configuration:", err=True)
        for fault in error.faults:
            click.echo(f"  - {fault}", err=True)
        sys.exit(EX_CONFIG)
    except (
        ServerError,
        EmbeddedError,
        migrations.MigrationError,
        ServiceRoleError,
        operations.OperationError,
    ) as error:
        _fail(str(error))


def _fail(sentence: str) -> NoReturn:
    click.echo(f"authsvc: {sentence}", err=True)
    sys.exit(1)


def _config(environ: Mapping[str, str] | None = None, *, keys_needed: bool = True) -> Config:
    given = os.environ if environ is None else environ
    config = Config.read(given, check_keys=key_sets.read_key_set, keys_needed=keys_needed)
    logs.configure(config.logging.format, config.logging.level, google_project=config.logging.google_project)
    return config


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="authsvc")
def cli() -> None:
    """Register, log in, and JSON Web Tokens that your services verify.

    Settings are environment variables: `authsvc check-config` shows them, docs/configuration.md explains them.
    """


@cli.command()
def serve() -> None:
    """Serve until SIGTERM. Apply migrations before, with `authsvc migrate`."""
    run(_config())


@cli.command(name="dev")
def dev_command() -> None:
    """Serve on this machine with a PostgreSQL of its own, migrated, and a signing key made once."""
    with dev.environment(os.environ) as environ:
        config = _config(environ)
        migrations.apply(config.database.url)
        lent = dev.lent(os.environ, environ)
        run(config, on_ready=lambda: click.echo(dev.welcome(config.http.public_url, lent)))


@cli.command()
@click.option("--service-role", metavar="NAME", help="Let this role do what `authsvc serve` needs, and no more.")
@click.option(
    "--service-password-file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Create that role where there is none, with the password in this file; else give it that password.",
)
def migrate(service_role: str | None, service_password_file: Path | None) -> None:
    """Apply the migrations that the database lacks. Several at once take turns."""
    database = _config(keys_needed=False).database
    role = operations.service_role(service_role, service_password_file, database)
    applied = migrations.apply(database.url, role)
    for name in applied:
        click.echo(f"applied {name}")
    click.echo(f"{len(applied)} applied; the database is current.")
    if role:
        click.echo(f"{role.name} may do what the service needs.")


@cli.command()
@click.option(
    "--forwarded-for",
    multiple=True,
    metavar="TEXT",
    help="Say whom a request with this X-Forwarded-For would come from; again for a second line of it.",
)
@click.option("--peer", default="127.0.0.1", show_default=True, help="The other end of that request's connection.")
def check_config(forwarded_for: tuple[str, ...], peer: str) -> None:
    """Print what it would run with, secrets masked; exit 78 and list every fault if it would not."""
    config = _config()
    threads = choose_threads(config, machine.memory_limit())
    config = replace(config, passwords=replace(config.passwords, threads=threads))
    make_tracing(config)
    width = max(len(setting.name) for setting in settings())
    for name, value in config.shown():
        click.echo(f"{name:<{width}}  {value}")
    if not config.limits.enabled:
        click.echo("Warning: AUTHSVC_LIMITS is off: passwords can be guessed as fast as they are hashed.", err=True)
    if forwarded_for:
        client = client_address(peer, forwarded_for, config.http.trusted_proxies)
        click.echo(f"\nSuch a request comes from {client.address}: {client.why}.")
        click.echo(f"Limits count it as {network_of(client.address)}.")


@cli.group()
def keys() -> None:
    """Signing keys."""


@keys.command()
@click.option("--algorithm", type=ALGORITHMS, default="ES256", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="Write to this new file, mode 0600; else print.")
def generate(algorithm: str, output: Path | None) -> None:
    """Make a private JWK set with one key, for AUTHSVC_JWT_KEYS or the file of AUTHSVC_JWT_KEYS_FILE."""
    _put(key_rotation.first_set(algorithm, SystemClock().now()), output)


@keys.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Write to this new file, mode 0600; else print.")
@click.option("--in-place", is_flag=True, help="Replace FILE, whole or not at all.")
@click.option("--algorithm", type=ALGORITHMS, help="Of the new key. Default: that of the key which signs now.")
@click.option("--force", is_flag=True, help="Also too early after the last rotation, as when a key leaked.")
def rotate(file: Path | None, output: Path | None, algorithm: str | None, *, in_place: bool, force: bool) -> None:
    """Make the next JWK set of FILE, by default of AUTHSVC_JWT_KEYS_FILE or AUTHSVC_JWT_KEYS.

    The previous key goes, the current one only verifies, the next one signs, and a new next one is published. A set
    without a next key gets one, and no key moves. Standard error says what became of each key, and how long to wait
    until the next rotation; one that comes too early is refused. See docs/key-rotation.md.
    """
    if in_place and output is not None:
        _fail("--in-place and --output are both given: keep one.")
    source = operations.KeySource.of(os.environ, file)
    if in_place and source.file is None:
        _fail("--in-place needs a file: name it, or set AUTHSVC_JWT_KEYS_FILE.")
    lifetime = operations.token_lifetime(os.environ)
    with operations.alone_with(source.file) if in_place and source.file else nullcontext():
        try:
            rotation = key_rotation.rotate(
                source.read(),
                algorithm=algorithm,
                lifetime_seconds=lifetime,
                now=SystemClock().now(),
                force=force,
            )
        except ValueError as error:
            _fail(f"{source.name} {error}.")
        _put(rotation.text, source.file if in_place else output, replace=in_place)
    for sentence in (*rotation.became, rotation.advice):
        click.echo(sentence, err=True)
    if rotation.warning:
        click.echo(f"Warning: {rotation.warning}", err=True)


def _put(keys: str, output: Path | None, *, replace: bool = False) -> None:
    if output is None:
        click.echo(keys, nl=False)
        return
    try:
        (operations.replace_private if replace else operations.write_private)(output, keys)
    except FileExistsError:
        _fail(f"{output} exists already: it is left as it is; name another file.")
    except OSError as error:
        _fail(f"{output} cannot be written ({error.strerror}).")
    click.echo(f"wrote {output}", err=True)


cli.add_command(users)
cli.add_command(clients)
cli.add_command(journal)
cli.add_command(sweep)


if __name__ == "__main__":
    main()
