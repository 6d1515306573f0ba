"""What the drill says of the tests of attacks is what came of them."""

from pathlib import Path

import pytest

from drills.attacks import Attacks, try_all

OPTIONS = """
def pytest_addoption(parser):
    for name in ("--kills", "--timing-samples"):
        parser.addoption(name, type=int)
"""
SUITE = """
import pytest

def test_held(): pass
def test_long(pytestconfig):
    assert [pytestconfig.getoption(name) for name in ("--kills", "--timing-samples")] == [100, 1000]
def test_missed(): assert False
@pytest.mark.skip
def test_skipped(): pass
@pytest.fixture
def broken(): raise RuntimeError
def test_not_begun(broken): pass
"""


def test_the_long_form_is_tried_and_only_what_passed_was_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DEP-09, LGN-02: 100 kills and 1000 samples of time, where the suite has fewer. What was skipped was not tried."""
    # Those that it needs, and no other: some take seconds to be imported.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTEST_PLUGINS", "xdist.plugin,pytest_cov.plugin")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")  # names are told from here, wherever the checkout lies
    (tmp_path / "conftest.py").write_text(OPTIONS)
    (tmp_path / "test_suite.py").write_text(SUITE)
    missed = ("test_suite.test_missed", "test_suite.test_not_begun")  # whatever order they ran in
    assert try_all([str(tmp_path)]) == Attacks(tried=4, held=2, missed=missed)
