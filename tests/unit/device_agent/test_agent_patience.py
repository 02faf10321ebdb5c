from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device_agent.patience import LOCAL_MARGIN, LOCAL_MARGIN_S, patience

SECONDS = st.floats(0.0, 100.0)


def test_the_device_begins_alone_early_enough_for_its_own_answer_and_a_margin() -> None:
    waits = patience(due_s=50.0, begun_s=50.01, deadline_s=0.3, local_s=0.1, device_s=0.02, predicted_s=0.05)
    assert waits.alone_from_s == pytest.approx(50.3 - LOCAL_MARGIN * 0.1 - LOCAL_MARGIN_S)
    assert waits.until_s == pytest.approx(50.3)


def test_the_deadline_counts_from_when_the_frame_was_due_and_not_from_when_it_was_begun() -> None:
    begun_s = [patience(due_s=5.0, begun_s=at_s, deadline_s=0.3, local_s=0.1, device_s=0.0, predicted_s=0.05)
               for at_s in (5.0, 5.1)]  # fmt: skip
    assert begun_s[0] == begun_s[1]


def test_a_device_that_cannot_make_the_deadline_begins_soon_after_the_cluster_was_to_be_expected() -> None:
    common = {"due_s": 5.0, "begun_s": 5.1, "deadline_s": 0.3, "local_s": 0.4, "device_s": 0.02}
    waits = patience(**common, predicted_s=0.08)
    assert waits.alone_from_s == pytest.approx(5.1 + 1.25 * 0.08 + 0.005)
    assert waits.until_s == pytest.approx(5.3)


def test_a_device_that_is_late_but_sooner_than_the_cluster_begins_at_once_and_waits_no_longer_than_it_takes() -> None:
    waits = patience(due_s=5.0, begun_s=5.1, deadline_s=0.3, local_s=0.4, device_s=0.02, predicted_s=20.0)
    assert waits.alone_from_s == pytest.approx(5.12)
    assert waits.until_s == pytest.approx(5.12 + LOCAL_MARGIN * 0.4 + LOCAL_MARGIN_S)


@pytest.mark.parametrize("local_s", [0.1, 0.4])
def test_a_device_that_races_begins_behind_the_head_and_waits_for_the_cluster_as_long_as_else(local_s: float) -> None:
    common = {"due_s": 5.0, "begun_s": 5.1, "deadline_s": 0.3, "local_s": local_s, "device_s": 0.02, "predicted_s": 0.1}
    racing, waiting = patience(**common, races=True), patience(**common)
    assert racing.alone_from_s == pytest.approx(5.12)
    assert racing.alone_from_s < waiting.alone_from_s
    assert racing.until_s == waiting.until_s


def test_a_device_that_cannot_answer_alone_waits_for_the_cluster_but_not_for_ever() -> None:
    waits = patience(due_s=5.0, begun_s=5.1, deadline_s=0.3, local_s=inf, device_s=0.02, predicted_s=20.0)
    assert waits.alone_from_s == waits.until_s == pytest.approx(15.1)


def test_a_device_whose_head_is_not_done_in_time_for_its_own_answer_waits_for_the_cluster_first() -> None:
    common = {"due_s": 5.0, "begun_s": 5.0, "deadline_s": 0.3, "local_s": 0.1, "predicted_s": 0.2}
    assert patience(**common, device_s=0.18).alone_from_s < 5.2
    assert patience(**common, device_s=0.19).alone_from_s == pytest.approx(5.255)


def test_where_no_deadline_can_be_kept_the_cluster_has_twice_the_predicted_time() -> None:
    late = patience(due_s=5.0, begun_s=8.0, deadline_s=0.3, local_s=0.2, device_s=0.02, predicted_s=0.2)
    assert late.alone_from_s == pytest.approx(8.255)
    assert late.until_s == pytest.approx(8.42)
    slow = patience(due_s=5.0, begun_s=5.0, deadline_s=0.3, local_s=0.4, device_s=0.02, predicted_s=0.35)
    assert slow.until_s == pytest.approx(5.72)


@settings(max_examples=300)
@given(due_s=SECONDS, waited_s=SECONDS, deadline_s=SECONDS, local_s=SECONDS, device_s=SECONDS, predicted_s=SECONDS)
def test_the_device_never_begins_after_the_cluster_is_given_up_and_this_is_never_before_the_deadline(
    due_s: float, waited_s: float, deadline_s: float, local_s: float, device_s: float, predicted_s: float
) -> None:
    begun_s = due_s + waited_s
    waits = patience(
        due_s=due_s, begun_s=begun_s, deadline_s=deadline_s, local_s=local_s, device_s=device_s, predicted_s=predicted_s
    )
    assert waits.alone_from_s <= waits.until_s
    assert waits.until_s >= due_s + deadline_s
    assert waits.alone_from_s >= begun_s + min(device_s, 1.25 * predicted_s, 10.0)
