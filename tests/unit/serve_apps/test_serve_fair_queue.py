import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_apps.fair_queue import MOST_SHARES, SHARE_HALF_LIFE_S, FairQueue, Shares, Waiting

bounded = settings(derandomize=True, deadline=None, max_examples=200)


def waiting(item, until_s, *, device="camera", ready=True):
    return Waiting(device, 0.0, until_s, item, ready)


def queue_of(*frames, most=100, most_each=100):
    queue = FairQueue(most=most, most_each=most_each)
    for frame in frames:
        queue.add(frame)
    return queue


def items(frames):
    return [frame.item for frame in frames]


def test_the_nearest_deadline_is_taken_first_and_of_two_alike_the_one_that_came_first():
    queue = queue_of(waiting("a", 3.0), waiting("b", 1.0), waiting("c", 3.0), waiting("d", 2.0))
    assert items(queue) == ["b", "d", "a", "c"]
    assert items(queue.take(3)) == ["b", "d", "a"]
    assert items(queue) == ["c"]


def test_what_is_not_ready_is_passed_over_and_stays():
    late = waiting("late", 1.0, ready=False)
    queue = queue_of(late, waiting("a", 2.0), waiting("b", 3.0))
    assert items(queue.take(5)) == ["a", "b"]
    late.ready = True
    assert items(queue.take(5)) == ["late"]


def test_what_has_expired_is_taken_out_ready_or_not():
    queue = queue_of(waiting("a", 1.0), waiting("b", 2.0, ready=False), waiting("c", 3.0))
    assert items(queue.take_expired(2.5)) == ["a", "b"]
    assert items(queue.take_expired(2.5)) == []
    assert items(queue) == ["c"]


def test_a_frame_is_removed_once():
    gone, stays = waiting("gone", 1.0), waiting("stays", 1.0)
    queue = queue_of(gone, stays)
    assert gone in queue
    assert queue.remove(gone)
    assert gone not in queue
    assert not queue.remove(gone)
    assert items(queue) == ["stays"]
    assert queue.held("camera") == 1


def test_who_adds_what_there_is_no_room_for_is_told_of_the_fault():
    with pytest.raises(AssertionError):
        queue_of(waiting("a", 1.0), waiting("b", 1.0), most=1)
    with pytest.raises(AssertionError):
        queue_of(waiting("a", 1.0), waiting("b", 1.0), most_each=1)


operations = st.lists(
    st.tuples(st.sampled_from(["add", "take", "expire", "remove"]), st.integers(0, 9), st.integers(0, 3)), max_size=60
)


@bounded
@given(operations)
def test_nothing_is_lost_or_given_twice_and_the_counts_agree_with_what_waits(steps):
    queue = FairQueue(most=8, most_each=3)
    added, out = [], []
    for step, number, device in steps:
        match step:
            case "add":
                name = f"camera {device}"
                if len(queue) < 8 and queue.held(name) < 3:
                    added.append(waiting(len(added), float(number), device=name, ready=number % 3 > 0))
                    queue.add(added[-1])
            case "take":
                taken = queue.take(device)
                assert all(frame.ready for frame in taken)
                assert len(taken) <= device
                out += taken
            case "expire":
                expired = queue.take_expired(float(number))
                assert all(frame.until_s < number for frame in expired)
                out += expired
            case "remove":
                if added and queue.remove(added[number % len(added)]):
                    out.append(added[number % len(added)])
        inside = list(queue)
        assert sorted(items(inside) + items(out)) == items(added)
        assert len(queue) == len(inside) <= 8
        assert [frame.until_s for frame in inside] == sorted(frame.until_s for frame in inside)
        for name in {frame.device for frame in added}:
            assert queue.held(name) == sum(frame.device == name for frame in inside) <= 3


def test_a_share_is_forgotten_by_half_in_each_half_life():
    shares = Shares()
    for _ in range(8):
        shares.add("camera", 10.0)
    assert shares.of("camera", 10.0) == 8
    assert shares.of("camera", 10.0 + 2 * SHARE_HALF_LIFE_S) == 2
    assert shares.of("another", 10.0) == 0


def test_a_device_has_clearly_more_only_with_more_than_twice_as_much_and_a_frame():
    queue = queue_of(*[waiting("w", 1.0, device=device) for device in ("few", "some", "many")])
    for device, frames in (("few", 4), ("some", 7), ("many", 40), ("gone", 99)):
        for _ in range(frames):
            queue.shares.add(device, 0.0)
    assert queue.greedier_than("few", 0.0) == {"many": 41.0}
    assert queue.greedier_than("newcomer", 0.0) == {"few": 5.0, "some": 8.0, "many": 41.0}
    assert queue.greedier_than("many", 0.0) == {}
    assert queue.greedier_than("few", 20 * SHARE_HALF_LIFE_S) == {}


def test_a_frame_that_is_not_in_yet_goes_behind_those_with_the_same_deadline():
    queue = queue_of(waiting("a", 1.0), waiting("b", 2.0), waiting("c", 3.0))
    assert [queue.place_of(waiting("new", until_s)) for until_s in (0.5, 2.0, 9.0)] == [0, 2, 3]


def test_names_that_are_made_up_take_no_more_memory_than_there_is_for_them():
    shares = Shares()
    for number in range(3 * MOST_SHARES):
        shares.add(f"camera {number}", number / 1000)
        shares.add("steady", number / 1000)
    assert len(shares) == MOST_SHARES
    assert shares.of("steady", 3 * MOST_SHARES / 1000) > 100
