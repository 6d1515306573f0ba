"""`authsvc:production false` is how a stack for real people comes apart: nothing protects it, and it is the same."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.infra.cloud import stacks
from tests.infra.cloud.conftest import Recorded
from tests.infra.cloud.recording import Recording, leaves
from tests.infra.cloud.test_scaling_stacks import settings_of

RELEASED = {
    "deletionProtection",
    "deletionProtectionEnabled",
    "deletionPolicy",
    "forceDestroy",
    "retainBackupsOnDelete",
    "retentionDays",  # of the last backup
    "updateTrack",
}
NOT_PRODUCTION = {"authsvc:production": False}


@pytest.fixture(scope="module", params=["prod", "alloydb", "regions"])
def both(request: pytest.FixtureRequest, recorded: Recorded) -> tuple[Recording, Recording]:
    """A stack as it is in production, and released."""
    name = str(request.param)
    if name == "prod":
        return recorded(name), recorded(name, NOT_PRODUCTION)
    return stacks.recorded(settings_of(name)), stacks.recorded(settings_of(name, NOT_PRODUCTION))


def test_what_is_released_is_protected_by_nothing(both: tuple[Recording, Recording]) -> None:
    before, after = both
    assert [each.name for each in before if each.protect]
    assert [each.name for each in after if each.protect or each.retain_on_delete] == []
    assert list(_of(before, "deletionProtection", "deletionProtectionEnabled"))
    assert not any(_of(after, "deletionProtection", "deletionProtectionEnabled"))
    assert all(bucket.inputs["forceDestroy"] for bucket in after.of("storage/bucket:Bucket"))


def test_to_release_a_stack_changes_nothing_else_of_it(both: tuple[Recording, Recording]) -> None:
    before, after = ({(each.type, each.name): dict(leaves(each.inputs)) for each in recording} for recording in both)
    assert before.keys() == after.keys()
    changed = {
        str(path[-1])
        for key, inputs in before.items()
        for path in inputs.keys() | after[key].keys()
        if inputs.get(path) != after[key].get(path)
    }
    assert changed <= RELEASED


def _of(recording: Recording, *names: str) -> Iterator[Any]:
    return (value for each in recording for path, value in leaves(each.inputs) if path[-1:] and path[-1] in names)
