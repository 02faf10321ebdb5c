import numpy as np
import pytest
from agent_fakes import load

from device_agent.cluster_view import FIRST_CLUSTER_S, FRESH_S, HALF_LIFE_S, ClusterView
from wire.errors import DeadlineExceeded, IsthmusError, LookMissing, Overloaded, TailFailed, UnknownOption
from wire.ids import PointName

MID, LATE, NOWHERE = PointName("mid"), PointName("late"), PointName("nowhere")


def view_of(*loads, now_s: float = 100.0) -> ClusterView:
    view = ClusterView()
    view.note_loads(loads, now_s=now_s)
    return view


def test_a_fresh_queue_is_as_it_was_published() -> None:
    view = view_of(load("mid", service_s=0.02, queue_s=0.4))
    assert view.cluster_s(MID, 100.0) == pytest.approx(0.42)
    assert view.cluster_s(MID, 100.0 + FRESH_S) == pytest.approx(0.42)


def test_an_old_queue_empties_by_half_in_each_half_life_and_the_service_stays() -> None:
    view = view_of(load("mid", service_s=0.02, queue_s=0.4))
    assert view.cluster_s(MID, 100.0 + FRESH_S + HALF_LIFE_S) == pytest.approx(0.22)
    assert view.cluster_s(MID, 100.0 + FRESH_S + 2 * HALF_LIFE_S) == pytest.approx(0.12)
    assert view.cluster_s(MID, 1e6) == pytest.approx(0.02)


def test_a_newer_signal_replaces_that_of_its_point_alone() -> None:
    view = view_of(load("mid", queue_s=0.4), load("late", queue_s=0.4))
    view.note_loads([load("mid", service_s=0.01, queue_s=0.0)], now_s=106.0)
    assert view.cluster_s(MID, 106.0) == pytest.approx(0.01)
    assert view.load(LATE) == load("late", queue_s=0.4)


def test_before_anything_is_heard_every_point_is_taken_to_be_served_in_a_guessed_time() -> None:
    view = ClusterView()
    assert view.is_served(NOWHERE, 100.0)
    assert view.cluster_s(NOWHERE, 100.0) == FIRST_CLUSTER_S


def test_a_point_that_no_signal_names_is_not_served_once_there_are_signals() -> None:
    view = view_of(load("mid"))
    assert view.is_served(MID, 100.0)
    assert not view.is_served(NOWHERE, 100.0)
    assert view.load(NOWHERE) is None


@pytest.mark.parametrize(
    ("state", "served"), [("ready", True), ("draining", True), ("starting", False), ("cold", False)]
)
def test_a_point_that_has_no_replica_ready_is_not_served(state: str, served: bool) -> None:  # noqa: FBT001
    assert view_of(load("mid", state=state)).is_served(MID, 100.0) is served


def test_a_refusal_lasts_until_its_time_or_until_it_is_forgotten() -> None:
    view = view_of(load("mid"), load("late"))
    view.note_refusal(MID, Overloaded(""), now_s=99.5, retry_after_s=2.5)
    assert [view.is_served(MID, at_s) for at_s in (100.0, 101.9, 102.0)] == [False, False, True]
    assert view.is_served(LATE, 100.0)
    view.forget_refusals()
    assert view.is_served(MID, 100.0)


@pytest.mark.parametrize(
    ("error", "retry_after_s", "rests_s"),
    [
        (Overloaded(""), 0.0, 0.5), (Overloaded(""), 0.1, 0.1), (Overloaded(""), 2.0, 2.0),
        (DeadlineExceeded(""), 0.0, 0.0), (DeadlineExceeded(""), 1.0, 1.0), (LookMissing(""), 0.0, 0.0),
        (TailFailed(""), 0.0, 0.0), (UnknownOption(""), 0.0, 0.5),
    ],
)  # fmt: skip
def test_a_point_rests_after_a_refusal_that_the_next_frame_would_meet_too(
    error: IsthmusError, retry_after_s: float, rests_s: float
) -> None:
    view = view_of(load("mid"))
    view.note_refusal(MID, error, now_s=100.0, retry_after_s=retry_after_s)
    assert view.is_refused(MID, 100.0 + rests_s - 0.01) is (rests_s > 0)
    assert not view.is_refused(MID, 100.0 + rests_s)


def test_columns_have_a_row_for_each_point_and_a_last_one_for_what_is_not_sent() -> None:
    view = view_of(load("mid", service_s=0.02, queue_s=0.01), load("late", service_s=0.003, queue_s=0.0))
    view.note_refusal(LATE, Overloaded(""), now_s=100.0)
    seconds, served, asleep = view.columns((MID, LATE, NOWHERE), 100.0)
    assert seconds == pytest.approx([0.03, 0.003, FIRST_CLUSTER_S, 0.0])
    assert served.dtype == np.bool_
    assert served.tolist() == [True, False, False, True]
    assert not asleep.any()
    cold = view_of(load("mid", state="cold")).columns((MID, LATE), 100.0)[2]
    assert cold.tolist() == [True, False, False]
    assert view.columns((MID, LATE, NOWHERE), 100.0, insists=True)[1].tolist() == [True, False, True, True]
