"""The snapshots are what the stacks register now, so that each change of a resource is seen in review."""

import pytest

from tests.infra.cloud import golden, stacks
from tests.infra.cloud.recording import Recording

RENEW = "If that is meant, run `make infra-snapshot` and commit tests/infra/cloud/golden."


def differences(before: dict[str, object], now: dict[str, object]) -> list[str]:
    """Return a line for each resource that is new, gone, or another."""
    lines = [f"new: {title}" for title in now.keys() - before.keys()]
    lines += [f"gone: {title}" for title in before.keys() - now.keys()]
    lines += [f"changed: {title}" for title in now.keys() & before.keys() if now[title] != before[title]]
    return sorted(lines)


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_each_resource_is_the_one_that_was_reviewed(stack: str) -> None:
    found = differences(golden.read(stack), golden.shown(stacks.recorded(stack)))
    assert not found, "\n".join([f"Pulumi.{stack}.yaml:", *found, RENEW])


def test_a_change_is_told_by_the_name_of_its_resource(dev: Recording) -> None:
    now = golden.shown(dev)
    bucket, service = (next(title for title in now if kind in title) for kind in ("bucket:Bucket", "service:Service"))
    changed = {**now[bucket], "protect": True}
    before = {title: value for title, value in now.items() if title != service} | {bucket: changed, "old one": {}}
    assert differences(before, now) == [f"changed: {bucket}", "gone: old one", f"new: {service}"]


def test_no_secret_and_no_password_is_in_a_snapshot(stack: Recording) -> None:
    text = str(golden.shown(stack))
    passwords = [str(each.outputs["result"]) for each in stack.of("RandomPassword")]
    assert passwords
    assert not [each for each in passwords if each in text]
    assert golden.SECRET in text
