"""A new version gets a tag and none of the traffic, is checked, then takes it: `python -m infra.rollout --help`.

It writes authsvc:image and authsvc:rollout of the stack and runs `pulumi up`, so that the stack file always says who
serves what. Every migration suits the version before it, so that going back is a matter of traffic alone: and so only
to the one before, which is why a `pulumi up` with an image that was not rolled out here is refused after a rollout.
"""

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import click

from infra import candidate
from infra.candidate import Candidate, Probe
from infra.settings import PROJECT, Settings, SettingsError

INFRA = Path(__file__).parent
ALL = 100


class RolloutError(Exception):
    """It cannot be done now; the message says why, and what to do."""


@dataclass(frozen=True)
class State:
    """What the stack file and the last update say."""

    percent: int
    stable: str | None
    newest: str | None
    image: str
    """Of the newest, whatever image the stack file has been given since."""


@dataclass(frozen=True)
class Change:
    """What is written into the stack file."""

    percent: int
    stable: str
    image: str

    @property
    def rollout(self) -> dict[str, Any]:
        """The section of that name."""
        return {"stable": self.stable, "percent": self.percent, "image": self.image}

    @property
    def settings(self) -> dict[str, str]:
        """By the path of the key."""
        rollout = {f"{PROJECT}:rollout.{key}": str(value) for key, value in self.rollout.items()}
        return {**rollout, f"{PROJECT}:image": self.image}


def begin(state: State, image: str) -> Change:
    """Return how a version comes without any of the traffic.

    Raises:
        RolloutError: another one is under way, or none serves yet.
    """
    if 0 < state.percent < ALL:
        raise RolloutError(f"{state.newest} has {state.percent} % of the traffic: run finish or back first.")
    stable = state.stable if state.percent == 0 else state.newest
    if not stable:
        raise RolloutError("No revision serves yet: run pulumi up first.")
    return Change(0, stable, image)


def share(state: State, percent: int) -> Change:
    """Return how the newest gets a share.

    Raises:
        RolloutError: none is being rolled out.
    """
    return Change(percent, _under_way(state), state.image)


def finish(state: State) -> Change:
    """Return how the newest takes all; which one it was before is kept, to go back to.

    Raises:
        RolloutError: none is being rolled out.
    """
    return Change(ALL, _under_way(state), state.image)


def back(state: State) -> Change:
    """Return how the one before takes all of the traffic again, during a rollout and after it.

    Raises:
        RolloutError: there is none, or it has it already.
    """
    if not state.stable or state.stable == state.newest:
        raise RolloutError("There is no other revision to go back to: authsvc:rollout.stable names none.")
    if state.percent == 0:
        raise RolloutError(f"{state.stable} serves everything already.")
    return Change(0, state.stable, state.image)


def _under_way(state: State) -> str:
    if state.percent == ALL or not state.stable:
        raise RolloutError("No version is being rolled out: run begin first.")
    return state.stable


@dataclass(frozen=True)
class Stack:
    """A stack of Pulumi, by way of its command line."""

    name: str

    def config(self) -> dict[str, Any]:
        """Return the stack file by its full keys, secrets left out."""
        given = json.loads(self._pulumi("config", "--json"))
        return {key: each.get("objectValue", each.get("value")) for key, each in given.items()}

    def outputs(self) -> dict[str, Any]:
        """Return what the last update said, secrets included."""
        return dict(json.loads(self._pulumi("stack", "output", "--json", "--show-secrets")))

    def state(self) -> State:
        """Return who serves what."""
        config = self.config()
        rollout = config.get(f"{PROJECT}:rollout") or {}
        image = rollout.get("image") or config.get(f"{PROJECT}:image") or ""
        newest = self.outputs().get("latest_revision")
        return State(int(rollout.get("percent", ALL)), rollout.get("stable") or None, newest, image)

    def apply(self, change: Change) -> None:
        """Write a change into the stack file, and update the stack.

        Raises:
            RolloutError: a stack with it cannot be built, and nothing was written; or Pulumi failed.
        """
        changed = {**self.config(), f"{PROJECT}:rollout": change.rollout, f"{PROJECT}:image": change.image}
        try:
            Settings.read(self.name, changed)
        except SettingsError as error:
            raise RolloutError(str(error)) from None
        for key, value in change.settings.items():
            self._pulumi("config", "set", "--path", key, value)
        self._pulumi("up", "--yes", "--skip-preview", shown=True)

    def candidate(self) -> Candidate:
        """Return where the newest is reached."""
        outputs = self.outputs()
        if not outputs.get("candidate_url"):
            raise RolloutError("The newest revision has no address yet: run pulumi up once more.")
        return Candidate(outputs["candidate_url"], outputs["url"], outputs.get("candidate_key"))

    def _pulumi(self, *arguments: str, shown: bool = False) -> str:
        program = shutil.which("pulumi")
        if program is None:
            raise RolloutError(
                "pulumi is not on the PATH: install it as https://www.pulumi.com/docs/install/ says, and log in to"
                " where the state of the stack is."
            )
        done = subprocess.run(  # noqa: S603 - the program that was found, and our own arguments
            [program, *arguments, "--stack", self.name, "--non-interactive"],
            cwd=INFRA,
            stdout=None if shown else subprocess.PIPE,
            stderr=None if shown else subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            said = "" if shown else f": {(done.stderr or done.stdout).strip()}"
            raise RolloutError(f"pulumi {arguments[0]} failed{said}.")
        return done.stdout or ""


def error_share(project: str, revision: str) -> list[str]:
    """Return a sentence where too many of its answers are errors, as far as Cloud Monitoring can be asked."""
    program = shutil.which("gcloud")
    if program is None:
        click.echo("Its share of errors was not asked for: gcloud is not on the PATH.")
        return []
    try:
        printed = subprocess.run(  # noqa: S603
            [program, "auth", "print-access-token"], capture_output=True, text=True, check=True
        )
        counts = asyncio.run(candidate.ask_monitoring(project, revision, printed.stdout.strip()))
    except (subprocess.CalledProcessError, aiohttp.ClientError, TimeoutError) as error:
        click.echo(f"Its share of errors could not be asked for: {error}")
        return []
    click.echo(f"It answered {sum(counts.values()):.0f} requests in the last {candidate.WINDOW}.")
    return list(candidate.faults_of(counts))


def check(stack: Stack, probe: Probe | None) -> None:
    """Ask the newest revision itself, and then what is known of its answers.

    Raises:
        RolloutError: it is not fit to serve.
    """
    revision, project = stack.state().newest, stack.config()["gcp:project"]
    found = candidate.run(stack.candidate(), probe)
    found = found or error_share(str(project), str(revision))
    if found:
        faults = "".join(f"\n  {fault}" for fault in found)
        raise RolloutError(f"{revision} is not fit to serve:{faults}\nTo go back: python -m infra.rollout back")
    without = "" if probe else ", without a login: no probe account was given"
    click.echo(f"{revision} was checked{without}.")


def _probe(email: str | None, password_file: Path | None) -> Probe | None:
    if email is None and password_file is None:
        return None
    if email is None or password_file is None:
        raise RolloutError("--probe-email and --probe-password-file go together: give both, or neither.")
    return Probe(email, password_file.read_text("utf-8").rstrip("\r\n"))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except RolloutError as error:
        raise click.ClickException(str(error)) from None


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--stack", "name", required=True, help="Which stack: prod, dev.")
@click.option("--probe-email", help="An account to log in with when a revision is checked.")
@click.option(
    "--probe-password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The file that its password is in.",
)
@click.pass_context
def main(context: click.Context, name: str, probe_email: str | None, probe_password_file: Path | None) -> None:
    """Roll a version out step by step, and go back with one command.

    \b
    python -m infra.rollout --stack prod begin REGISTRY/authsvc@sha256:…   none of the traffic, and checked
    python -m infra.rollout --stack prod share 10                          a tenth of it
    python -m infra.rollout --stack prod finish                            all of it
    python -m infra.rollout --stack prod back                              the one before has it again, at any time
    """  # noqa: D301 - click's own mark
    with _told():
        context.obj = (Stack(name), _probe(probe_email, probe_password_file))


@main.command(name="begin")
@click.argument("image")
@click.pass_obj
def begin_command(obj: tuple[Stack, Probe | None], image: str) -> None:
    """Migrate, and start IMAGE (by its digest) without any of the traffic; then check it."""
    stack, probe = obj
    with _told():
        stack.apply(begin(stack.state(), image))
        check(stack, probe)
        click.echo("It has none of the traffic. Next: share PERCENT, or finish.")


@main.command(name="share")
@click.argument("percent", type=click.IntRange(1, ALL - 1))
@click.pass_obj
def share_command(obj: tuple[Stack, Probe | None], percent: int) -> None:
    """Check the newest revision, and give it PERCENT of the traffic."""
    stack, probe = obj
    with _told():
        change = share(stack.state(), percent)
        check(stack, probe)
        stack.apply(change)
        click.echo(f"It has {percent} % of the traffic. Next: share more, finish, or back.")


@main.command(name="finish")
@click.pass_obj
def finish_command(obj: tuple[Stack, Probe | None]) -> None:
    """Check the newest revision, and give it all of the traffic."""
    stack, probe = obj
    with _told():
        change = finish(stack.state())
        check(stack, probe)
        stack.apply(change)
        click.echo(f"It has all of the traffic. {change.stable} is kept: back goes there.")


@main.command(name="back")
@click.pass_obj
def back_command(obj: tuple[Stack, Probe | None]) -> None:
    """Give all of the traffic to the revision before. Asks nothing of the newest, which may be down."""
    stack, _probe = obj
    with _told():
        change = back(stack.state())
        stack.apply(change)
        click.echo(f"{change.stable} has all of the traffic.")


if __name__ == "__main__":
    main(prog_name="python -m infra.rollout")
