"""When a service is as fast again as before."""

import pytest

from drills.rates import normal_rate, recovery_seconds


def answers(*spans: tuple[float, float, float]) -> list[float]:
    """Return moments: so many a second from one time to another, for each span."""
    return [begin + number / rate for begin, end, rate in spans for number in range(round((end - begin) * rate))]


def test_the_normal_rate_is_the_median_of_the_windows_so_that_a_hiccup_changes_nothing() -> None:
    assert normal_rate(answers((0, 4, 100)), 0, 4) == pytest.approx(100, rel=0.03)
    assert normal_rate(answers((0, 2, 100), (2.4, 4, 100)), 0, 4) == pytest.approx(100, rel=0.03)


@pytest.mark.parametrize("wait", [0.0, 0.5, 1.5])
def test_recovery_is_the_time_to_the_first_window_at_the_normal_rate(wait: float) -> None:
    moments = answers((0, 10, 100), (20 + wait, 30, 100))
    assert recovery_seconds(moments, 20, 100, 30) == pytest.approx(wait, abs=0.11)


def test_a_service_that_answers_slower_than_before_has_not_recovered() -> None:
    assert recovery_seconds(answers((20, 30, 70)), 20, 100, 30) is None
    assert recovery_seconds(answers((20, 30, 85)), 20, 100, 30) == pytest.approx(0, abs=0.11)


def test_what_comes_seldom_is_looked_at_for_longer() -> None:
    assert normal_rate(answers((0, 8, 4)), 0, 8) == pytest.approx(4)
    assert recovery_seconds(answers((20, 20.1, 20), (25, 30, 4)), 20, 4, 30) == pytest.approx(4.8, abs=0.4)


def test_what_never_came_is_not_back() -> None:
    assert recovery_seconds([], 20, 0, 30) is None


def test_what_has_not_been_seen_yet_is_not_judged() -> None:
    assert recovery_seconds(answers((20, 20.3, 100)), 20, 100, 20.3) is None
