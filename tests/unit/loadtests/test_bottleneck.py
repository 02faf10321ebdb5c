import statistics

import pytest

from loadtests.bottleneck import Bottleneck
from loadtests.link_script import LinkState
from wire.errors import SettingError

# 8 Mbit/s are a million bytes a second, so 1000 bytes take a millisecond.
UP = LinkState(8.0, 0.005)
SLOW = LinkState(0.8, 0.005)
STALLED = LinkState(0.0, 0.005)
DOWN = LinkState(None, 0.005)
JITTERY = LinkState(8.0, 0.005, jitter_s=0.004)


def arrival_times_s(link: Bottleneck[str]) -> list[float]:
    """Run the link until nothing more will happen, and tell when each item came out."""
    times_s: list[float] = []
    while (now_s := link.next_event_s()) is not None:
        times_s += [now_s] * len(link.take_due(now_s))
    return times_s


def jittered_delays_s(*, seed: int, items: int = 2000) -> list[float]:
    """Send one small item after the other through an idle link, and tell how long each was under way."""
    link: Bottleneck[str] = Bottleneck(JITTERY, seed=seed)
    delays_s = []
    for sent_s in range(items):
        link.push("a", 0, now_s=sent_s)
        delays_s.append(arrival_times_s(link)[0] - sent_s)
    return delays_s


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


def test_a_stalled_link_delivers_what_was_under_way_and_goes_on_afterwards_where_it_stood() -> None:
    link: Bottleneck[str] = Bottleneck(UP)
    for name in "abc":
        link.push(name, 1000, now_s=0.0)
    link.set_state(STALLED, now_s=0.0015)

    assert link.queued_bytes == 2000
    assert link.take_due(100.0) == ["a"]
    assert link.next_event_s() is None

    link.set_state(UP, now_s=100.0)
    assert arrival_times_s(link) == pytest.approx([100.0055, 100.0065])


def test_an_outage_after_a_stall_loses_what_was_sent_before_it() -> None:
    link: Bottleneck[str] = Bottleneck(UP)
    link.push("a", 1000, now_s=0.0)
    link.set_state(STALLED, now_s=0.0005)
    link.set_state(DOWN, now_s=1.0)
    link.set_state(UP, now_s=2.0)

    assert arrival_times_s(link) == pytest.approx([2.006])


@pytest.mark.parametrize("queue_bytes", [32_000, 256_000])
def test_a_queue_that_is_kept_full_delays_by_its_bytes_over_the_rate(queue_bytes: int) -> None:
    link: Bottleneck[str] = Bottleneck(UP, queue_bytes=queue_bytes)
    while link.room_bytes:
        link.push("bulk", 1000, now_s=0.0)
    link.push("small", 0, now_s=0.0)

    assert arrival_times_s(link)[-1] == pytest.approx(queue_bytes / 1e6 + UP.delay_s)


def test_a_queue_has_room_again_when_bytes_have_left_it() -> None:
    link: Bottleneck[str] = Bottleneck(UP, queue_bytes=2000)
    for name in "abc":
        link.push(name, 1000, now_s=0.0)
    assert link.room_bytes == 0

    link.take_due(0.0021)
    assert link.room_bytes == 1000


def test_a_queue_that_holds_no_packet_is_refused() -> None:
    with pytest.raises(SettingError, match="holds no packet"):
        Bottleneck(UP, queue_bytes=1459)


def test_jitter_adds_its_mean_and_never_takes_from_the_delay() -> None:
    delays_s = jittered_delays_s(seed=1)

    assert min(delays_s) >= JITTERY.delay_s - 1e-9
    assert max(delays_s) <= JITTERY.delay_s + JITTERY.jitter_max_s + 1e-9
    assert statistics.fmean(delays_s) == pytest.approx(JITTERY.delay_s + JITTERY.jitter_s, rel=0.05)


def test_the_seed_decides_the_jitter() -> None:
    assert jittered_delays_s(seed=7, items=20) == jittered_delays_s(seed=7, items=20)
    assert jittered_delays_s(seed=7, items=20) != jittered_delays_s(seed=8, items=20)


def test_jitter_does_not_let_the_later_item_overtake() -> None:
    link: Bottleneck[int] = Bottleneck(JITTERY)
    for number in range(500):
        link.push(number, 100, now_s=0.0)
    out: list[int] = []
    while (now_s := link.next_event_s()) is not None:
        out += link.take_due(now_s)

    assert out == list(range(500))
