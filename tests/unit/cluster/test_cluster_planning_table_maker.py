from dataclasses import replace

import pytest

from cluster.planning.machines import Machines
from cluster.planning.table_maker import (
    TensorCoding,
    backward_table,
    cut_table,
    feature_table,
    group_table,
    in_parts,
    whole_s,
)
from cluster.profiling.group_profile import GroupProfile
from wire.errors import SettingError
from wire.ids import OptionId, PointName
from wire.manifest import UNMEASURED, Macs, Option

ZERO = ((0.0,) * 3,) * 3
PROFILE = GroupProfile(
    backbone="toy", machine="a test", threads=1, repeats=1, boundaries=("input", "a", "b", "output"),
    tensor_bytes=(3000.0, 8000.0, 4000.0, 40.0), macs=(1, 1, 1),
    seconds=((0.010, 0.018, 0.030), (0.0, 0.010, 0.020), (0.0, 0.0, 0.010)), spread_s=ZERO,
    backward_s=((0.02, 0.04, 0.06), (0.0, 0.02, 0.04), (0.0, 0.0, 0.02)),
)  # fmt: skip
EMULATED = Machines(device="pi", device_factor=10, device_w=4, cluster_factor=2)
PLAIN = TensorCoding(ratio=1.0, frame="pixels")
MEASURED = replace(UNMEASURED, pictures=10, bytes_mean=500.0, top1_drop=0.02)
SPLIT = Option(
    id=OptionId(3), point=PointName("a"), codec="isthmus", rate="r6+r3", coder="rans", shape=(1, 2, 2),
    device_graph="d", cluster_graph="c", tables="t", gains="g", quality=None, macs=Macs(40, 5, 3, 60),
    measured=replace(MEASURED, looks_mean=1.5),
)  # fmt: skip
WHOLE = replace(
    SPLIT, id=OptionId(4), point=PointName("output"), codec="none", rate="whole", coder="none",
    macs=Macs(100, 0, 0, 0), measured=replace(MEASURED, bytes_mean=0.0, top1_drop=0.0),
)  # fmt: skip


def test_an_option_costs_what_was_measured_by_the_factors_of_its_machines():
    table = cut_table([SPLIT, WHOLE], {OptionId(3): 0.01, OptionId(4): 0.02}, {OptionId(3): 0.006}, EMULATED)
    split, whole = table.options
    assert split.device_s == pytest.approx(0.1)
    assert split.device_energy_j == pytest.approx(0.4)
    assert split.cluster_s == pytest.approx(0.006 * 1.5 / 2), "the cluster works for each look"
    assert (split.bytes, split.drop, split.cluster_share) == (500, 0.02, pytest.approx(0.63))
    assert split.name == "a/isthmus/r6+r3"
    assert (whole.cluster_s, whole.bytes, whole.device_s) == (0, 0, pytest.approx(0.2))


def test_an_option_without_seconds_is_named():
    with pytest.raises(SettingError, match=r"no seconds of option 3 \(a/isthmus/r6\+r3\)") as raised:
        cut_table([SPLIT], {OptionId(4): 1.0}, {}, EMULATED)
    assert "isthmus profile" in raised.value.mend


def test_an_option_whose_loss_nobody_measured_is_refused():
    unmeasured = replace(SPLIT, measured=UNMEASURED)
    with pytest.raises(SettingError, match="nobody knows what option") as raised:
        cut_table([unmeasured], {OptionId(3): 1.0}, {OptionId(3): 1.0}, EMULATED)
    assert "--measure" in raised.value.mend


def test_groups_become_a_table_of_both_machines_and_of_what_is_sent():
    table = group_table(PROFILE, EMULATED, PLAIN)
    assert table.device_s[0][2] == pytest.approx(0.28), "18 + 10 ms in parts, less than 30 together"
    assert table.cluster_s[1][2] == pytest.approx(0.01)
    assert table.device_energy_j[1][1] == pytest.approx(0.4)
    assert table.upload_bytes == table.download_bytes == (3000, 2000, 1000, 10)


def test_tensors_are_sent_in_fixed_point_by_their_ratio_and_the_frame_by_its_own():
    coding = TensorCoding(bits=4, ratio=0.5, frame="png")
    assert coding.sizes(PROFILE) == (pytest.approx(1747, abs=1), 500, 250, 2.5)
    assert "4-bit values (0.50 of their bytes), the frame as png (0.582" in coding.said()


@pytest.mark.parametrize("change", [{"bits": 0}, {"bits": 33}, {"ratio": 0.0}, {"ratio": float("inf")}])
def test_a_coding_that_sends_nothing_is_refused(change):
    with pytest.raises(SettingError, match="make no tensor"):
        TensorCoding(**change)


def test_groups_never_cost_more_together_than_in_parts():
    seconds = ((1.0, 5.0, 9.0), (0.0, 1.0, 1.5), (0.0, 0.0, 1.0))
    assert in_parts(seconds) == ((1.0, 2.0, 2.5), (0.0, 1.0, 1.5), (0.0, 0.0, 1.0))
    assert whole_s(PROFILE) == pytest.approx(0.028)


def test_the_backward_pass_is_scaled_alike_and_asked_for_where_it_is_missing():
    assert backward_table(PROFILE, EMULATED).device_s[0][2] == pytest.approx(0.6)
    with pytest.raises(SettingError, match="no backward pass") as raised:
        backward_table(replace(PROFILE, backward_s=None), EMULATED)
    assert "isthmus profile groups" in raised.value.mend


def test_neurosurgeons_table_sends_features_as_they_are_at_every_boundary():
    options = feature_table(PROFILE, EMULATED, TensorCoding(frame="pixels")).options
    assert [(option.point, option.rate, option.bytes) for option in options] == [
        ("input", "frame", 3000), ("a", "float32", 8000), ("b", "float32", 4000), ("output", "whole", 0),
    ]  # fmt: skip
    assert [option.device_s for option in options] == pytest.approx([0, 0.1, 0.18, 0.28])
    assert [option.cluster_s for option in options] == pytest.approx([0.014, 0.01, 0.005, 0])


@pytest.mark.parametrize(
    "change", [{"device_factor": 0.0}, {"cluster_factor": float("nan")}, {"device_w": -1.0}, {"device_w": float("inf")}]
)
def test_machines_that_make_no_sense_are_refused(change):
    with pytest.raises(SettingError):
        Machines(**change)


def test_what_is_emulated_is_said_to_be():
    assert Machines().said().count("emulated") == 0
    assert EMULATED.said().count("emulated") == 2
    assert "not counted" in Machines().said()
    assert "4 W" in EMULATED.said()
