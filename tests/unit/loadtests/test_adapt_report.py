import json
import math

import pytest
from adapt_fakes import row, run

from loadtests.adapt_agreement import agreement
from loadtests.adapt_report import CLUSTER_ONLY, ORACLE, OURS, best_paper, figures, report
from loadtests.adapt_wanted import drop_verdict, verdicts
from loadtests.frame_row import FrameRow, PolicyRun
from wire.ids import OptionId


def runs(**changes):
    """One trace on which ours does all that is wanted; ``changes`` are of its policies."""
    made = {
        "ours": run(40, 50, 60),
        "deepcod": run(60, 60, 120),
        "jalad": run(60, 70, 120),
        "neurosurgeon": run(60, 80, 120),
        "best-fixed": run(60, 60, 120),
        "cluster-only": run(60, 60, 180),
        "device-only": run(110, 110, 110),
        "oracle": run(40, 50, 58),
    }
    return made | {name.replace("_", "-"): value for name, value in changes.items()}


def judged(by_trace):
    return {verdict.wanted.split(",")[0]: verdict for verdict in verdicts(report(by_trace))}


def test_figures_are_of_the_frames_that_were_answered():
    one = figures([run(10, 20, 30, 110)])
    assert (one.frames, one.unanswered, one.mean_ms, one.p50_ms) == (4, 0, pytest.approx(42.5), pytest.approx(20))
    assert (one.missed, one.missed_share) == (1, 0.25)
    assert (one.bytes, one.energy_mj) == (pytest.approx(1300), pytest.approx(10))


def test_percentiles_are_latencies_that_occurred():
    one = figures([run(*range(1, 101))])
    assert (one.p95_ms, one.p99_ms) == (pytest.approx(95), pytest.approx(99))


def test_a_frame_without_an_answer_is_unanswered_and_missed():
    one = figures([run(10, 20, expected=4)])
    assert (one.unanswered, one.missed, one.missed_share) == (2, 2, 0.5)


def test_a_run_without_any_answer_is_infinitely_late():
    one = figures([PolicyRun((), 3)])
    assert (one.mean_ms, one.unanswered, one.missed_share) == (math.inf, 3, 1.0)


def test_a_switch_is_counted_where_another_option_is_planned_than_before():
    planned = ["mid/r1", "mid/r1", "mid/r2", "output/whole", "mid/r2"]
    frames = tuple(row(number, 10, name) for number, name in enumerate(planned))
    assert PolicyRun(frames, 5).switches == 3


def test_switches_are_not_counted_between_two_traces():
    assert figures([run(10, planned="mid/r1"), run(10, planned="mid/r2")]).switches == 0


def test_figures_over_all_traces_weigh_every_frame_alike():
    both = report({"short": {OURS: run(10)}, "long": {OURS: run(40, 40, 40)}})
    assert both.overall[OURS].mean_ms == pytest.approx(32.5)
    assert both.by_trace["short"][OURS].mean_ms == pytest.approx(10)


def test_the_report_can_be_written_as_json():
    plain = json.loads(json.dumps(report({"t": runs()}).as_plain()))
    assert plain["by_trace"]["t"]["ours"]["missed"] == 0


def test_the_best_of_the_papers_is_the_one_of_the_least_mean():
    assert best_paper(report({"t": runs(jalad=run(10))}).by_trace["t"]) == "jalad"


def test_all_that_is_wanted_is_met_where_ours_does_it():
    assert [verdict.wanted for verdict in verdicts(report({"t": runs()})) if not verdict.met] == []


def test_a_ratio_is_of_all_traces_and_names_those_that_alone_are_over():
    found = judged({"a": runs(), "b": runs(ours=run(60, 60, 60))})["mean latency"]
    assert found.value == pytest.approx(330 / 296)
    assert not found.met
    assert found.over == pytest.approx(330 / 296 / 1.1 - 1)
    assert [(short.trace, short.said) for short in found.short] == [("b", "1.22")]


def test_a_percentile_is_compared_over_the_frames_of_all_traces():
    found = judged({"a": runs(), "b": runs(cluster_only=run(70, 70, 70))})["p95"]
    assert found.wanted.endswith("cluster-only's")
    assert found.value == pytest.approx(60 / 180)
    assert found.met


def test_ours_may_not_miss_as_many_deadlines_as_another_policy():
    found = judged({"a": runs(), "b": runs(ours=run(40, 50, 120))})[
        "traces on which another policy misses as few deadlines"
    ]
    assert (found.value, found.met) == (1, False)
    assert found.short[0].said == "ours 1, deepcod 1, jalad 1, neurosurgeon 1, best-fixed 1, cluster-only 1"


def test_where_nobody_misses_a_deadline_nobody_can_miss_fewer():
    calm = {policy: run(40) for policy in runs()}
    assert judged({"a": calm})["traces on which another policy misses as few deadlines"].met


def test_the_oracle_may_miss_fewer_deadlines():
    found = judged({"a": runs(ours=run(40, 50, 101), oracle=run(40, 50, 60), device_only=run(110, 110, 110))})
    short = found["traces on which another policy misses as few deadlines"].short
    assert all("oracle" not in each.said for each in short)


def test_one_trace_on_which_a_paper_is_better_is_enough_to_fail():
    found = judged({"a": runs(), "b": runs(jalad=run(40, 40, 40))})
    line = found["mean latency on the worst trace"]
    assert (line.value, line.met) == (pytest.approx(1.25), False)
    assert [(each.trace, each.said) for each in line.short] == [("b", "1.25 of jalad")]


def test_a_frame_of_ours_without_an_answer_is_a_failure():
    assert not judged({"a": runs(ours=run(40, 50, expected=3))})["frames without an answer"].met


def test_lines_without_a_rival_in_the_report_are_left_out():
    few = {policy: each for policy, each in runs().items() if policy in (OURS, CLUSTER_ONLY)}
    assert {verdict.wanted for verdict in verdicts(report({"t": few}))} == {
        "p95, of cluster-only's",
        "traces on which another policy misses as few deadlines",
        "frames without an answer",
    }


def test_a_fall_is_judged_by_the_slowest_return():
    assert drop_verdict([1, 2, 3], within=3).met
    late = drop_verdict([1, 2, 7], within=3)
    assert (late.value, late.met, late.short[0].said) == (7, False, "1 of 3 falls took more")


def test_verdicts_can_be_written_as_json():
    assert json.loads(json.dumps([verdict.as_plain() for verdict in verdicts(report({"t": runs()}))]))


def test_virtual_runs_agree_with_real_ones_in_what_both_answered():
    real = {"t": {OURS: PolicyRun((row(0, 50), row(1, 100, "mid/r2"), row(2, 60, "input/q75")), 3)}}
    virtual = {"t": {OURS: PolicyRun((row(1, 90), row(2, 54, "input/q75"), row(3, 10)), 3), ORACLE: run(10)}}
    (found,) = agreement(real, virtual)
    assert (found.policy, found.frames) == (OURS, 2)
    assert found.mean_ratio == pytest.approx(0.9)
    assert found.p95_ratio == pytest.approx(0.9)
    assert (found.same_point_share, found.same_option_share) == (1.0, 0.5)
    assert (found.missed_real, found.missed_virtual) == (0, 0)


def test_a_line_of_the_agent_becomes_a_frame():
    event = {
        "planned": 3, "option": 9, "where": "device", "latency_ms": 120.0, "moved_bytes": 700, "energy_mj": 250.0,
    }  # fmt: skip
    names = {OptionId(3): "mid/r1", OptionId(9): "output/whole"}
    made = FrameRow.from_event(event, names=names, number=4, due_s=0.8, deadline_s=0.1)
    assert (made.planned, made.answered, made.point) == ("mid/r1", "output/whole", "mid")
    assert not made.in_time
    assert (made.latency_s, made.energy_j) == (pytest.approx(0.12), pytest.approx(0.25))
    assert json.loads(json.dumps(made.as_plain()))["number"] == 4
