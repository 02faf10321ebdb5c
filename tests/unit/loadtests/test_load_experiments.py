import pytest
from load_fakes import DEADLINE_S, figures, run

from loadtests.load_background import BackgroundRuns, flattest, slope
from loadtests.load_capacity import Capacity, Found, Probe
from loadtests.load_overload import Overload, overloaded_agents
from loadtests.load_saving import Saving
from loadtests.load_scene import deepest_cut, entrants
from loadtests.load_spike import Spike, direction_changes, recovery_s

ENTRANTS = entrants("blocks.9/r3")
GOOD, BAD = figures(good=10), figures(good=0, late=10)


def capacity(held=4, name="ours", good=40) -> Capacity:
    return Capacity(ENTRANTS[name], "anyone", Found(held, at_least=False), (Probe(run(held, good=good), held=True),))


def test_overload_is_kept_with_goodput_accepted_frames_in_time_and_nobody_unanswered():
    assert Overload(capacity(good=40), run(8, good=30, by_device=10), DEADLINE_S).is_kept
    assert not Overload(capacity(good=40), run(8, good=30), DEADLINE_S).is_kept
    assert not Overload(capacity(good=40), run(8, good=40, unanswered=1), DEADLINE_S).is_kept
    assert not Overload(capacity(good=40), run(8, good=40, late=40), DEADLINE_S).is_kept


def test_goodput_is_a_share_of_that_at_capacity():
    assert Overload(capacity(good=40), run(8, good=30), DEADLINE_S).goodput_share == pytest.approx(0.75)


def test_what_holds_nothing_is_overloaded_with_two_agents():
    assert overloaded_agents(capacity(held=0), 100) == 2
    assert overloaded_agents(capacity(held=9), 100) == 18


def test_a_spike_is_over_when_three_good_seconds_follow_each_other():
    seconds = (GOOD, BAD, BAD, GOOD, BAD, GOOD, GOOD, GOOD, GOOD)
    assert recovery_s(seconds, begins_s=1.0, deadline_s=DEADLINE_S) == 4.0


def test_a_spike_that_comes_back_bad_is_not_over():
    seconds = (GOOD, BAD, GOOD, GOOD, GOOD, BAD, BAD, BAD)
    assert recovery_s(seconds, begins_s=1.0, deadline_s=DEADLINE_S) is None


def test_frames_that_nobody_answers_keep_a_second_from_being_good():
    lost = figures(good=5, unanswered=5)
    assert recovery_s((lost,) * 5, begins_s=0.0, deadline_s=DEADLINE_S) is None


def test_replicas_that_grow_and_shrink_once_turn_once():
    assert direction_changes([1, 1, 2, 3, 3, 3, 2, 1]) == 1
    assert direction_changes([1, 2, 3, 3]) == 0
    assert direction_changes([1, 2, 1, 2]) == 2


def test_the_turns_of_a_spike_are_those_of_the_point_that_turns_most():
    replicas = [(float(at), {"input": 1, "blocks.9": count}) for at, count in enumerate((1, 2, 1, 2))]
    assert Spike(ENTRANTS["ours"], run(replicas=replicas), 1.0, DEADLINE_S).turns == 2


def test_a_slope_is_in_milliseconds_for_each_megabit():
    assert slope({0.0: 0.010, 10.0: 0.020, 20.0: 0.030}) == pytest.approx(1.0)
    assert slope({0.0: 0.010, 10.0: None}) is None


def test_the_flattest_is_who_grows_least():
    def runs(name, late):
        return BackgroundRuns(ENTRANTS[name], {0.0: run(good=10), 50.0: run(good=0 if late else 10, late=late)})

    assert flattest([runs("jpeg", 10), runs("ours", 0)]).entrant.name == "ours"
    assert flattest([]) is None


def test_what_is_saved_is_a_share_of_what_the_other_spends():
    saving = Saving(ENTRANTS["cut"], run(cluster_cpu=0.25), run(cluster_cpu=1.0))
    assert saving.cpu_saved == pytest.approx(0.75)
    assert saving.bytes_saved == pytest.approx(0.0)


class Made:
    """As much of an option as the choice of a cut looks at."""

    def __init__(self, number, tail, bytes_mean=100.0, drop=0.0, refinements=(), coder="rans"):
        self.id, self.coder, self.refinements = number, coder, refinements
        self.macs = type("Macs", (), {"decoder": 0, "tail": tail})
        self.measured = type("Measured", (), {"top1_drop": drop, "bytes_mean": bytes_mean})


def cut_of(*options, device_s, fps=10.0):
    return deepest_cut(options, device_s, fps=fps, most_drop=0.05).id


def test_the_cut_leaves_the_cluster_least_of_those_that_keep_up():
    assert cut_of(Made(0, 300), Made(1, 200), Made(2, 100), device_s={0: 0.01, 1: 0.05, 2: 0.09}) == 1


def test_of_equal_cuts_the_one_with_fewer_bytes_is_taken():
    assert cut_of(Made(0, 200), Made(1, 200, bytes_mean=50.0), device_s={0: 0.01, 1: 0.01}) == 1


def test_what_loses_too_much_or_looks_again_or_sends_nothing_is_no_cut():
    options = (Made(0, 300), Made(1, 1, drop=0.1), Made(2, 1, refinements=("r",)), Made(3, 0, coder="none"))
    assert cut_of(*options, device_s=dict.fromkeys(range(4), 0.01)) == 0


def test_where_no_head_keeps_up_the_lightest_is_taken():
    assert cut_of(Made(0, 300), Made(1, 1), device_s={0: 0.2, 1: 0.4}) == 0
