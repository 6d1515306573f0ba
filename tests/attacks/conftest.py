"""What the attacks on tokens share."""

import pytest

from authsvc.signing import AccessTokenReader
from tests.attacks.tokens import ISSUER, both
from tests.conftest import FrozenClock


@pytest.fixture
def reader(clock: FrozenClock) -> AccessTokenReader:
    return AccessTokenReader(both().verification, issuer=ISSUER, audience="authsvc", clock=clock)
