from cluster.codecs.weights import CodecKey
from cluster.training.selection import Candidate, Choice, choose_rates


def candidate(setting, bytes_mean, top1_drop, *, point="blocks.2", rate="huffman"):
    return Candidate(CodecKey("net", point, "bottlenet", setting), rate, bytes_mean, top1_drop)


SMALL = candidate("c1-s4", 100.0, 0.05)
MIDDLE = candidate("c2-s2", 300.0, 0.02)
LARGE = candidate("c8-s1", 900.0, -0.001)


def test_the_least_bytes_within_the_bound_are_chosen():
    assert choose_rates(["blocks.2"], [LARGE, SMALL, MIDDLE], 0.03) == [Choice("blocks.2", MIDDLE, LARGE)]


def test_a_drop_that_is_the_bound_itself_is_within_it():
    assert choose_rates(["blocks.2"], [LARGE, MIDDLE], 0.02)[0].chosen == MIDDLE


def test_what_gains_accuracy_is_within_a_bound_of_nothing():
    assert choose_rates(["blocks.2"], [SMALL, LARGE], 0.0)[0].chosen == LARGE


def test_nothing_is_chosen_where_nothing_is_within_the_bound_and_the_nearest_is_named():
    assert choose_rates(["blocks.2"], [SMALL, MIDDLE], 0.01) == [Choice("blocks.2", None, MIDDLE)]


def test_of_equal_bytes_the_one_that_loses_less_is_chosen():
    better = candidate("c4-s4", 100.0, 0.03)
    assert choose_rates(["blocks.2"], [SMALL, better], 0.1)[0].chosen == better


def test_every_rate_of_a_codec_is_a_candidate():
    finer, coarser = (candidate("k8", size, drop, rate=name) for name, size, drop in [("r0", 9, 0.0), ("r1", 5, 0.01)])
    assert choose_rates(["blocks.2"], [finer, coarser], 0.02)[0].chosen == coarser


def test_each_point_is_chosen_for_by_itself_and_one_without_measurements_says_so():
    deep = candidate("c2-s1", 50.0, 0.0, point="blocks.9")
    choices = choose_rates(["blocks.4", "blocks.2", "blocks.9"], [MIDDLE, deep], 0.05)
    assert choices == [
        Choice("blocks.4", None, None), Choice("blocks.2", MIDDLE, MIDDLE), Choice("blocks.9", deep, deep),
    ]  # fmt: skip
