import pytest

from cluster.planning.tables import RADIOS, BackwardTable, CutOption, CutTable, GroupTable, Link
from wire.errors import SettingError
from wire.ids import PointName

ONE = ((1.0,),)


def group_table(**changes):
    fields = {
        "device_s": ONE,
        "cluster_s": ONE,
        "device_energy_j": ONE,
        "upload_bytes": (1, 1),
        "download_bytes": (1, 1),
    }
    return GroupTable(**(fields | changes))


@pytest.mark.parametrize(
    ("name", "uplink_bytes_s", "uplink_w", "downlink_w"),
    [
        # By hand: (alpha × Mbit/s + beta) / 1000, from the papers' milliwatts.
        ("3g", 137_500, (868.98 * 1.1 + 817.88) / 1e3, (122.12 * 2.0275 + 817.88) / 1e3),
        ("4g", 731_250, (438.39 * 5.85 + 1288.04) / 1e3, (51.97 * 13.76 + 1288.04) / 1e3),
        ("wifi", 2_360_000, (283.17 * 18.88 + 132.86) / 1e3, (137.01 * 54.97 + 132.86) / 1e3),
    ],
)
def test_the_papers_radios_have_their_rates_and_draw_what_the_model_says(name, uplink_bytes_s, uplink_w, downlink_w):
    radio = RADIOS[name]
    assert radio.uplink_bytes_s == pytest.approx(uplink_bytes_s)
    assert radio.uplink_w == pytest.approx(uplink_w)
    assert radio.downlink_w == pytest.approx(downlink_w)
    assert radio.upload_j(uplink_bytes_s) == pytest.approx(uplink_w)


def test_a_transfer_takes_its_base_time_and_its_bytes_over_the_rate_and_nothing_takes_none():
    link = Link(name="test", uplink_bytes_s=1000, downlink_bytes_s=2000, base_s=0.5, beta_w=2)
    assert link.upload_s(500) == 1.0
    assert link.download_s(500) == 0.75
    assert link.upload_s(0) == link.download_s(0) == 0
    assert link.upload_j(500) == 1.0
    assert link.download_j(500) == 0.5


@pytest.mark.parametrize("rate", [0.0, -1.0, float("inf"), float("nan")])
def test_a_link_without_a_rate_is_refused(rate):
    with pytest.raises(SettingError):
        Link(name="test", uplink_bytes_s=rate, downlink_bytes_s=1)


@pytest.mark.parametrize("change", [{"device_s": -1.0}, {"bytes": float("nan")}, {"drop": 2.0}, {"drop": float("nan")}])
def test_an_option_with_a_number_that_makes_no_sense_is_refused(change):
    fields = {"device_s": 1.0, "cluster_s": 1.0, "bytes": 1, "device_energy_j": 1.0, "drop": 0.1}
    with pytest.raises(SettingError, match=r"input/raw"):
        CutOption(point=PointName("input"), rate="raw", **(fields | change))


def test_a_table_without_options_is_refused():
    with pytest.raises(SettingError):
        CutTable(())


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"device_s": ()}, "groups"),
        ({"cluster_s": ((1.0, 1.0), (1.0, 1.0))}, "cluster_s"),
        ({"device_energy_j": ((-1.0,),)}, "device_energy_j"),
        ({"upload_bytes": (1,)}, "upload_bytes"),
        ({"download_bytes": (1, -1)}, "download_bytes"),
    ],
)
def test_a_group_table_of_another_shape_or_with_negative_costs_is_refused(change, named):
    with pytest.raises(SettingError, match=named):
        group_table(**change)


def test_what_lies_below_the_diagonal_is_not_read():
    square = ((1.0, 2.0), (float("nan"), 1.0))
    assert BackwardTable(device_s=square, cluster_s=square, device_energy_j=square).device_s == square
