import json

import pytest

from loadtests.demo_report import RETURN_WITHIN_S, SETTLE_S, option_of, report
from loadtests.demo_run import DemoRecord
from loadtests.link_script import LinkScript

BEGAN = 1_000_000.0
SCRIPT = LinkScript.parse("0:20,10:down,20:5", delay_s=0.005)
SECONDS = 30.0

PARTS_MS = {"wait": 500.0, "device": 10.0, "code": 1.0, "link": 5.0, "cluster": 4.0, "local": 0.0}


def frame(at_s, point="input", where="cluster", **changes):
    """A frame that was due and answered ``at_s`` seconds into the run."""
    return {
        "event": "frame",
        "due_unix_s": BEGAN + at_s,
        "unix_s": BEGAN + at_s,
        "point": point,
        "rate": "q75",
        "option": 0,
        "planned": 0,
        "fallback": None,
        "where": where,
        "bytes": 1000,
        "latency_ms": 20.0,
        "predicted_ms": {"total": 25.0},
        "parts_ms": PARTS_MS,
        **changes,
    }


def summary(unanswered=0):
    return {"event": "summary", "unanswered": unanswered}


def sound():
    """The events of one agent in a run in which every promise held."""
    return [
        {"event": "start"},
        frame(1.0),
        frame(2.0),
        frame(9.0, "mid"),
        frame(12.0, "output", "device", bytes=0),
        frame(15.0, "output", "device", bytes=0),
        frame(20.5, "mid"),
        frame(25.0, "mid"),
        summary(),
    ]


def record(**events):
    return DemoRecord(BEGAN, SCRIPT, SECONDS, events=events or {"a": sound(), "b": sound()})


def failures(*events):
    """What is said of agent ``a`` when these events come on top of a sound run."""
    ending = sound()
    return report(record(a=[*ending[:-1], *events, ending[-1]], b=sound())).failures


def test_a_run_in_which_every_promise_held_has_no_failures():
    figures = report(record())
    assert figures.failures == []
    assert (figures.frames, figures.unanswered, figures.options_chosen) == (14, 0, 3)
    assert figures.remote_after_return_s == pytest.approx(0.5)


def test_the_options_come_from_the_input_to_the_output():
    rows = report(record()).by_option
    assert [(row.option, row.chosen) for row in rows] == [("input/q75", 4), ("mid/q75", 6), ("output/q75", 4)]
    assert [row.bytes for row in rows] == [1000, 1000, 0]


def test_a_measured_latency_is_the_work_on_a_frame_without_its_waiting():
    (row, *_) = report(record()).by_option
    assert (row.predicted_ms, row.measured_ms, row.error_ms) == pytest.approx((25.0, 20.0, 5.0))


def test_errors_of_prediction_do_not_cancel_out_and_count_by_frames():
    events = [frame(1.0), frame(2.0, predicted_ms={"total": 15.0}), frame(3.0, "mid", predicted_ms={"total": 20.0})]
    figures = report(record(a=events))
    assert figures.by_option[0].error_ms == pytest.approx(5.0)
    assert figures.mean_error_ms == pytest.approx(10.0 / 3)


def test_a_frame_that_fell_back_is_not_held_against_the_prediction_of_what_was_planned():
    fell = frame(3.0, "output", "device", fallback="link", planned=0, option=2)
    planned = frame(4.0, "mid", fallback="late", planned=1, option=1)
    figures = report(record(a=[*sound()[:-1], fell, planned, summary()], b=sound()))
    assert {row.option: row.compared for row in figures.by_option} == {"mid/q75": 7, "input/q75": 4, "output/q75": 4}
    assert figures.frames == 16
    assert figures.by_step[0].frames == 8


def test_an_option_that_was_only_used_in_the_round_after_the_script_is_compared_but_not_chosen():
    run = record()
    run.sweep = [frame(9.0, "late", option=9), frame(9.1, "late", option=9)]
    figures = report(run)
    assert [(row.option, row.chosen, row.compared) for row in figures.by_option if row.option == "late/q75"] == [
        ("late/q75", 0, 2)
    ]
    assert (figures.options_chosen, figures.frames) == (3, 14)


def test_the_steps_of_the_link_tell_what_was_chosen_while_they_held():
    first, down, last = report(record()).by_step
    assert [(row.from_s, row.rate_mbps) for row in (first, down, last)] == [(0.0, 20.0), (10.0, None), (20.0, 5.0)]
    assert first.options == {"input/q75": 4, "mid/q75": 2}
    assert [row.answered_by_cluster for row in (first, down, last)] == [6, 0, 4]
    assert (first.frames, down.frames, last.frames) == (6, 4, 4)
    assert (first.bytes, down.bytes) == (1000.0, 0.0)


def test_a_step_has_the_median_and_the_95th_percentile_of_its_latencies():
    events = [frame(1.0 + number / 100, latency_ms=float(number)) for number in range(101)]
    (row,) = report(record(a=events)).by_step
    assert (row.p50_ms, row.p95_ms) == pytest.approx((50.0, 95.0))


def test_a_frame_belongs_to_the_step_in_which_it_was_due():
    (row,) = report(record(a=[frame(9.9, unix_s=BEGAN + 10.4)])).by_step
    assert row.rate_mbps == 20.0


def test_frames_from_before_the_script_began_are_in_no_step():
    assert report(record(a=[frame(-1.0), summary()])).by_step == []


def test_a_frame_without_an_answer_is_a_broken_promise():
    events = sound()
    events[-1] = summary(unanswered=2)
    figures = report(record(a=events, b=sound()))
    assert (figures.unanswered, figures.failures) == (2, ["2 frames were not answered"])


def test_an_agent_that_died_is_a_broken_promise():
    assert report(record(a=sound()[:-1], b=sound())).failures == ["an agent ended without a summary"]


def test_too_little_choice_is_a_broken_promise():
    few = [event if event["event"] != "frame" else {**event, "point": "mid"} for event in sound()]
    assert report(record(a=few)).failures == ["only 1 options were chosen"]


def test_a_cluster_that_answers_over_a_dead_link_is_a_broken_promise():
    assert failures(frame(15.0)) == ["1 frames were answered by the cluster while the link was down"]


def test_what_was_on_its_way_when_the_link_went_down_may_still_be_answered():
    assert failures(frame(9.9, unix_s=BEGAN + 10.0 + SETTLE_S / 2)) == []


def test_a_cluster_that_is_found_again_too_late_is_a_broken_promise():
    late = [event for event in sound() if event.get("unix_s") != BEGAN + 20.5]
    figures = report(record(a=late, b=sound()))
    assert figures.remote_after_return_s == pytest.approx(5.0)
    assert figures.failures == [f"the cluster did not answer within {RETURN_WITHIN_S:.0f} s of the link's return"]


def test_a_cluster_that_one_agent_never_finds_again_is_a_broken_promise():
    never = [event for event in sound() if event.get("unix_s", 0.0) < BEGAN + 20.0]
    figures = report(record(a=never, b=sound()))
    assert figures.remote_after_return_s is None
    assert len(figures.failures) == 1


def test_every_broken_promise_is_named():
    assert len(report(record(a=[frame(15.0), summary(unanswered=1)], b=[])).failures) == 5


def test_a_run_without_frames_is_reported_too():
    figures = report(record(a=[summary()]))
    assert (figures.frames, figures.mean_error_ms, figures.by_option, figures.by_step) == (0, 0.0, [], [])


def test_a_report_can_be_written_as_json():
    figures = report(record())
    assert json.loads(json.dumps(figures.as_plain()))["by_step"][1]["rate_mbps"] is None


def test_an_option_is_named_by_its_point_and_its_rate():
    assert option_of(frame(0.0)) == "input/q75"
