"""Which run a job is made or changed with: once for each template, and again until a run of it has succeeded.

Pulumi does not know of the second: a job whose run failed is in its state as it was wanted to be, the next update tries
it again with the same token, and succeeds with no run at all, https://github.com/pulumi/pulumi/issues/21458. So Cloud
Run is asked.
"""

import hashlib
from dataclasses import dataclass

import pulumi_gcp as gcp

NOT_THERE = ("not found", "SERVICE_DISABLED", "has not been used in project")
"""What the provider says of a job that was never made, and of a project whose API is not on yet."""


@dataclass(frozen=True)
class Run:
    """The last execution of a job."""

    token: str
    """What its name ends with."""
    succeeded: bool


def last_run(job: str, project: str, location: str) -> Run | None:
    """Ask Cloud Run for the last run of a job; None where there was none.

    Raises:
        Exception: it gives no answer; what Pulumi raises is of no class of its own.
    """
    try:
        found = gcp.cloudrunv2.get_job(name=job, project=project, location=location)
    except Exception as error:
        if any(words in str(error) for words in NOT_THERE):
            return None
        raise
    if not found.latest_created_executions:
        return None
    name = found.latest_created_executions[0].name.rpartition("/")[2]
    # A job that was given a token is ready when that run has succeeded, and not before.
    succeeded = any(each.state == "CONDITION_SUCCEEDED" for each in found.terminal_conditions)
    return Run(name.removeprefix(f"{job}-"), succeeded)


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
    return of_template + hashlib.sha256(f"{template} {before}".encode()).hexdigest()[:6]
