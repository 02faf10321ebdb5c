from dataclasses import replace
from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planner_bench import EARLY, EARLY_SMALL, ESTIMATES, INPUT, OUTPUT, TABLE, chosen, decided, snapshot

from cluster.planning.jalad import jalad
from cluster.planning.tables import CutOption, CutTable, Link
from device_agent.energy import EnergyModel
from device_agent.link_view import LinkView
from device_agent.option_table import Floats, OptionTable
from device_agent.planner import BACK_OFF, CALM_S, FULL_GAIN, LOAD_MARGIN, MOST_CALM_S, STAYS, next_calm_s, plan
from device_agent.policy import Policy, check_policy, parse_policy
from device_agent.rules import LATENCY, Goal
from device_agent.snapshot import Estimates, Held, Limits, Snapshot
from wire.errors import SettingError, UnknownPoint
from wire.ids import OptionId, PointName


def test_the_prediction_is_device_plus_link_plus_cluster() -> None:
    prediction = decided(allowed=np.arange(4) == EARLY).prediction
    assert prediction.link_s == pytest.approx(0.002 + 0.003)
    assert prediction.total_s == pytest.approx(0.010 + 0.005 + 0.003)
    assert prediction.bytes == 3_000


def test_every_further_look_costs_a_round_trip_and_the_time_on_the_cluster_once_more() -> None:
    prediction = decided(allowed=np.arange(4) == EARLY, looks=np.array([1, 2.5, 1, 0])).prediction
    assert prediction.device_s == 0.010
    assert prediction.link_s == pytest.approx(2.5 * 0.002 + 0.003)
    assert prediction.cluster_s == pytest.approx(2.5 * 0.003)


def test_energy_is_that_of_the_processor_at_work_and_of_the_radio_while_bytes_are_on_the_way() -> None:
    energy = EnergyModel(extra_w=3.0, alpha_w_per_mbps=0.5, beta_w=0.8)
    prediction = decided(allowed=np.arange(4) == EARLY, energy=energy).prediction
    # 3 kB in 3 ms are 8 Mbit/s.
    assert prediction.energy_j == pytest.approx(3.0 * 0.010 + (0.5 * 8 + 0.8) * 0.003)


def test_the_fewest_bytes_win_a_slow_link_the_picture_a_fast_one_and_the_device_a_hopeless_one() -> None:
    assert chosen(link=LinkView(0.002, 1e-8)) == INPUT
    assert chosen(link=LinkView(0.002, 1e-5)) == EARLY_SMALL
    assert chosen(link=LinkView(0.002, 1e-3)) == OUTPUT


def test_a_point_that_is_busy_or_not_served_is_left_out() -> None:
    assert chosen(cluster_s=np.array([0.003, 9.0, 9.0, 0])) == INPUT
    decision = decided(served=np.array([True, False, False, True]))
    assert TABLE.ids.index(decision.option_id) == INPUT
    assert "2 not served now" in decision.reasons


def test_a_slower_device_sends_earlier() -> None:
    assert chosen(device_s=ESTIMATES.device_s * 10) == INPUT


def test_each_policy_leaves_what_it_says() -> None:
    assert chosen("device-only") == OUTPUT
    assert chosen("cluster-only") == INPUT
    assert chosen("fixed:blocks.2") == EARLY_SMALL
    assert chosen("fixed:blocks.2/r1") == EARLY


def test_while_the_link_is_down_the_device_answers_and_says_whether_a_plan_gave_way() -> None:
    down = decided(link=None)
    assert TABLE.ids.index(down.option_id) == OUTPUT
    assert down.gave_way == "link_down"
    assert plan(snapshot("device-only", link=None)).gave_way is None


def test_where_the_only_point_of_a_policy_takes_no_frames_the_device_answers_and_says_so() -> None:
    refused = decided("fixed:blocks.2", served=np.array([True, False, False, True]))
    assert TABLE.ids.index(refused.option_id) == OUTPUT
    assert refused.gave_way == "unserved"
    assert refused.reasons == ("no point takes frames now",)
    assert decided(served=np.array([False, False, False, True])).gave_way is None


def test_objectives_weigh_latency_energy_and_bytes() -> None:
    energy = EnergyModel(extra_w=3.0, alpha_w_per_mbps=0.3, beta_w=0.1)
    assert chosen(goal=Goal(bytes=1.0)) == OUTPUT
    assert chosen(goal=Goal(energy=1.0), energy=energy) == EARLY_SMALL
    assert chosen(goal=Goal(latency=1.0, bytes=0.1)) == OUTPUT


NEAR = {"device_s": np.array([0.002, 0.010, 0.0118, 0.060])}
"""The small rate is better than the other one by 0.2 ms."""
FREE, BUSY = np.array([0.003, 0.003, 0.003, 0.0]), np.array([0.003, 0.030, 0.030, 0.0])
"""(options,) seconds on the cluster: the picture is the best while the other point is busy, and only then."""


def held(
    row: int, *, cluster_s: Floats = FREE, ago_s: float = 0.0, since_s: float = 0.0, calm_s: float = CALM_S
) -> Held:
    return Held(row, 5.0 - ago_s, cluster_s, since_s=since_s, calm_s=calm_s)


def test_an_option_that_is_nearly_best_is_held() -> None:
    assert chosen(**NEAR) == EARLY_SMALL
    assert chosen(**NEAR, held=held(EARLY, ago_s=60.0)) == EARLY
    assert chosen(**NEAR, held=held(EARLY), calm=False) == EARLY_SMALL
    assert chosen(**NEAR, held=held(EARLY), limits=Limits(bytes=2_000)) == EARLY_SMALL


def test_a_decision_tells_whether_it_is_the_best_or_held_though_another_is_better() -> None:
    assert decided(**NEAR).is_best
    assert decided(**NEAR, held=held(EARLY_SMALL)).is_best
    held_on = decided(**NEAR, held=held(EARLY))
    assert not held_on.is_best
    assert "held, though better blocks.2/r2" in held_on.reasons[0]


def test_a_move_that_the_devices_own_side_asks_for_is_made_at_once() -> None:
    assert chosen(link=LinkView(0.002, 1e-5), held=held(INPUT), draw=0.999) == EARLY_SMALL
    assert chosen(device_s=ESTIMATES.device_s * 10, held=held(EARLY_SMALL), draw=0.999) == INPUT
    # A load that was there when the option was last the best one is no change.
    assert chosen(cluster_s=BUSY, held=held(EARLY_SMALL, cluster_s=BUSY), draw=0.999) == INPUT


@pytest.mark.parametrize(
    ("before", "row", "now", "better"),
    [(FREE, EARLY_SMALL, BUSY, INPUT), (BUSY, INPUT, FREE, EARLY_SMALL)],
    ids=["a point becomes busy", "a point becomes free"],
)
@pytest.mark.parametrize("ago_s", [0.0, 0.033, 1.0, 5.0])
def test_a_move_that_a_change_of_the_clusters_load_asks_for_is_made_by_chance(
    before: Floats, row: int, now: Floats, better: int, ago_s: float
) -> None:
    chance = 1 - exp(-ago_s / CALM_S)
    common = {"cluster_s": now, "held": held(row, cluster_s=before, ago_s=ago_s)}
    assert chosen(**common, draw=chance + 1e-6) == row
    if ago_s:
        assert chosen(**common, draw=chance - 1e-6) == better


def test_the_less_a_move_gains_the_later_it_is_made() -> None:
    """EARLY_SMALL takes 16 ms while the cluster is free, and INPUT 27 ms whatever there is."""
    for more_s, gain in ((0.0130, 2 / 29), (0.0150, 4 / 31), (0.0300, 19 / 46)):
        now = FREE + np.array([0.0, more_s, more_s, 0.0])
        common = {"cluster_s": now, "held": held(EARLY_SMALL, ago_s=0.2)}
        chance = 1 - exp(-0.2 * min((gain - LOAD_MARGIN) / FULL_GAIN, 1.0) / CALM_S)
        assert chosen(**common, draw=chance + 1e-3) == EARLY_SMALL
        assert chosen(**common, draw=chance - 1e-3) == INPUT


def test_a_change_of_load_that_gains_little_is_never_followed_and_one_of_the_link_is() -> None:
    """INPUT takes 5 % less than 58 ms."""
    slower = FREE + np.array([0.0, 0.014, 0.014, 0.0])
    common = {"cluster_s": slower, "link": LinkView(0.030, 1e-6)}
    assert chosen(**common, held=held(EARLY_SMALL, ago_s=60.0), draw=0.0) == EARLY_SMALL
    assert chosen(**common, held=held(EARLY_SMALL, cluster_s=slower), draw=0.999) == INPUT


def test_load_that_became_less_is_followed_as_slowly_as_experience_says_and_load_that_grew_at_once() -> None:
    drawn = {"draw": 1 - exp(-1.0 / CALM_S) - 1e-6}
    freed = held(INPUT, cluster_s=BUSY, ago_s=1.0, calm_s=4 * CALM_S)
    assert chosen(**drawn, cluster_s=FREE, held=freed) == INPUT
    assert chosen(draw=1 - exp(-1.0 / (4 * CALM_S)) - 1e-6, cluster_s=FREE, held=freed) == EARLY_SMALL
    grown = held(EARLY_SMALL, cluster_s=FREE, ago_s=1.0, calm_s=4 * CALM_S)
    assert chosen(**drawn, cluster_s=BUSY, held=grown) == INPUT


def test_whoever_is_driven_out_soon_comes_back_later_and_whoever_stayed_comes_back_sooner() -> None:
    busy = snapshot(cluster_s=BUSY)
    at_once = held(EARLY_SMALL, since_s=busy.now_s)
    assert next_calm_s(at_once, busy) == CALM_S * BACK_OFF
    assert next_calm_s(replace(at_once, calm_s=MOST_CALM_S), busy) == MOST_CALM_S
    stayed = held(EARLY_SMALL, since_s=busy.now_s - STAYS * 2 * CALM_S, calm_s=2 * CALM_S)
    assert next_calm_s(stayed, busy) == 2 * CALM_S / BACK_OFF
    assert next_calm_s(replace(stayed, calm_s=CALM_S), busy) == CALM_S
    # Whoever leaves for the link's sake learns nothing of the crowd.
    assert next_calm_s(replace(at_once, cluster_s=BUSY), busy) == CALM_S


@st.composite
def cut_tables(draw: st.DrawFn) -> CutTable:
    amount = st.floats(0.001, 1.0)
    options = [
        CutOption(
            point=PointName(f"p{row}"), rate="r", device_s=draw(amount), cluster_s=draw(amount),
            bytes=draw(st.floats(1, 1e5)), device_energy_j=0.0, drop=draw(st.floats(0, 0.2)),
        )
        for row in range(draw(st.integers(1, 12)))
    ]  # fmt: skip
    alone = CutOption(
        point=PointName("output"), rate="whole", device_s=draw(amount), cluster_s=0.0, bytes=0.0, device_energy_j=0.0
    )
    return CutTable((*options, alone))


@settings(deadline=None, max_examples=60)
@given(cut_tables(), st.floats(1e3, 1e7), st.floats(0, 0.1), st.floats(0.0, 0.2))
def test_the_choice_costs_what_the_optimum_of_the_integer_program_costs(
    cuts: CutTable, bytes_s: float, base_s: float, most_drop: float
) -> None:
    link = Link(name="test", uplink_bytes_s=bytes_s, downlink_bytes_s=bytes_s, base_s=base_s)
    count = len(cuts.options)
    sends = np.arange(count) < count - 1
    table = OptionTable(
        ids=tuple(map(OptionId, range(count))), names=tuple(f"{o.point}/{o.rate}" for o in cuts.options),
        points=tuple(o.point for o in cuts.options[:-1]), point_of=np.where(sends, np.arange(count), -1), sends=sends,
        drop=np.array([o.drop for o in cuts.options]), local=count - 1,
    )  # fmt: skip
    estimates = Estimates(
        device_s=np.array([o.device_s for o in cuts.options]), moved_bytes=np.array([o.bytes for o in cuts.options]),
        bytes_sd=np.zeros(count), looks=sends.astype(float), cluster_s=np.array([o.cluster_s for o in cuts.options]),
        served=np.ones(count, bool), closed=np.zeros(count, bool),
        asleep=np.zeros(count, bool), link=LinkView(base_s, 1 / bytes_s),
        energy=EnergyModel(),
    )  # fmt: skip
    decision = plan(
        Snapshot(
            table=table, estimates=estimates, allowed=np.ones(count, bool), goal=LATENCY,
            limits=Limits(drop=most_drop), due_s=0.0, now_s=0.0,
        )
    )  # fmt: skip
    optimum = jalad(cuts, link, most_drop=most_drop)
    assert decision.prediction.total_s == pytest.approx(optimum.costs.latency_s, rel=1e-6)
    assert cuts.options[table.ids.index(decision.option_id)].drop <= most_drop or most_drop >= 1


def test_a_policy_is_read_from_its_name() -> None:
    assert parse_policy("fixed:blocks.2") == Policy("fixed", PointName("blocks.2"))
    assert parse_policy("fixed:blocks.2/r1") == Policy("fixed", PointName("blocks.2"), "r1")
    assert str(parse_policy("fixed:blocks.2/r1")) == "fixed:blocks.2/r1"
    assert str(parse_policy("deepcod")) == "deepcod"
    for text in ("", "fixed", "fixed:", "fixed:/r1", "fixed:p/", "auto:x", "fastest"):
        with pytest.raises(SettingError) as caught:
            parse_policy(text)
        assert "device-only" in caught.value.mend


def test_a_policy_that_leaves_nothing_to_choose_from_says_what_there_is() -> None:
    choices = [(PointName("input"), "r1"), (PointName("output"), "whole")]
    check_policy(parse_policy("auto"), choices)
    check_policy(parse_policy("fixed:output"), choices)
    with pytest.raises(UnknownPoint, match="blocks") as caught:
        check_policy(parse_policy("fixed:blocks.9"), choices)
    assert "input, output" in caught.value.mend
    with pytest.raises(UnknownPoint, match="rate"):
        check_policy(parse_policy("fixed:input/r7"), choices)
    with pytest.raises(UnknownPoint):
        check_policy(parse_policy("cluster-only"), choices[1:])


def test_an_option_whose_stream_has_to_be_opened_pays_for_it_and_is_named_ahead() -> None:
    # The small rate is best by itself; the round trips of an opening make another one better, for now.
    away = LinkView(base_s=0.005, s_per_byte=1e-6)
    opened = decided(link=away)
    best = TABLE.ids.index(opened.option_id)
    assert opened.ahead is None
    closed = TABLE.point_of == TABLE.point_of[best]
    decision = decided(link=away, closed=closed)
    assert not closed[TABLE.ids.index(decision.option_id)]
    assert decision.ahead is not None
    assert closed[TABLE.ids.index(decision.ahead)]


def test_a_closed_stream_that_nothing_is_gained_by_is_not_opened_ahead() -> None:
    best = TABLE.ids.index(decided().option_id)
    others = TABLE.sends & (TABLE.point_of != TABLE.point_of[best])
    assert others.any()
    assert decided(closed=others).ahead is None


def test_an_option_whose_point_sleeps_is_not_chosen_and_is_named_ahead_where_it_would_be_better() -> None:
    best = TABLE.ids.index(decided().option_id)
    asleep = TABLE.point_of == TABLE.point_of[best]
    decision = decided(asleep=asleep, closed=asleep, served=~asleep)
    assert not asleep[TABLE.ids.index(decision.option_id)]
    assert decision.ahead == TABLE.ids[best]
