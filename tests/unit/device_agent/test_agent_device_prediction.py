from dataclasses import replace

import pytest

from device_agent.device_prediction import (
    Cell,
    emulated_slowdown,
    leave_network_out,
    leave_one_out,
    predict_s,
    published_cells,
    summarise,
)
from device_agent.known_devices import KnownDevice, known_device, known_devices, known_macs
from wire.errors import SettingError

PI_5 = known_device("raspberry-pi-5")
PI_4B = known_device("raspberry-pi-4b")
CELLS = published_cells()


def changed(number: int, factor: float) -> tuple[Cell, ...]:
    return tuple(replace(c, seconds=c.seconds * factor) if i == number else c for i, c in enumerate(CELLS))


def test_a_published_time_is_given_as_it_is() -> None:
    time = predict_s(PI_4B, "efficientnet-lite0")
    assert (time.seconds, time.source, time.error_ratio) == (pytest.approx(0.0694), "published", 1.0)
    assert time.basis == "published for tflite"


def test_a_lite_on_another_device_is_predicted_and_says_how_well() -> None:
    time = predict_s(PI_5, "efficientnet-lite0")
    assert time.source == "predicted"
    assert 0.007 < time.seconds < 0.016
    assert 1.2 < time.error_ratio < 2.5
    assert time.basis == "predicted for ncnn-cpu from its times elsewhere"


@pytest.mark.parametrize("number", [0, 30, 76, 110, 154])
def test_what_is_left_out_does_not_touch_its_own_prediction(number: int) -> None:
    left = {one.cell: one.predicted_s for one in leave_one_out()}
    cells = changed(number, 100.0)
    again = {one.cell: one.predicted_s for one in leave_one_out(cells)}
    assert again[cells[number]] == pytest.approx(left[CELLS[number]], rel=1e-9)
    assert any(again[cell] != pytest.approx(left[cell], rel=1e-3) for cell in again if cell in left)


def test_a_network_that_is_left_out_is_left_out_on_every_device() -> None:
    left = [one.predicted_s for one in leave_network_out() if one.cell.network == "googlenet"]
    cells = tuple(replace(c, seconds=c.seconds * 100) if c.network == "googlenet" else c for c in CELLS)
    again = [one.predicted_s for one in leave_network_out(cells) if one.cell.network == "googlenet"]
    assert again == pytest.approx(left, rel=1e-9)


def test_every_cell_is_left_out_but_the_only_one_of_a_run() -> None:
    assert {one.cell for one in leave_one_out()} == {cell for cell in CELLS if cell.engine != "armnn"}


def test_a_half_of_what_is_left_out_is_within_a_fifth_and_nine_tenths_within_three_fifths() -> None:
    error = summarise(leave_one_out())
    assert error.cells == 154
    assert error.half_within < 1.2
    assert error.nine_tenths_within < 1.6


def test_a_network_that_was_published_nowhere_is_predicted_less_well() -> None:
    known, unknown = summarise(leave_one_out()), summarise(leave_network_out())
    assert known.half_within < unknown.half_within < 1.25
    assert known.nine_tenths_within < unknown.nine_tenths_within < 1.8


def test_an_error_is_a_factor_whichever_way_it_goes() -> None:
    one = leave_one_out()[0]
    too_low, too_high = replace(one, predicted_s=one.cell.seconds / 2), replace(one, predicted_s=one.cell.seconds * 2)
    assert (too_low.ratio, too_high.ratio) == (0.5, 2.0)
    assert too_low.error_factor == too_high.error_factor == 2.0


@pytest.mark.parametrize("device", known_devices(), ids=lambda device: device.name)
@pytest.mark.parametrize("name", ["mine", "resnet_of_mine"])
def test_more_multiply_accumulates_take_longer(device: KnownDevice, name: str) -> None:
    times_s = [predict_s(device, name, int(macs)).seconds for macs in (1e8, 5e8, 1e9, 2.5e9, 3e9, 8e9, 2e10)]
    assert times_s == sorted(times_s)
    assert len(set(times_s)) == len(times_s)


@pytest.mark.parametrize("backbone", known_macs())
def test_each_raspberry_pi_is_faster_than_the_one_before(backbone: str) -> None:
    times_s = [predict_s(known_device(f"raspberry-pi-{model}"), backbone).seconds for model in ("3b+", "4b", "5")]
    assert times_s == sorted(times_s, reverse=True)


def test_a_backbone_in_no_table_is_reckoned_from_those_of_its_family() -> None:
    resnet18, resnet34, resnet50, resnet101 = (
        predict_s(PI_4B, name, macs)
        for name, macs in (("resnet18", None), ("resnet34", 3_664_000_000), ("resnet50", None), ("resnet101", None))
    )
    assert resnet34.source == resnet101.source == "predicted"
    assert resnet34.basis == resnet101.basis == "predicted for ncnn-cpu from resnet18 and resnet50"
    assert resnet18.seconds < resnet34.seconds < resnet50.seconds
    assert 1.5 < resnet101.seconds / resnet50.seconds < 2.0


def test_a_backbone_without_a_family_is_predicted_from_its_multiply_accumulates_alone() -> None:
    assert predict_s(PI_5, "mine:net", 1_000_000_000).basis.endswith("its multiply-accumulates alone")


def test_random_weights_make_no_other_backbone() -> None:
    assert predict_s(PI_5, "resnet18-random", known_macs()["resnet18"]) == predict_s(PI_5, "resnet18")


def test_the_same_name_with_another_count_is_another_backbone() -> None:
    half = predict_s(PI_5, "resnet18", known_macs()["resnet18"] // 2)
    assert half.source == "predicted"
    assert half.seconds < predict_s(PI_5, "resnet18").seconds


def test_a_backbone_of_which_nothing_is_known_needs_its_multiply_accumulates() -> None:
    with pytest.raises(SettingError, match="nothing is published of the backbone 'mine'") as caught:
        predict_s(PI_5, "mine")
    assert "multiply-accumulates" in caught.value.mend
    assert "efficientnet-lite0" in caught.value.mend


def test_multiply_accumulates_of_none_are_refused() -> None:
    with pytest.raises(SettingError) as caught:
        predict_s(PI_5, "mine", 0)
    assert caught.value.mend


def test_a_device_is_emulated_by_what_it_takes_over_what_this_machine_takes() -> None:
    assert emulated_slowdown(PI_4B, "efficientnet-lite0", 0.01) == pytest.approx(6.94)
    assert emulated_slowdown(PI_4B, "efficientnet-lite0", predict_s(PI_4B, "efficientnet-lite0").seconds) == 1.0


def test_a_machine_that_is_slower_than_the_device_cannot_emulate_it() -> None:
    with pytest.raises(SettingError, match=r"slower than a raspberry-pi-5: .* takes 100\.0 ms here") as caught:
        emulated_slowdown(PI_5, "efficientnet-lite0", 0.1)
    assert "--threads" in caught.value.mend


def test_a_machine_that_takes_no_time_is_refused() -> None:
    with pytest.raises(SettingError) as caught:
        emulated_slowdown(PI_5, "efficientnet-lite0", 0.0)
    assert caught.value.mend
