"""Both stacks, recorded once in a process; `recorded` is for any other."""

from collections.abc import Callable

import pytest

from tests.infra.cloud import stacks
from tests.infra.cloud.recording import Recording

Recorded = Callable[..., Recording]


@pytest.fixture(scope="session")
def recorded() -> Recorded:
    """Record a stack by its name, with overrides, or of its settings: see stacks.recorded."""
    return stacks.recorded


@pytest.fixture(scope="session")
def prod() -> Recording:
    """All of Pulumi.prod.yaml."""
    return stacks.recorded("prod")


@pytest.fixture(scope="session")
def dev() -> Recording:
    """All of Pulumi.dev.yaml."""
    return stacks.recorded("dev")


@pytest.fixture(scope="session", params=stacks.STACKS)
def stack(request: pytest.FixtureRequest) -> Recording:
    """Each of the two in turn."""
    return stacks.recorded(str(request.param))
