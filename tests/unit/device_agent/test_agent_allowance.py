from math import inf

import pytest

from device_agent.allowance import SAVED_S, Allowance

HOURLY = 3600.0
"""One a second."""


def test_an_allowance_begins_with_what_a_minute_brings() -> None:
    assert Allowance(HOURLY, now_s=10.0).left(10.0) == pytest.approx(SAVED_S)


def test_what_is_spent_is_gone_and_comes_back_with_time() -> None:
    allowance = Allowance(HOURLY, now_s=10.0)
    allowance.spend(50.0)
    assert allowance.left(10.0) == pytest.approx(10.0)
    assert allowance.left(25.0) == pytest.approx(25.0)


def test_no_more_than_a_minute_is_saved_up() -> None:
    allowance = Allowance(HOURLY, now_s=10.0)
    allowance.spend(30.0)
    assert allowance.left(10_000.0) == pytest.approx(SAVED_S)
    allowance.spend(SAVED_S)
    assert allowance.left(10_001.0) == pytest.approx(1.0)


def test_a_debt_is_made_good_before_anything_may_be_spent_again() -> None:
    allowance = Allowance(HOURLY, now_s=10.0)
    allowance.spend(160.0)
    assert allowance.left(10.0) == pytest.approx(-100.0)
    assert allowance.left(110.0) == pytest.approx(0.0)
    assert allowance.left(115.0) == pytest.approx(5.0)


def test_over_an_hour_of_spending_all_there_is_no_more_is_spent_than_the_hour_and_one_minute_bring() -> None:
    allowance = Allowance(HOURLY, now_s=0.0)
    spent = 0.0
    for tick in range(1, 36_001):
        left = allowance.left(tick / 10)
        if left >= 7.0:
            allowance.spend(7.0)
            spent += 7.0
    assert HOURLY <= spent <= HOURLY + SAVED_S


def test_what_is_not_bounded_is_never_spent() -> None:
    allowance = Allowance(inf, now_s=0.0)
    allowance.spend(1e12)
    assert allowance.left(1.0) == inf
