from dataclasses import replace

import pytest
from agent_fakes import load, make_decider, option

from device_agent.allowance import Allowance
from device_agent.cluster_view import ClusterView
from device_agent.decider import SIZES_EVERY_S, Decider
from device_agent.energy import EnergyModel
from device_agent.link_view import LinkView
from device_agent.option_costs import OptionCosts
from device_agent.planner import Decision
from device_agent.policy import parse_policy
from device_agent.rules import Constraints, Rules

PIXELS = replace(option(1, "input/raw", bytes_mean=20_000), device_graph=None, coder="jpeg")
FINE = option(2, "mid/fine", bytes_mean=3_000, drop=0.01)
COARSE = option(3, "mid/coarse", bytes_mean=1_000, drop=0.08)
WHOLE = option(4, "output/whole")
OPTIONS = (PIXELS, FINE, COARSE, WHOLE)
OPENED = ("input", "mid")
DEVICE_S = {PIXELS.id: 0.001, FINE.id: 0.010, COARSE.id: 0.010, WHOLE.id: 0.060}
SLOW_S_PER_BYTE, NEAR_S_PER_BYTE, FAST_S_PER_BYTE = 1e-6, 5e-7, 1e-8
"""The coarse rate wins on the slow link, the pixels on the fast one, and where they are near it is by half a ms."""


class FixedLink:
    """The seam of the link's estimate: as fast as a test says."""

    def __init__(self, s_per_byte: float = SLOW_S_PER_BYTE) -> None:
        self.s_per_byte = s_per_byte

    def view(self, now_s: float) -> LinkView:
        return LinkView(0.0, self.s_per_byte)


class DoubtfulLink(FixedLink):
    """One of which next to nothing is known."""

    def view(self, now_s: float) -> LinkView:
        return LinkView(0.0, self.s_per_byte, s_per_byte_sd=100 * self.s_per_byte)


def decider_of(policy: str = "auto", *, calm: bool = True, link: FixedLink | None = None, **changes) -> Decider:
    constraints = changes.pop("constraints", Constraints())
    rules = Rules(policy=parse_policy(policy), constraints=constraints, calm=calm, races=changes.pop("races", True))
    cluster = ClusterView()
    cluster.note_loads([load(point, service_s=0.003, queue_s=0.0) for point in ("input", "mid")], now_s=0.0)
    costs = OptionCosts(OPTIONS, DEVICE_S)
    return make_decider(OPTIONS, costs, rules, link=link or FixedLink(), cluster=cluster, **changes)


def decided(decider: Decider, *, now_s: float = 1.0, activity: float = 10.0, link_up: bool = True) -> Decision:
    return decider.decide(due_s=now_s, now_s=now_s, activity=activity, link_up=link_up, opened=OPENED)


def chosen(decider: Decider, *, now_s: float = 1.0, activity: float = 10.0, link_up: bool = True) -> str:
    decision = decided(decider, now_s=now_s, activity=activity, link_up=link_up)
    return decider.table.names[decider.costs.row(decision.option_id)]


def test_what_is_known_of_device_link_and_cluster_makes_the_choice() -> None:
    decider = decider_of()
    decision = decided(decider)
    assert decision.option_id == COARSE.id
    assert (decision.prediction.device_s, decision.prediction.cluster_s) == (0.010, 0.003)
    assert decision.prediction.link_s == pytest.approx(1490e-6)
    assert chosen(decider, link_up=False) == "output/whole"
    assert decider.local_s() == 0.060


def test_an_option_that_is_nearly_best_is_held_and_only_moves_are_counted_as_switches() -> None:
    link = FixedLink(FAST_S_PER_BYTE)
    decider = decider_of(link=link)
    assert (chosen(decider), decider.switches) == ("input/raw", 0)
    link.s_per_byte = NEAR_S_PER_BYTE
    assert (chosen(decider), decider.switches) == ("input/raw", 0)
    link.s_per_byte = SLOW_S_PER_BYTE
    assert (chosen(decider), decider.switches) == ("mid/coarse", 1)
    link.s_per_byte = NEAR_S_PER_BYTE
    assert (chosen(decider), decider.switches) == ("mid/coarse", 1)
    assert (chosen(decider, link_up=False), decider.switches) == ("output/whole", 2)


def test_without_calm_nothing_is_held() -> None:
    link = FixedLink(FAST_S_PER_BYTE)
    decider = decider_of(link=link, calm=False)
    assert chosen(decider) == "input/raw"
    link.s_per_byte = NEAR_S_PER_BYTE
    assert chosen(decider) == "mid/coarse"


def test_an_allowance_bounds_the_choice_until_time_has_made_it_good() -> None:
    # A minute brings 4000 bytes: enough for one frame of the fine rate, and not for the pixels.
    constraints = Constraints(most_drop=0.05)
    decider = decider_of(constraints=constraints, bytes_left=Allowance(240_000, now_s=0.0))
    assert chosen(decider, now_s=1.0) == "mid/fine"
    decider.spend(3_490, 0.0)
    assert chosen(decider, now_s=1.1) == "output/whole"
    assert chosen(decider, now_s=60.0) == "mid/fine"


def test_an_allowance_of_joules_bounds_the_choice_too() -> None:
    # A frame of the whole network takes 0.18 J, one with the head of the middle 0.03.
    model = EnergyModel(extra_w=3.0)
    decider = decider_of(energy=model, joules_left=Allowance(6.0, now_s=0.0), link=FixedLink(1e-4))
    assert chosen(decider) == "mid/coarse"
    assert chosen(decider_of(energy=model, link=FixedLink(1e-4))) == "output/whole"


def test_a_rate_that_is_named_is_taken_whatever_it_loses() -> None:
    constraints = Constraints(most_drop=0.05)
    named = decided(decider_of("fixed:mid/coarse", constraints=constraints))
    assert (named.option_id, named.broken) == (COARSE.id, ())
    assert chosen(decider_of("fixed:mid", constraints=constraints)) == "mid/fine"
    strict = decider_of("fixed:mid", constraints=Constraints(most_drop=0.005))
    decision = decided(strict)
    assert (decision.option_id, decision.broken) == (FINE.id, ("drop",))


def note_queue(decider: Decider, point: str, queue_s: float, now_s: float = 1.0) -> None:
    decider.cluster.note_loads([load(point, service_s=0.003, queue_s=queue_s)], now_s=now_s)


def moves_at_s(decider: Decider, name: str, queue_s: float, *, from_s: float = 1.0, every_s: float = 0.1) -> float:
    """With such a queue at the middle from now on, say when the option of a frame is the one named."""
    for frame in range(1, 1000):
        now_s = from_s + frame * every_s
        note_queue(decider, "mid", queue_s, now_s=now_s)
        if chosen(decider, now_s=now_s) == name:
            return now_s
    raise AssertionError("it never moved")


def seconds_until_the_move(seed: int, every_s: float) -> float:
    """A queue at the middle begins after the first frame and stays."""
    decider = decider_of(seed=seed)
    assert chosen(decider) == "mid/coarse"
    return moves_at_s(decider, "input/raw", 0.5, every_s=every_s) - 1.0


def test_agents_of_one_seed_move_at_once_and_those_of_others_one_by_one() -> None:
    assert seconds_until_the_move(5, 0.1) == seconds_until_the_move(5, 0.1)
    assert len({seconds_until_the_move(seed, 0.1) for seed in range(10)}) > 3


def test_how_soon_agents_follow_the_load_is_a_matter_of_time_and_not_of_frames() -> None:
    means_s = [sum(seconds_until_the_move(seed, every_s) for seed in range(40)) / 40 for every_s in (0.2, 0.05)]
    assert means_s == pytest.approx([1.5, 1.5], rel=0.5)


def test_a_load_that_came_since_the_option_was_best_stays_news_for_as_long_as_it_is_held() -> None:
    deciders = [decider_of(seed=seed) for seed in range(10)]
    for decider in deciders:
        assert chosen(decider) == "mid/coarse"
        note_queue(decider, "mid", 0.5)
        # No time goes by, so that there is no chance to follow it.
        assert [chosen(decider) for _ in range(5)] == ["mid/coarse"] * 5
        assert decider.switches == 0


def test_a_load_under_which_the_option_was_still_the_best_is_no_news_any_more() -> None:
    link = FixedLink()
    deciders = [decider_of(seed=seed, link=link) for seed in range(20)]
    for decider in deciders:
        assert chosen(decider) == "mid/coarse"
        note_queue(decider, "mid", 0.006)
        assert chosen(decider) == "mid/coarse"
    link.s_per_byte = FAST_S_PER_BYTE
    assert {chosen(decider) for decider in deciders} == {"input/raw"}


def test_a_point_that_fills_up_whenever_it_is_come_to_is_come_to_ever_more_seldom() -> None:
    away_s = []
    for seed in range(40):
        decider, now_s = decider_of(seed=seed), 1.0
        assert chosen(decider, now_s=now_s) == "mid/coarse"
        for _ in range(3):
            left_s = moves_at_s(decider, "input/raw", 0.5, from_s=now_s)
            now_s = moves_at_s(decider, "mid/coarse", 0.0, from_s=left_s)
            away_s.append(now_s - left_s)
    first, second, third = (sum(away_s[lap::3]) / 40 for lap in range(3))
    assert second > 1.3 * first
    assert third > 1.3 * second


def test_load_that_became_less_while_the_link_was_down_is_followed_at_once() -> None:
    def frames_until_the_move(seed: int, *, link_up: bool) -> int:
        decider = decider_of(seed=seed)
        for step in range(20):
            now_s = 1.0 + step / 10
            for point in ("input", "mid"):
                decider.cluster.note_loads([load(point, service_s=0.003, queue_s=9.0)], now_s=now_s)
            assert chosen(decider, now_s=now_s, link_up=link_up) == "output/whole"
        return round((moves_at_s(decider, "mid/coarse", 0.0, from_s=now_s) - now_s) / 0.1)

    assert {frames_until_the_move(seed, link_up=False) for seed in range(10)} == {1}
    assert max(frames_until_the_move(seed, link_up=True) for seed in range(10)) > 3


def test_our_own_planner_races_on_a_doubtful_link_unless_it_is_told_not_to_and_no_other_policy_does() -> None:
    def races(policy: str, **changes) -> bool:
        decision = decided(decider_of(policy, **changes))
        assert decision.option_id != WHOLE.id
        return decision.prediction.races

    assert races("auto", link=DoubtfulLink())
    assert not races("auto", link=FixedLink())
    assert not races("auto", link=DoubtfulLink(), races=False)
    for policy in ("fixed:mid", "cluster-only", "deepcod", "jalad", "neurosurgeon"):
        assert not races(policy, link=DoubtfulLink())


def test_a_picture_that_will_be_small_is_sent_before_anything_has_been_coded() -> None:
    decider = decider_of(link=FixedLink(NEAR_S_PER_BYTE), calm=False)
    assert chosen(decider, activity=20.0) == "mid/coarse"
    assert chosen(decider, activity=5.0) == "input/raw"
    assert chosen(decider, activity=20.0) == "mid/coarse"


def test_now_and_then_the_options_that_send_a_picture_are_asked_for_their_size() -> None:
    decider = decider_of()
    assert decider.wants_sizes(1.0) == (PIXELS,)
    assert decider.wants_sizes(1.0 + SIZES_EVERY_S - 0.01) == ()
    assert decider.wants_sizes(1.0 + SIZES_EVERY_S) == (PIXELS,)
    assert decider.wants_sizes(1.0 + SIZES_EVERY_S) == ()


@pytest.mark.parametrize("policy", ["fixed:mid", "cluster-only", "device-only"])
def test_no_size_is_asked_for_where_the_policy_does_not_choose(policy: str) -> None:
    assert decider_of(policy).wants_sizes(1.0) == ()


@pytest.mark.parametrize("policy", ["deepcod", "jalad", "neurosurgeon"])
def test_a_paper_decides_from_the_cluster_without_queue_and_only_deepcod_from_the_devices_load(policy: str) -> None:
    paper, ours = decider_of(policy), decider_of()
    papers_choice = "mid/fine" if policy == "neurosurgeon" else "mid/coarse"
    for decider in (paper, ours):
        decider.cluster.note_loads([load("mid", service_s=0.003, queue_s=5.0)], now_s=1.0)
    assert (chosen(paper), chosen(ours)) == (papers_choice, "input/raw")
    for decider in (paper, ours):
        decider.cluster.note_loads([load("mid", service_s=0.003, queue_s=0.0)], now_s=1.0)
        for _ in range(20):
            decider.costs.note_device(WHOLE.id, 1.5)
    loaded_choice = "input/raw" if policy == "deepcod" else papers_choice
    assert (chosen(paper), chosen(ours)) == (loaded_choice, "input/raw")


@pytest.mark.parametrize("policy", ["deepcod", "jalad", "neurosurgeon"])
def test_a_paper_keeps_the_bound_on_the_drop_and_falls_back_to_the_device(policy: str) -> None:
    assert chosen(decider_of(policy, constraints=Constraints(most_drop=0.05))) == "mid/fine"
    decision = decided(decider_of(policy), link_up=False)
    assert (decision.option_id, decision.gave_way) == (WHOLE.id, "link_down")
