import json

import pytest

from cluster.planning.cut_picture import plot_cuts
from cluster.planning.cut_plan import CutRequest, plan_cut
from cluster.planning.jointdnn import Limits
from cluster.planning.plan_record import cut_record, schedule_record
from cluster.planning.plan_text import cut_text, drop, milli, percent, said, schedule_text, strip, times
from cluster.planning.schedule_picture import plot_schedules
from cluster.planning.schedule_plan import plan_schedule
from cluster.planning.schedules import Transfer
from cluster.planning.tables import RADIOS, CutOption, CutTable, GroupTable
from wire.errors import SettingError
from wire.ids import PointName

MOST_PICTURE_BYTES = 100_000
PLANNERS = ("neurosurgeon", "jalad", "bottlenet")
BOUNDARIES = ("input", "a", "b", "output")


def option(point, rate, *, device_s, cluster_s, sent, drop=0.0, share=0.5):
    return CutOption(
        point=PointName(point), codec="k", rate=rate, device_s=device_s, cluster_s=cluster_s, bytes=sent,
        device_energy_j=3 * device_s, drop=drop, cluster_share=share,
    )  # fmt: skip


TABLE = CutTable(
    (
        option("input", "fine", device_s=0.0, cluster_s=0.02, sent=20_000, share=1.0),
        option("input", "coarse", device_s=0.0, cluster_s=0.02, sent=5_000, drop=0.3, share=1.0),
        option("a", "fine", device_s=0.02, cluster_s=0.01, sent=2_000, drop=0.001),
        option("a", "coarse", device_s=0.02, cluster_s=0.01, sent=1_000, drop=0.02),
        option("a", "worst", device_s=0.02, cluster_s=0.01, sent=100, drop=0.4),
        option("output", "whole", device_s=0.08, cluster_s=0.0, sent=0, share=0.0),
    )
)


def chain():
    """The middle group is dear on the device and the others on the cluster, so that sides change twice."""
    fast, slow = 0.001, 0.2
    device = ((fast, slow, slow), (0.0, slow, slow), (0.0, 0.0, fast))
    cluster = ((slow, slow, slow), (0.0, fast, slow), (0.0, 0.0, slow))
    sizes = (9_000.0, 200.0, 100.0, 50.0)
    return GroupTable(
        device_s=device, cluster_s=cluster, device_energy_j=device, upload_bytes=sizes, download_bytes=sizes
    )


def names(choices):
    return [f"{choice.option.point} {choice.option.rate}" for choice in choices]


def test_neurosurgeon_chooses_among_the_most_accurate_option_of_each_point():
    plan = plan_cut(TABLE, RADIOS["wifi"], CutRequest(planner="neurosurgeon"))
    assert sorted(names(plan.choices)) == ["a fine", "input fine", "output whole"]
    assert names([plan.chosen]) == ["input fine"]


def test_bottlenet_chooses_among_the_smallest_option_of_each_point_within_the_bound():
    plan = plan_cut(TABLE, RADIOS["3g"], CutRequest(planner="bottlenet"))
    assert sorted(names(plan.choices)) == ["a coarse", "input fine", "output whole"]
    assert names([plan.chosen]) == ["a coarse"]
    assert "a worst" in names(plan_cut(TABLE, RADIOS["3g"], CutRequest(planner="bottlenet", most_drop=0.5)).choices)


def test_jalad_chooses_among_all_options_within_the_bound():
    plan = plan_cut(TABLE, RADIOS["3g"], CutRequest(planner="jalad", most_drop=0.01))
    assert sorted(names(plan.choices)) == ["a fine", "input fine", "output whole"]
    assert names([plan.chosen]) == ["a fine"]


@pytest.mark.parametrize("planner", PLANNERS)
def test_a_plan_has_both_ends_beside_it_and_what_it_gains_over_them(planner):
    plan = plan_cut(TABLE, RADIOS["3g"], CutRequest(planner=planner))
    assert names([plan.cluster_only, plan.device_only]) == ["input fine", "output whole"]
    assert plan.gain(plan.device_only) == pytest.approx(0.08 / plan.chosen.costs.latency_s)
    assert plan.gain(None) is None
    for choice in plan.choices:
        assert sum(plan.parts_s(choice)) == pytest.approx(choice.costs.latency_s)
        assert sum(plan.parts_j(choice)) == pytest.approx(choice.costs.energy_j)


def test_where_no_frame_is_within_the_bound_the_one_that_loses_least_is_compared_with():
    coarse = CutTable(TABLE.options[1:])
    plan = plan_cut(coarse, RADIOS["wifi"], CutRequest(planner="bottlenet"))
    assert names([plan.cluster_only]) == ["input coarse"]
    (row,) = [row for row in cut_text([plan]).rows if row[1] == "cluster only"]
    assert "30.0 (over)" in row


def test_options_beside_the_table_are_compared_with_and_never_chosen():
    ends = (TABLE.options[0], TABLE.options[-1])
    plan = plan_cut(CutTable(TABLE.options[2:5]), RADIOS["wifi"], CutRequest(planner="bottlenet"), beside=ends)
    assert names([plan.chosen, plan.cluster_only, plan.device_only]) == ["a coarse", "input fine", "output whole"]
    alone = plan_cut(CutTable(TABLE.options[2:5]), RADIOS["wifi"], CutRequest(planner="bottlenet"))
    assert (alone.cluster_only, alone.device_only) == (None, None)
    assert "not in this table" in cut_text([alone]).rows[1]


def test_loads_move_the_cut_and_are_in_all_that_is_said():
    plan = plan_cut(TABLE, RADIOS["3g"], CutRequest(planner="bottlenet", k_mobile=10, k_cloud=2))
    assert names([plan.chosen]) == ["input fine"]
    assert plan.parts_s(plan.device_only)[0] == pytest.approx(0.8)
    assert plan.parts_s(plan.chosen)[2] == pytest.approx(0.04)


def test_a_bound_that_no_option_keeps_names_the_least_there_is():
    lossy = CutTable((TABLE.options[4], TABLE.options[1]))
    for planner in PLANNERS:
        with pytest.raises(SettingError, match="loses 2 points or less; the least there is is 30") as raised:
            plan_cut(lossy, RADIOS["3g"], CutRequest(planner=planner))
        assert "--max-drop" in raised.value.mend


@pytest.mark.parametrize(
    "asked",
    [
        {"planner": "jalad", "objective": "energy"},
        {"planner": "jalad", "k_cloud": 2},
        {"planner": "neurosurgeon", "k_mobile": 2},
    ],
)
def test_a_planner_is_not_asked_for_what_its_paper_does_not_know(asked):
    with pytest.raises(SettingError) as raised:
        CutRequest(**asked)
    assert "bottlenet" in raised.value.mend


@pytest.mark.parametrize("objective", ["latency", "energy"])
def test_cuts_are_drawn_in_a_small_picture(objective, tmp_path):
    plans = [plan_cut(TABLE, link, CutRequest(planner="bottlenet", objective=objective)) for link in RADIOS.values()]
    plot_cuts(plans, tmp_path / "cuts.png", title="a title " * 30)
    assert 5_000 < (tmp_path / "cuts.png").stat().st_size < MOST_PICTURE_BYTES


def test_the_best_of_each_point_are_in_the_order_of_the_devices_work():
    plan = plan_cut(TABLE, RADIOS["3g"], CutRequest(planner="jalad"))
    assert names(plan.best_of_each_point()) == ["input fine", "a coarse", "output whole"]
    assert plan.in_picture() == plan.best_of_each_point()


def test_both_ends_are_in_the_picture_where_they_were_no_choice():
    ends = (TABLE.options[0], TABLE.options[-1])
    plan = plan_cut(CutTable(TABLE.options[2:5]), RADIOS["wifi"], CutRequest(planner="bottlenet"), beside=ends)
    assert names(plan.in_picture()) == ["input fine", "a coarse", "output whole"]


def test_a_schedule_that_changes_sides_twice_is_said_drawn_and_recorded(tmp_path):
    plan = plan_schedule(chain(), RADIOS["wifi"], objective="latency")
    assert plan.schedule.transfers == (Transfer(1, "cluster"), Transfer(2, "device"))
    assert said(plan.schedule, BOUNDARIES) == "device → a → cluster → b → device"
    lanes = strip(plan.schedule).plain.splitlines()
    assert lanes == ["device  ██··██", "cluster ··██··"]
    assert schedule_text([plan], BOUNDARIES).rows[0][:3] == ("wifi", "chosen", "device → a → cluster → b → device")
    plain = json.loads(json.dumps(schedule_record(plan, BOUNDARIES)))
    assert [segment["side"] for segment in plain["chosen"]["segments"]] == ["device", "cluster", "device"]
    plot_schedules([plan] * 3, BOUNDARIES, (9_000.0, 200.0, 100.0, 50.0), tmp_path / "s.png", title="three links")
    assert 5_000 < (tmp_path / "s.png").stat().st_size < MOST_PICTURE_BYTES


def test_all_on_one_side_is_what_a_schedule_is_compared_with():
    plan = plan_schedule(chain(), RADIOS["wifi"], objective="latency")
    assert plan.device_only.latency_s == pytest.approx(0.2)
    assert plan.device_only.transfers == ()
    assert plan.cluster_only.transfers == (Transfer(0, "cluster"), Transfer(3, "device"))
    assert plan.cluster_only.cluster_share == 1
    assert plan.gain(plan.device_only) == pytest.approx(0.2 / plan.schedule.latency_s)
    assert plan.workload_saved == pytest.approx(1 - 0.001 / 0.2)
    assert said(plan.cluster_only, BOUNDARIES) == "cluster"


def test_limits_are_kept_by_the_integer_program():
    limits = Limits(cluster_s=0.0)
    plan = plan_schedule(chain(), RADIOS["wifi"], objective="latency", limits=limits)
    assert said(plan.schedule, BOUNDARIES) == "device"
    assert plan.workload_saved == 1


def test_a_record_of_cuts_is_plain_and_whole():
    plan = plan_cut(TABLE, RADIOS["4g"], CutRequest(planner="jalad"))
    plain = json.loads(json.dumps(cut_record(plan)))
    assert plain["request"]["planner"] == "jalad"
    assert len(plain["choices"]) == len(plan.choices)
    assert plain["chosen"]["latency_s"] == pytest.approx(plan.chosen.costs.latency_s)


def test_figures_are_written_so_that_they_can_be_read():
    assert [milli(amount) for amount in (0.0, 0.01234, 0.2, 2.5)] == ["0.0", "12.3", "200", "2,500"]
    assert [times(ratio) for ratio in (None, 0.5, 12.34)] == ["–", "0.50×", "12.3×"]
    assert [percent(share) for share in (-0.001, 0.256)] == ["0%", "26%"]
    assert [drop(share) for share in (-0.0001, 0.123)] == ["0.0", "12.3"]
