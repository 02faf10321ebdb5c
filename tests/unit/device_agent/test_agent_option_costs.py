from dataclasses import replace

import numpy as np
import pytest
from agent_fakes import option
from hypothesis import given
from hypothesis import strategies as st

from device_agent.option_costs import (
    ACTIVITY_EXPONENT,
    LOOKS_WEIGHT,
    MESSAGE_BYTES,
    MOST_SCALED,
    OUTLIER,
    OWN_WEIGHT,
    REPLY_BYTES,
    SIZE_WEIGHT,
    STALL_S,
    WEIGHT,
    OptionCosts,
)
from wire.ids import OptionId

ONCE, AGAIN, WHOLE = option(1, "mid/once"), option(2, "mid/again", looks=1.4), option(3, "output/whole")
OPTIONS = (ONCE, AGAIN, WHOLE)
PROFILE = {ONCE.id: 0.010, AGAIN.id: 0.020, WHOLE.id: 0.060}
TOLD = 0.010 / (0.010 + STALL_S)
"""What a run of ``ONCE`` tells of the device."""


@pytest.fixture
def costs() -> OptionCosts:
    return OptionCosts(OPTIONS, PROFILE)


def test_costs_begin_with_the_profile_and_the_manifest(costs: OptionCosts) -> None:
    assert costs.device_s == pytest.approx([0.010, 0.020, 0.060])
    assert costs.looks == pytest.approx([1.0, 1.4, 0.0])
    sent = 100 + MESSAGE_BYTES + REPLY_BYTES, 100 + 1.4 * (MESSAGE_BYTES + REPLY_BYTES), 0.0
    assert costs.moved_bytes == pytest.approx(sent)
    assert [costs.row(one.id) for one in OPTIONS] == [0, 1, 2]


def test_a_slow_run_at_one_option_warns_of_all_and_a_little_more_of_that_one(costs: OptionCosts) -> None:
    costs.note_device(ONCE.id, 0.020)
    assert costs.k_mobile == pytest.approx(1 + WEIGHT * TOLD)
    assert costs.device_s[1:] == pytest.approx([0.020 * costs.k_mobile, 0.060 * costs.k_mobile])
    assert costs.device_s[0] == pytest.approx(0.010 * costs.k_mobile * (1 + OWN_WEIGHT * TOLD))


def test_a_short_run_that_takes_twice_as_long_tells_less_of_the_device_than_a_long_one() -> None:
    short, long = OptionCosts(OPTIONS, PROFILE | {ONCE.id: 0.001}), OptionCosts(OPTIONS, PROFILE)
    short.note_device(ONCE.id, 0.002)
    long.note_device(WHOLE.id, 0.120)
    assert short.k_mobile < 1.05
    assert long.k_mobile > 1.15


def test_what_an_option_alone_takes_longer_than_its_profile_ends_up_its_own(costs: OptionCosts) -> None:
    for _ in range(400):
        costs.note_device(ONCE.id, 0.030)
        costs.note_device(AGAIN.id, 0.020)
        costs.note_device(WHOLE.id, 0.060)
    assert costs.device_s == pytest.approx([0.030, 0.020, 0.060], rel=0.15)


def test_a_device_that_recovers_is_believed_again(costs: OptionCosts) -> None:
    for took_s in (0.030, 0.010):
        for _ in range(100):
            costs.note_device(ONCE.id, took_s)
    assert costs.device_s == pytest.approx([0.010, 0.020, 0.060], rel=0.05)


def test_one_stall_counts_as_at_most_so_many_times_what_was_expected(costs: OptionCosts) -> None:
    costs.note_device(ONCE.id, 500.0)
    assert costs.k_mobile == pytest.approx(1 + WEIGHT * TOLD * (OUTLIER - 1))
    costs.note_sent(ONCE.id, 10**6, looks=1)
    sent = 100 + MESSAGE_BYTES
    assert costs.moved_bytes[0] == pytest.approx(sent * (1 + WEIGHT * (OUTLIER - 1)) + REPLY_BYTES)


@given(st.lists(st.tuples(st.sampled_from([ONCE.id, AGAIN.id, WHOLE.id]), st.floats(0.0, 1e3)), max_size=60))
def test_no_runs_make_an_option_free_or_endless(runs: list[tuple[OptionId, float]]) -> None:
    costs = OptionCosts(OPTIONS, PROFILE)
    for option_id, took_s in runs:
        costs.note_device(option_id, took_s)
    assert (costs.device_s > 0).all()
    assert np.isfinite(costs.device_s).all()


def test_an_option_that_was_not_profiled_takes_what_its_first_run_took() -> None:
    costs = OptionCosts(OPTIONS, {ONCE.id: 0.010})
    assert costs.device_s.tolist() == [0.010, 0.0, 0.0]
    costs.note_device(ONCE.id, 0.020)
    costs.note_device(WHOLE.id, 0.090)
    assert costs.device_s[2] == pytest.approx(0.090)
    assert costs.k_mobile == pytest.approx(1 + WEIGHT * TOLD)


def test_bytes_follow_what_is_sent(costs: OptionCosts) -> None:
    costs.note_sent(ONCE.id, 290, looks=1)
    assert costs.moved_bytes[0] == pytest.approx(190 + WEIGHT * 100 + REPLY_BYTES)
    for _ in range(200):
        costs.note_sent(ONCE.id, 290, looks=1)
    assert costs.moved_bytes[0] == pytest.approx(290 + REPLY_BYTES)


def test_an_option_without_measured_bytes_takes_what_its_first_frame_took() -> None:
    bare = option(1, "mid/bare", bytes_mean=0.0)
    costs = OptionCosts((bare, WHOLE), {})
    for _ in range(300):
        costs.note_sent(bare.id, 50_000, looks=1)
    assert costs.moved_bytes[0] == pytest.approx(50_000 + REPLY_BYTES)


def test_the_number_of_looks_follows_the_frames_in_both_directions(costs: OptionCosts) -> None:
    costs.note_sent(AGAIN.id, 500, looks=3)
    assert costs.looks[1] == pytest.approx(1.4 + LOOKS_WEIGHT * 1.6)
    for looks in (1, 3):
        for _ in range(200):
            costs.note_sent(AGAIN.id, 200 * looks, looks=looks)
        assert costs.looks[1] == pytest.approx(looks, abs=1e-3)
        assert costs.moved_bytes[1] == pytest.approx((200 + REPLY_BYTES) * looks, rel=1e-2)


def test_an_option_without_refinements_has_one_look_for_ever(costs: OptionCosts) -> None:
    costs.note_sent(ONCE.id, 150, looks=1)
    assert costs.looks[0] == 1.0


def test_a_size_that_was_only_looked_at_moves_the_bytes_and_nothing_else(costs: OptionCosts) -> None:
    costs.note_size(ONCE.id, 300)
    assert costs.moved_bytes[0] == pytest.approx(190 + SIZE_WEIGHT * 200 + REPLY_BYTES)
    untouched = OptionCosts(OPTIONS, PROFILE)
    assert costs.moved_bytes[1:].tolist() == untouched.moved_bytes[1:].tolist()
    assert costs.looks.tolist() == untouched.looks.tolist()
    assert costs.device_s.tolist() == untouched.device_s.tolist()


def test_what_is_known_of_pictures_sizes_is_scaled_to_the_frame_to_come_and_no_other_option_s() -> None:
    picture = replace(option(1, "input/picture", bytes_mean=8_000), device_graph=None, coder="jpeg")
    pixels = replace(option(4, "input/raw", bytes_mean=150_000), device_graph=None)
    costs = OptionCosts((picture, AGAIN, pixels, WHOLE), {})
    of_others = costs.moved_bytes[1:].tolist()

    def sent(activity: float) -> float:
        costs.note_activity(activity)
        return float(costs.moved_bytes[0] - REPLY_BYTES)

    known = 8_000 + MESSAGE_BYTES
    assert sent(8.0) == pytest.approx(known), "of the first frame nothing was known to compare it with"
    assert sent(4.0) == pytest.approx(known * 0.5**ACTIVITY_EXPONENT)
    assert sent(8.0) == pytest.approx(known)
    assert sent(8e6) == pytest.approx(known * MOST_SCALED)
    assert sent(0.0) == pytest.approx(known / MOST_SCALED)
    for fading in (4.0, 0.5, 0.01, 0.5, 4.0):
        sent(fading)
    assert sent(8.0) == pytest.approx(known), "a fade through black leaves no trace"
    assert costs.moved_bytes[1:].tolist() == of_others


def test_one_huge_picture_counts_as_at_most_so_many_times_what_was_expected(costs: OptionCosts) -> None:
    costs.note_size(ONCE.id, 10**7)
    assert costs.moved_bytes[0] == pytest.approx(190 * (1 + SIZE_WEIGHT * (OUTLIER - 1)) + REPLY_BYTES)


def test_how_much_frames_differ_in_size_is_known_from_the_bundle_and_grows_with_their_mean() -> None:
    even = option(1, "input/even", bytes_mean=20_000)
    uneven = replace(even, id=OptionId(2), measured=replace(even.measured, bytes_p95=20_000 + 1.645 * 5_000))
    costs = OptionCosts((even, uneven, WHOLE), {})
    assert costs.bytes_sd == pytest.approx([0.0, 5_000, 0.0], rel=0.01)
    for _ in range(100):
        costs.note_sent(uneven.id, 40_000, looks=1)
    assert costs.bytes_sd == pytest.approx([0.0, 10_000, 0.0], rel=0.01)
