import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_apps.rebalance import REFRESH_WITHIN_S, ReplicaStreams, moves, refresh


def streams(**counts):
    return {name: ReplicaStreams(count, 0.3) for name, count in counts.items()}


def settled(replicas, *, seconds=120):
    """Play seconds of moving, where who is sent away lands evenly on all, and give what each second moved."""
    held, moved, turn = {name: replica.streams for name, replica in replicas.items()}, [], 0
    for _ in range(seconds):
        asked = moves({name: ReplicaStreams(count, 0.3) for name, count in held.items()})
        moved.append(sum(asked.values()))
        for name, count in asked.items():
            held[name] -= count
            for _ in range(count):
                held[sorted(held)[turn % len(held)]] += 1
                turn += 1
    return held, moved


def test_after_a_scale_out_the_old_replica_sends_streams_away_a_few_a_second():
    assert moves(streams(old=30, new=0)) == {"old": 2}
    assert moves(streams(old=1000, new=0)) == {"old": 50}


@pytest.mark.parametrize("start", [{"a": 30, "b": 0}, {"a": 500, "b": 480, "c": 0}, {"a": 7, "b": 0, "c": 0, "d": 1}])
def test_streams_even_out_within_a_minute_and_then_nobody_is_moved_any_more(start):
    held, moved = settled(streams(**start))
    mean = sum(held.values()) / len(held)
    assert max(held.values()) <= max(mean * 1.2, mean + 1)
    assert sum(moved[60:]) == 0


@pytest.mark.parametrize(
    "even",
    [{}, {"a": 100}, {"a": 0, "b": 0}, {"a": 1, "b": 0}, {"a": 10, "b": 10}, {"a": 11, "b": 9}, {"a": 110, "b": 95}],
)
def test_what_is_even_or_nearly_so_is_left_alone(even):
    assert moves(streams(**even)) == {}


def test_a_replica_that_is_busier_than_its_streams_explain_sends_one_away_if_another_has_fewer():
    assert moves({"a": ReplicaStreams(11, 0.9), "b": ReplicaStreams(9, 0.2)}) == {"a": 1}
    assert moves({"a": ReplicaStreams(10, 0.9), "b": ReplicaStreams(10, 0.2)}) == {}


@settings(deadline=None)
@given(
    st.dictionaries(st.text(max_size=3), st.builds(ReplicaStreams, st.integers(0, 5000), st.floats(0, 1)), max_size=8)
)
def test_nobody_sends_away_more_than_it_has_nor_all_together_more_than_the_pace(replicas):
    asked = moves(replicas)
    total = sum(replica.streams for replica in replicas.values())
    assert all(0 < count <= replicas[name].streams for name, count in asked.items())
    assert sum(asked.values()) <= max(2, total / 20 + 1)


@pytest.mark.parametrize("stale", [1, 7, 400, 5000])
def test_streams_from_before_a_change_are_all_moved_in_time_and_not_all_at_once(stale):
    left, most, since_s = stale, 0, 2.0
    while since_s < REFRESH_WITHIN_S and left:
        count = refresh(left, since_s=since_s, every_s=0.5)
        left, most, since_s = left - count, max(most, count), since_s + 0.5
    assert left == 0
    assert most <= stale / 100 + 1
