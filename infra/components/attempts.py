"""What a run of a job and a revision of a service are called: another name where the last of it did not end well.

Pulumi does not try them again by itself. What failed is in its state as it was wanted to be; the next update sends
that once more under the same name, for which Cloud Run has nothing left to do, and goes on:
https://github.com/pulumi/pulumi/issues/21458. So Cloud Run is asked what became of the last one.
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import pulumi_gcp as gcp

NOT_THERE = ("not found", "SERVICE_DISABLED", "has not been used in project")
"""What the provider says of what was never made, and of a project whose API is not on yet."""
_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Run:
    """The last execution of a job."""

    token: str
    """What its name ends with."""
    succeeded: bool


@dataclass(frozen=True)
class Revision:
    """The last revision of a service."""

    name: str
    ready: bool


def last_run(job: str, project: str, location: str) -> Run | None:
    """Ask Cloud Run for the last run of a job; None where there was none.

    Raises:
        Exception: it gives no answer; what Pulumi raises is of no class of its own.
    """
    found = _existing(partial(gcp.cloudrunv2.get_job, name=job, project=project, location=location))
    if found is None or not found.latest_created_executions:
        return None
    # A job that was given a token is ready when that run has succeeded, and not before.
    succeeded = any(each.state == "CONDITION_SUCCEEDED" for each in found.terminal_conditions)
    return Run(_last_part(found.latest_created_executions[0].name).removeprefix(f"{job}-"), succeeded)


def token(template: str, last: Run | None) -> str:
    """Return the suffix of the execution that a template is run in: that of the last run where it was good for it.

    A name is taken for good. So it is made of the last one as well: whoever goes back to an image of before runs anew.

    Args:
        template: its fingerprint.
        last: the last run of the job, of whatever template.
    """
    of_template = f"m{template[:8]}-"
    if last is not None and last.succeeded and last.token.startswith(of_template):
        return last.token
    before = last.token if last is not None else ""
    return of_template + _digits(f"{template} {before}", 6)


def last_revisions(service: str, project: str, locations: Iterable[str]) -> list[Revision]:
    """Ask Cloud Run for the last revision of a service in each region that has one.

    Raises:
        Exception: as `last_run`.
    """
    ask = partial(gcp.cloudrunv2.get_service, name=service, project=project)
    found = [_existing(partial(ask, location=region)) for region in locations]
    return [
        Revision(_last_part(each.latest_created_revision), each.latest_ready_revision == each.latest_created_revision)
        for each in found
        if each is not None and each.latest_created_revision
    ]


def revision(of_template: str, last: Iterable[Revision]) -> str:
    """Return the name of the revision of a template: that of its last one, unless it did not come up somewhere.

    Args:
        of_template: what all revisions of this template begin with; the first has no more.
        last: the last revision in each region, of whatever template.
    """
    same = [each for each in last if each.name.startswith(of_template)]
    failed = next((each for each in same if not each.ready), None)
    if failed is not None:
        return f"{of_template}-{_digits(failed.name, 4)}"
    return same[0].name if same else of_template


def _existing(ask: Callable[[], _Found]) -> _Found | None:
    try:
        return ask()
    except Exception as error:
        if any(words in str(error) for words in NOT_THERE):
            return None
        raise


def _last_part(name: str) -> str:
    return name.rpartition("/")[2]


def _digits(text: str, number: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:number]
