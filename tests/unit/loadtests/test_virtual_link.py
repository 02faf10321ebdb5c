import math

import pytest

from loadtests.link_script import LinkScript
from loadtests.virtual_link import NEVER, VirtualLink


def link(text="0:1", *, delay_s=0.005, jitter_s=0.0, seed=0):
    return VirtualLink(LinkScript.parse(text, delay_s=delay_s, jitter_s=jitter_s), seed=seed)


def test_a_message_takes_its_bytes_at_the_rate_and_the_delay():
    assert link().carry("up", 1250, 2.0) == pytest.approx(2.0 + 0.010 + 0.005)


def test_a_message_waits_for_those_before_it_in_its_own_direction_alone():
    both = link()
    both.carry("up", 1250, 0.0)
    assert both.carry("up", 125, 0.004) == pytest.approx(0.011 + 0.005)
    assert both.carry("down", 125, 0.004) == pytest.approx(0.005 + 0.005)
    assert both.carried_bytes == {"up": 1375, "down": 125}


def test_a_rate_that_changes_under_way_counts_from_when_it_does():
    assert link("0:1,1:0.5").carry("up", 1250, 0.996) == pytest.approx(1.0 + 0.012 + 0.005)


def test_a_stall_holds_a_message_up_and_what_is_left_never_comes_where_it_does_not_end():
    assert link("0:1,1:0,3:1").carry("up", 1250, 0.996) == pytest.approx(3.006 + 0.005)
    stalled = link("0:1,1:0")
    assert stalled.carry("up", 1250, 0.996) == NEVER
    assert stalled.carry("up", 1, 5.0) == NEVER


def test_jitter_is_the_seeds_adds_up_to_ten_means_and_lets_nothing_overtake():
    def outs_s(seed):
        jittered = link(jitter_s=0.002, seed=seed)
        return [jittered.carry("up", 125, 0.01 * number) for number in range(200)]

    first, again, other = outs_s(1), outs_s(1), outs_s(2)
    assert first == again
    assert first != other
    assert first == sorted(first)
    plain = link()
    late_s = [out - plain.carry("up", 125, 0.01 * number) for number, out in enumerate(first)]
    assert min(late_s) >= 0
    assert max(late_s) <= 0.020
    assert math.fsum(late_s) / len(late_s) == pytest.approx(0.002, rel=0.3)
