import pytest

from loadtests.bottleneck import Bottleneck
from loadtests.link_script import LinkState

# 8 Mbit/s are a million bytes a second, so 1000 bytes take a millisecond.
UP = LinkState(8.0, 0.005)
SLOW = LinkState(0.8, 0.005)
DOWN = LinkState(None, 0.005)


def test_an_item_comes_out_after_its_bytes_were_sent_and_the_delay_has_passed() -> None:
    link: Bottleneck[str] = Bottleneck(UP)
    link.push("a", 1000, now_s=10.0)

    assert link.take_due(10.0059) == []
    assert link.take_due(10.0061) == ["a"]


def test_items_are_sent_one_after_the_other_and_delayed_together() -> None:
    link: Bottleneck[str] = Bottleneck(UP)
    link.push("a", 1000, now_s=0.0)
    link.push("b", 1000, now_s=0.0)

    assert link.take_due(0.0065) == ["a"]
    assert link.take_due(0.0071) == ["b"]


def test_a_late_timer_does_not_slow_the_link() -> None:
    link: Bottleneck[int] = Bottleneck(UP)
    for number in range(10):
        link.push(number, 1000, now_s=0.0)

    assert link.take_due(0.0) == []
    assert link.take_due(0.0151) == list(range(10))


def test_time_in_which_nothing_was_queued_is_not_saved_up() -> None:
    link: Bottleneck[str] = Bottleneck(UP)
    link.push("a", 1000, now_s=5.0)
    link.take_due(9.0)
    link.push("b", 1000, now_s=9.0)

    assert link.next_event_s() == pytest.approx(9.001)


def test_a_rate_change_holds_for_the_rest_of_the_item_that_is_being_sent() -> None:
    link: Bottleneck[str] = Bottleneck(UP)
    link.push("a", 1000, now_s=0.0)
    link.set_state(SLOW, now_s=0.0004)

    assert link.next_event_s() == pytest.approx(0.0004 + 600 / 100_000)


def test_a_shorter_delay_does_not_let_the_later_item_overtake() -> None:
    link: Bottleneck[str] = Bottleneck(LinkState(8.0, 1.0))
    link.push("a", 1000, now_s=0.0)
    link.set_state(LinkState(8.0, 0.0), now_s=0.5)
    link.push("b", 1000, now_s=0.5)

    assert link.take_due(0.9) == []
    assert link.take_due(1.1) == ["a", "b"]


def test_an_outage_holds_what_was_queued_and_what_was_under_way_and_both_are_sent_again() -> None:
    link: Bottleneck[str] = Bottleneck(UP)
    for name in "abc":
        link.push(name, 1000, now_s=0.0)
    link.set_state(DOWN, now_s=0.0015)

    assert link.queued_bytes == 3000
    assert link.next_event_s() is None
    assert link.take_due(100.0) == []

    link.set_state(UP, now_s=100.0)
    assert link.take_due(100.0059) == []
    assert link.take_due(100.0081) == ["a", "b", "c"]
    assert link.queued_bytes == 0


def test_an_item_without_bytes_keeps_its_place_in_the_order() -> None:
    link: Bottleneck[str] = Bottleneck(UP)
    link.push("a", 1000, now_s=0.0)
    link.push("end", 0, now_s=0.0)

    assert link.take_due(1.0) == ["a", "end"]
