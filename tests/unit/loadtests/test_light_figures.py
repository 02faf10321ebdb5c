import pytest
from load_fakes import DEADLINE_S, figures, frame

from loadtests.light_device import LightWorker
from loadtests.light_frame import LoadFigures, by_second, figures_of
from loadtests.light_load import LoadStep, Turn, turns


def test_only_frames_that_fell_due_in_the_window_count():
    frames = [frame(due_s=due_s) for due_s in (0.5, 1.0, 1.9, 2.0)]
    assert figures_of(frames, from_s=1.0, until_s=2.0, deadline_s=DEADLINE_S).due == 2


def test_each_frame_is_counted_by_who_answered_it():
    found = figures(good=3, late=1, by_device=2, unanswered=4, refused=1)
    assert (found.by_cluster, found.by_device, found.unanswered) == (4, 2, 4)
    assert (found.in_time, found.in_time_by_cluster) == (5, 3)
    assert found.refused_by_code == {"overloaded": 5}


def test_a_frame_that_was_skipped_is_missed_and_not_unanswered():
    skipped = frame(where="nobody", option="", refusal="skipped")
    found = figures_of([frame(), skipped], from_s=0.0, until_s=1.0, deadline_s=DEADLINE_S)
    assert (found.due, found.in_time, found.skipped, found.unanswered, found.refused) == (2, 1, 1, 0, 0)
    assert found.by_option == {"input/q75": 1}


def test_figures_survive_their_json():
    found = figures(good=3, late=1, by_device=2)
    assert LoadFigures.from_plain(found.as_plain()) == found


def test_seconds_are_those_in_which_frames_fell_due():
    seconds = by_second([frame(due_s=0.1), frame(due_s=2.9)], seconds=3.0, deadline_s=DEADLINE_S)
    assert [second.due for second in seconds] == [1, 0, 1]
    assert seconds[1].p95_s is None


def test_agents_join_over_a_second_and_stay_until_there_are_fewer():
    played = turns([LoadStep(10, 1), LoadStep(10, 3), LoadStep(10, 2)])
    assert played == [Turn(0, 0.0, 30.0), Turn(1, 10.0, 30.0), Turn(2, 10.5, 20.0)]


def test_whoever_joins_is_there_for_at_least_half_of_a_short_step():
    assert [turn.from_s for turn in turns([LoadStep(0.4, 2)])] == [0.0, 0.1]


def test_a_device_does_one_job_after_another():
    worker = LightWorker()
    assert worker.work(1.0, now_s=10.0) == 11.0
    assert worker.work(0.5, now_s=10.2) == 11.5
    assert worker.work(0.5, now_s=20.0) == 20.5
    assert worker.worked_s == pytest.approx(2.0)


def test_a_job_that_nobody_waits_for_ends_at_once():
    worker = LightWorker()
    worker.work(1.0, now_s=0.0)
    worker.stop(now_s=0.25)
    assert worker.work(1.0, now_s=0.5) == 1.5
    assert worker.worked_s == pytest.approx(1.25)
