import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_apps.admission import best_skip, drained_s, starts_of, wanted_size
from serve_apps.fair_queue import Waiting
from serve_apps.service_times import ServiceTimes
from serve_apps.waiting_room import LEAST_RETRY_S, MOST_RETRY_S, WaitingRoom

bounded = settings(derandomize=True, deadline=None, max_examples=150)


def times_of(alone_s=0.010, further_s=0.005):
    return ServiceTimes(alone_s=alone_s, ratio=further_s / alone_s)


def room_of(*, max_batch=4, max_waiting=40, lanes=1, **times):
    return WaitingRoom(times_of(**times), max_batch=max_batch, max_waiting=max_waiting, lanes=lanes)


def enter(room, item, budget_s, *, device=None, now=0.0, **details):
    return room.enter(item, device=device or f"camera {item}", budget_s=budget_s, now=now, **details)


def items(frames):
    return [frame.item for frame in frames]


def test_a_batch_takes_the_nearest_deadlines_and_no_more_than_the_first_can_bear():
    room = room_of()
    for item, budget_s in (("a", 0.9), ("b", 0.016), ("c", 0.8), ("d", 0.7)):
        assert enter(room, item, budget_s).place
    batch, late = room.next_batch(0.0)
    assert (items(batch), late) == (["b", "d"], [])  # a third frame would take 20 ms
    batch, _ = room.next_batch(0.015)
    assert items(batch) == ["c", "a"]


def test_a_frame_that_cannot_be_answered_even_alone_is_refused_for_that():
    room = room_of()
    enter(room, "first", 1.0)
    entered = enter(room, "hopeless", 0.009)
    assert (entered.place, entered.hopeless) == (None, True)


def test_a_frame_that_nobody_is_ahead_of_is_let_in_whatever_is_expected_and_computed():
    room = room_of(alone_s=10.0, further_s=1.0)
    assert enter(room, "probe", 0.5).place
    assert items(room.next_batch(0.0)[0]) == ["probe"]
    assert enter(room, "without a budget", 0.0).place is None


def test_decoding_comes_out_of_the_budget():
    room = room_of()
    enter(room, "first", 1.0)
    assert enter(room, "late", 0.030, decode_s=0.025).hopeless
    assert enter(room, "in time", 0.060, decode_s=0.025).place


def test_what_is_being_computed_counts_and_so_does_that_it_is_overdue():
    room = room_of()
    room.begin(4, 0.0)  # 25 ms
    enter(room, "first", 9.0)
    assert enter(room, "late", 0.030).place is None
    assert room.leave(enter(room, "in time", 0.060).place)
    assert room.expected_wait_s(0.0) == pytest.approx(0.025 + 0.005)  # it would be the second in the next batch
    assert room.expected_wait_s(0.045) == pytest.approx(0.020 + 0.005)  # 20 ms over, so as long again


def test_a_second_lane_halves_the_wait():
    room = room_of(lanes=2)
    room.begin(4, 0.0)
    assert room.expected_wait_s(0.0) == pytest.approx(0.0, abs=1e-9)
    room.begin(4, 0.010)
    assert room.expected_wait_s(0.010) == pytest.approx(0.015)


def test_a_frame_that_waits_is_not_turned_away_for_one_of_its_equals():
    room = room_of()
    placed = [enter(room, number, 0.058).place for number in range(20)]
    inside = [place for place in placed if place]
    assert 4 <= len(inside) < 20
    assert placed[: len(inside)] == inside


def test_of_a_device_that_has_most_the_frame_with_most_time_left_goes_for_another_device():
    room = room_of(max_batch=1, further_s=0.010)
    let_in = [number for number in range(15) if enter(room, number, 0.105 + number / 1e6, device="greedy").place]
    assert let_in == list(range(10))
    entered = enter(room, "modest", 0.1051, device="modest")
    assert entered.place
    assert items(entered.turned_away) == [9]
    assert enter(room, "modest too", 0.1051, device="modest").place
    assert enter(room, "greedy again", 0.1051, device="greedy").place is None


def test_nobody_has_more_than_a_quarter_of_the_places():
    room = room_of(max_waiting=16)
    for number in range(4):
        assert enter(room, number, 60.0, device="greedy").place
    entered = enter(room, 4, 60.0, device="greedy")
    assert (entered.place, entered.hopeless, entered.turned_away) == (None, False, ())
    assert enter(room, 5, 60.0, device="modest").place


def test_when_a_batch_took_longer_than_expected_the_frames_that_are_late_by_that_are_told_before_their_batch():
    room = room_of(max_batch=1, further_s=0.010)
    for item, budget_s in (("a", 0.025), ("b", 0.045), ("c", 0.9)):
        assert enter(room, item, budget_s).place
    batch, late = room.next_batch(0.020)
    assert (items(batch), items(late)) == (["b"], ["a"])


def test_what_has_expired_is_taken_out_as_soon_as_that_is_asked_for():
    room = room_of()
    enter(room, "a", 0.5)
    enter(room, "b", 0.7)
    assert room.next_deadline == 0.5
    assert items(room.expire(0.6)) == ["a"]
    assert room.next_deadline == 0.7


def test_a_frame_that_was_left_is_in_no_batch():
    room = room_of()
    gone, _ = enter(room, "gone", 0.5).place, enter(room, "stays", 0.5)
    assert room.leave(gone)
    assert not room.leave(gone)
    assert items(room.next_batch(0.0)[0]) == ["stays"]


def test_it_is_worth_trying_again_when_what_waits_is_computed():
    room = room_of(max_batch=1, further_s=0.010)
    assert room.retry_after_s(0.0) == LEAST_RETRY_S
    for number in range(30):
        enter(room, number, 60.0)
    assert room.retry_after_s(0.0) == pytest.approx(0.31)
    slow = room_of(alone_s=100.0, further_s=100.0)
    enter(slow, "a", 3600.0)
    assert slow.retry_after_s(0.0) == MOST_RETRY_S


def test_a_batch_that_failed_teaches_nothing():
    room = room_of()
    room.end(room.begin(4, 0.0), 30.0, well=False)
    assert room.times.expected_s(4) == pytest.approx(0.025)
    assert room.expected_wait_s(30.0) == pytest.approx(0.0, abs=1e-9)


def test_the_size_to_aim_at_leaves_time_for_a_batch_of_the_same_size_ahead():
    times = times_of()
    assert [wanted_size(budget_s, times, 8) for budget_s in (0.005, 0.020, 0.040, 0.061, 9.0)] == [1, 1, 3, 5, 8]


def test_a_frame_that_holds_up_a_batch_is_given_up_only_where_that_answers_more():
    expensive = times_of(alone_s=0.100, further_s=0.001)  # what a batch costs beside its frames is nearly all
    lefts_s = [0.101, *[1.0] * 15]
    assert best_skip(lefts_s, expensive, 16) == 1
    cheap = times_of(alone_s=0.010, further_s=0.009)
    assert best_skip([0.012, *[1.0] * 15], cheap, 16) == 0
    assert best_skip([1.0] * 16, expensive, 16) == 0


queues = st.lists(st.floats(0.0, 2.0), max_size=60).map(
    lambda until: [Waiting("camera", 0.0, until_s, None) for until_s in sorted(until)]
)


@bounded
@given(queues, st.integers(1, 16), st.integers(1, 3))
def test_a_forecast_forms_batches_of_everything_up_to_the_first_that_is_late(frames, most, lanes):
    times = times_of()
    starts, late = starts_of(frames, [0.0] * lanes, times, most)
    firsts = [*(at for at, _ in starts), len(frames) if late is None else late]
    assert firsts[0] == 0
    for (at, start), following in zip(starts, firsts[1:], strict=True):
        assert 1 <= following - at <= most
        assert start + times.expected_s(following - at) <= frames[at].until_s + 1e-9
    assert drained_s(frames, [0.0] * lanes, times, most) >= max((start for _, start in starts), default=0.0)


steps = st.lists(st.tuples(st.integers(0, 4), st.floats(0.0, 0.3), st.floats(0.0, 0.02), st.booleans()), max_size=80)


@bounded
@given(steps, st.integers(1, 2))
def test_whatever_comes_the_bounds_hold_and_every_frame_leaves_once(arrivals, lanes):
    room = room_of(max_waiting=12, lanes=lanes)
    now, placed, left, refused = 0.0, [], [], 0
    running = []
    for number, (device, budget_s, passed_s, batch_next) in enumerate(arrivals):
        now += passed_s
        left += room.expire(now)
        entered = enter(room, number, budget_s, device=f"camera {device}", now=now)
        left += entered.turned_away
        if entered.place:
            placed.append(entered.place)
        else:
            refused += 1
        assert len(room) <= 12
        assert all(sum(w.device == f"camera {each}" for w in room) <= 3 for each in range(5))
        if batch_next:
            batch, late = room.next_batch(now)
            assert len(batch) <= 4
            assert [w.until_s for w in batch] == sorted(w.until_s for w in batch)
            assert all(w.until_s >= now for w in batch)
            left += [*batch, *late]
            if batch:
                running.append(room.begin(len(batch), now))
            if len(running) > lanes:
                room.end(running.pop(0), now, well=True)
    left += room.empty()
    assert sorted(items(left)) == items(placed)
    assert len(placed) + refused == len(arrivals)
