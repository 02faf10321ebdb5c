from math import erfc, inf, sqrt

import numpy as np
import pytest
from planner_bench import EARLY, EARLY_SMALL, INPUT, OUTPUT, TABLE, chosen, decided, snapshot

from device_agent.energy import EnergyModel
from device_agent.limits_kept import chance_missed
from device_agent.link_view import LinkView
from device_agent.prediction import Costs
from device_agent.rules import Goal
from device_agent.snapshot import Limits

ENERGY_FIRST = {"goal": Goal(energy=1.0), "energy": EnergyModel(extra_w=1.0)}
"""The picture is the cheapest, whatever time it takes."""


def missed(**changes) -> list[float]:
    """Give the chance of each option to miss the deadline."""
    looked_at = snapshot(**changes)
    return chance_missed(looked_at, Costs.of(looked_at.estimates)).tolist()


@pytest.mark.parametrize(
    ("limits", "row"),
    [
        (Limits(drop=0.05), EARLY),
        (Limits(drop=0.005), OUTPUT),
        (Limits(energy_j=0.025), INPUT),
        (Limits(cluster_s=0.002), OUTPUT),
        (Limits(bytes=500), OUTPUT),
    ],
)
def test_the_best_within_a_limit_is_chosen(limits: Limits, row: int) -> None:
    assert chosen(limits=limits, energy=EnergyModel(extra_w=3.0)) == row


def test_a_deadline_counts_from_when_the_frame_was_due_and_bears_what_the_link_may_do() -> None:
    energy_first = Goal(energy=1.0)
    cheap = {"goal": energy_first, "energy": EnergyModel(extra_w=1.0)}
    assert chosen(**cheap) == INPUT
    assert chosen(**cheap, limits=Limits(latency_s=0.020)) == EARLY
    assert chosen(**cheap, limits=Limits(latency_s=0.120), now_s=5.1) == EARLY
    unsure = LinkView(0.002, 1e-6, s_per_byte_sd=2e-6)
    assert chosen(**cheap, limits=Limits(latency_s=0.020), link=unsure) == EARLY_SMALL


def test_where_nothing_is_within_the_limits_the_least_bad_is_chosen_and_says_which_broke() -> None:
    decision = decided(limits=Limits(latency_s=0.010, drop=0.05))
    assert TABLE.ids.index(decision.option_id) == EARLY
    assert decision.broken == ("deadline",)
    assert "deadline" in decision.reasons[0]
    late = decided(limits=Limits(latency_s=0.010), now_s=6.0)
    assert TABLE.ids.index(late.option_id) == EARLY_SMALL
    assert late.broken == ("deadline",)


def test_an_overdrawn_allowance_takes_what_spends_least() -> None:
    decision = decided(limits=Limits(bytes=-100.0))
    assert TABLE.ids.index(decision.option_id) == OUTPUT
    assert decision.broken == ("bytes",)


def test_without_a_deadline_none_is_missed_however_slow_the_link_is() -> None:
    assert Limits().latency_s == inf
    assert missed(link=LinkView(50.0, 1.0, s_per_byte_sd=9.0)) == [0.0] * 4


@pytest.mark.parametrize("spare_s", [-0.006, -0.003, 0.0, 0.001, 0.003, 0.006])
def test_the_chance_to_miss_a_deadline_is_that_of_a_normal_distribution_of_the_links_time(spare_s: float) -> None:
    link = LinkView(0.002, 1e-6, base_sd_s=0.003)
    chance = missed(link=link, limits=Limits(latency_s=0.018 + spare_s))[EARLY]
    assert chance == pytest.approx(0.5 * erfc(spare_s / 0.003 / sqrt(2)), abs=0.01)


def test_frames_whose_sizes_differ_widen_the_chance_to_miss() -> None:
    tight = {"limits": Limits(latency_s=0.020), "policy": "fixed:blocks.2/r1"}
    steady, differing = decided(**tight), decided(**tight, bytes_sd=np.array([0.0, 3_000.0, 0.0, 0.0]))
    assert (steady.prediction.link_sd_s, differing.prediction.link_sd_s) == pytest.approx((0.0, 0.003))
    assert (steady.broken, differing.broken) == ((), ("deadline",))
    assert chosen(**ENERGY_FIRST, limits=Limits(latency_s=0.020)) == EARLY
    unlike = {"bytes_sd": np.array([0.0, 3_000.0, 0.0, 0.0])}
    assert chosen(**ENERGY_FIRST, **unlike, limits=Limits(latency_s=0.020)) == EARLY_SMALL


def test_a_likely_hit_is_chosen_before_a_certain_miss_whatever_the_objective() -> None:
    # The frame has 17 ms: the small rate takes 16 of them, give or take 2, and the picture takes 27.
    unsure = {"link": LinkView(0.002, 1e-6, base_sd_s=0.002), "limits": Limits(latency_s=0.017)}
    of_small = missed(**unsure)[EARLY_SMALL]
    assert 0.05 < of_small < 0.5
    decision = decided(**unsure, **ENERGY_FIRST)
    assert TABLE.ids.index(decision.option_id) == EARLY_SMALL
    assert decision.broken == ("deadline",)


def test_a_chance_to_keep_the_deadline_is_worth_some_time_but_not_any() -> None:
    # Of 17.5 ms the large rate takes 18.3, as good as certainly, and the picture 18.8, give or take 4.
    device_s, moved_bytes = np.array([0.0098, 0.0133, 0.0133, 0.06]), np.array([4_000.0, 1.0, 1.0, 0.0])
    common = {
        "allowed": np.array([True, True, False, True]),
        "device_s": device_s,
        "moved_bytes": moved_bytes,
        "limits": Limits(latency_s=0.0175),
    }
    near = {"link": LinkView(0.002, 1e-6, s_per_byte_sd=1e-6)}
    # Or 64 ms, give or take 100.
    far = {"link": LinkView(0.002, 1e-6, s_per_byte_sd=2.5e-5), "cluster_s": np.array([0.048, 0.003, 0.003, 0.0])}
    for picture, row in ((near, INPUT), (far, EARLY)):
        chances = missed(**common, **picture)
        assert chances[INPUT] < 0.7 < 0.9 < chances[EARLY]
        assert chosen(**common, **picture) == row


def test_an_option_beside_which_the_device_can_answer_in_time_keeps_the_deadline_however_uncertain_the_link() -> None:
    unsure = {"link": LinkView(0.002, 1e-6, base_sd_s=5.0, s_per_byte_sd=1.0), "limits": Limits(latency_s=0.1)}
    quick, slow = np.array([0.002, 0.010, 0.010, 0.070]), np.array([0.002, 0.010, 0.010, 0.090])
    assert missed(**unsure, device_s=quick)[:OUTPUT] == [0.0] * 3
    hedged = decided(**unsure, device_s=quick)
    assert (TABLE.ids.index(hedged.option_id), hedged.broken) == (EARLY_SMALL, ())
    assert chosen(**unsure, device_s=slow) == OUTPUT
    assert decided("fixed:blocks.2", **unsure, device_s=slow).broken == ("deadline",)


def test_an_option_whose_head_ends_too_late_for_the_devices_own_answer_is_not_hedged() -> None:
    unsure = {"link": LinkView(0.002, 1e-6, base_sd_s=5.0), "limits": Limits(latency_s=0.1)}
    # The device has to begin 18 ms after the frame was due.
    chances = missed(**unsure, device_s=np.array([0.002, 0.017, 0.019, 0.070]))
    assert chances[:EARLY_SMALL] == [0.0, 0.0]
    assert chances[EARLY_SMALL] > 0.4
    later = missed(**unsure, device_s=np.array([0.002, 0.017, 0.019, 0.070]), now_s=5.002)
    assert (later[INPUT], later[EARLY] > 0.4) == (0.0, True)


def test_other_limits_are_not_broken_for_the_deadlines_sake() -> None:
    # The large rate would be in time, but loses more than may be lost.
    assert chosen(limits=Limits(latency_s=0.020, drop=0.05)) == EARLY
    decision = decided(limits=Limits(latency_s=0.020, drop=0.005))
    assert (TABLE.ids.index(decision.option_id), decision.broken) == (OUTPUT, ("deadline",))
    within = decided("fixed:blocks.2", limits=Limits(latency_s=0.001, bytes=2_000.0))
    assert (TABLE.ids.index(within.option_id), within.broken) == (EARLY_SMALL, ("deadline",))
