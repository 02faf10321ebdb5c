import pytest

from serve_apps.load_board import ASLEEP_S, COLD_START_S, FORGET_S, SETTLE_S, WAKE_PATIENCE_S, LoadBoard
from serve_apps.merged_load import merge_signals
from serve_apps.report import Report
from wire.errors import UnknownPoint
from wire.messages import LoadSignal

NEW, OLD = "a" * 64, "b" * 64


def report(
    replica, *, point="mid", streams=0, state="ready", bundles=(NEW,), behind=0, settled_s=100.0, fault="", busy=0.2
):
    load = LoadSignal(
        point=point, state=state, service_s=0.01, queue_s=0.001, utilisation=busy, in_flight=1, replicas=1
    )  # fmt: skip
    return Report(
        replica=replica, load=load, streams=streams, bundles=bundles, behind=behind, settled_s=settled_s, fault=fault
    )  # fmt: skip


@pytest.fixture
def board():
    board = LoadBoard(merge_signals, now_s=0.0)
    board.expect({"mid": False, "deep": True})
    return board


def test_a_point_is_published_as_its_replicas_together_are(board):
    for replica in ("one", "two", "three"):
        board.note(report(replica), 1.0)
    (mid, _) = board.signals(1.0)
    assert (mid.point, mid.state, mid.replicas, mid.in_flight) == ("mid", "ready", 3, 3)


def test_a_point_without_replicas_starts_if_it_may_not_sleep_and_is_cold_if_it_may(board):
    mid, deep = board.signals(1.0)
    assert (mid.state, mid.replicas) == ("starting", 0)
    assert (deep.state, deep.replicas, deep.cold_start_s) == ("cold", 0, COLD_START_S)


def test_a_replica_that_says_nothing_any_more_is_forgotten(board):
    board.note(report("one"), 1.0)
    assert board.signal("mid", 1.0 + FORGET_S).replicas == 1
    assert board.signal("mid", 1.1 + FORGET_S).replicas == 0


def test_a_replica_that_drains_is_not_published_beside_others_and_a_sleeping_point_is_cold_while_its_last_drains(board):
    board.note(report("one"), 1.0)
    board.note(report("two", state="draining"), 1.0)
    assert (board.signal("mid", 1.0).state, board.signal("mid", 1.0).replicas) == ("ready", 1)
    board.note(report("three", point="deep", state="draining"), 1.0)
    assert board.signal("deep", 1.0).state == "cold"


def test_a_cold_point_is_woken_once_however_many_ask_and_its_start_is_measured(board):
    assert board.wake("deep", 5.0)
    assert not any(board.wake("deep", 5.0 + n) for n in range(5))
    starting = board.signal("deep", 9.0)
    assert (starting.state, starting.cold_start_s) == ("starting", COLD_START_S - 4.0)
    board.note(report("one", point="deep"), 12.0)
    assert board.signal("deep", 12.0).state == "ready"
    cold = board.signal("deep", 12.1 + ASLEEP_S)
    assert (cold.state, cold.cold_start_s) == ("cold", 7.0)


def test_a_point_whose_only_replica_died_is_starting_and_not_asleep(board):
    board.note(report("one", point="deep"), 10.0)
    assert board.signal("deep", 10.1 + FORGET_S).state == "starting"
    assert board.wake("deep", 10.1 + FORGET_S)


def test_a_point_that_did_not_wake_may_be_asked_again(board):
    assert board.wake("deep", 5.0)
    assert not board.wake("deep", 4.9 + WAKE_PATIENCE_S)
    assert board.wake("deep", 5.1 + WAKE_PATIENCE_S)


def test_a_point_that_is_awake_need_not_be_woken_and_one_that_is_not_there_cannot(board):
    board.note(report("one", point="deep"), 1.0)
    assert not board.wake("deep", 1.0)
    with pytest.raises(UnknownPoint, match="no point 'nowhere'") as caught:
        board.wake("nowhere", 1.0)
    assert "mid" in caught.value.mend


def test_after_a_scale_out_the_old_replica_is_told_to_send_streams_away_and_each_second_some_more(board):
    asked = []
    for tick in range(12):
        asked.append(board.note(report("old", streams=30), 10.0 + tick / 2).move)
        assert board.note(report("new"), 10.0 + tick / 2).move == 0
    before, after = asked[: int(2 * SETTLE_S)], asked[int(2 * SETTLE_S) :]
    assert sum(before) == 0
    assert after == [2, 0] * 4


def test_nobody_is_moved_before_haproxy_knows_the_new_replica(board):
    board.note(report("old", streams=30), 10.0)
    board.note(report("new"), 10.5)
    assert board.note(report("old", streams=30), 11.0).move == 0


def test_every_replica_hears_how_long_ago_the_replicas_changed(board):
    board.note(report("one"), 10.0)
    assert board.note(report("two"), 20.0).changed_s == 0.0
    board.note(report("two"), 24.0)
    assert board.note(report("two"), 25.0).changed_s == pytest.approx(5.0)
    assert board.note(report("two", settled_s=0.5), 26.0).changed_s == pytest.approx(0.5)


def test_an_update_knows_who_does_not_serve_the_new_bundle_yet_and_who_uses_the_old(board):
    board.note(report("one", bundles=(NEW, OLD), behind=3), 1.0)
    board.note(report("two", bundles=(OLD,), fault="no such file"), 1.0)
    board.note(report("three", point="deep", bundles=(NEW, OLD), behind=1), 1.0)
    assert board.behind(NEW, 1.0) == (1, 4, ("no such file",))


def test_a_point_of_the_new_bundle_only_is_expected_and_one_that_no_bundle_has_is_not(board):
    board.note(report("one"), 1.0)
    board.expect({"deep": True, "later": False})
    assert [signal.point for signal in board.signals(1.0)] == ["deep", "later"]
    with pytest.raises(UnknownPoint):
        board.note(report("one"), 1.0)
