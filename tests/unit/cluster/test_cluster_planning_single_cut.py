import numpy as np
import pytest

from cluster.planning.jalad import jalad
from cluster.planning.single_cut import bottlenet, costs, neurosurgeon
from cluster.planning.tables import RADIOS, CutOption, CutTable
from wire.errors import SettingError
from wire.ids import PointName

WIFI = RADIOS["wifi"]
SEEDS = range(40)


def drawn_table(rng):
    count = int(rng.integers(1, 12))
    return CutTable(
        tuple(
            CutOption(
                point=PointName(f"p{index}"),
                rate=f"c{index % 3}",
                device_s=float(rng.uniform(0, 0.3)),
                cluster_s=float(rng.uniform(0, 0.05)),
                bytes=float(rng.choice([0, 300, 5000, 40000])),
                device_energy_j=float(rng.uniform(0, 1)),
                drop=float(rng.integers(-2, 12)) / 100,
            )
            for index in range(count)
        )
    )


def latency_by_hand_s(option, link, k_mobile=1.0, k_cloud=1.0):
    waiting_s = link.base_s if option.bytes else 0.0
    return k_mobile * option.device_s + waiting_s + option.bytes / link.uplink_bytes_s + k_cloud * option.cluster_s


def energy_by_hand_j(option, link, k_mobile=1.0):
    mbps = link.uplink_bytes_s * 8e-6
    watts = link.alpha_up_w_per_mbps * mbps + link.beta_w
    return k_mobile * option.device_energy_j + watts * option.bytes / link.uplink_bytes_s


@pytest.mark.parametrize("radio", RADIOS)
@pytest.mark.parametrize("seed", SEEDS)
def test_neurosurgeon_finds_what_trying_every_option_finds(seed, radio):
    table, link = drawn_table(np.random.default_rng(seed)), RADIOS[radio]
    fast = neurosurgeon(table, link, objective="latency", k_cloud=3)
    assert fast.costs.latency_s == pytest.approx(min(latency_by_hand_s(o, link, k_cloud=3) for o in table.options))
    assert fast.costs.latency_s == pytest.approx(latency_by_hand_s(fast.option, link, k_cloud=3))
    frugal = neurosurgeon(table, link, objective="energy")
    assert frugal.costs.energy_j == pytest.approx(min(energy_by_hand_j(option, link) for option in table.options))
    assert frugal.costs.energy_j == pytest.approx(energy_by_hand_j(frugal.option, link))


@pytest.mark.parametrize("seed", SEEDS)
def test_bottlenet_finds_what_trying_every_option_under_the_same_loads_finds(seed):
    rng = np.random.default_rng(seed)
    table, (k_mobile, k_cloud) = drawn_table(rng), rng.uniform(0.5, 5, 2)
    fast = bottlenet(table, WIFI, objective="latency", k_mobile=k_mobile, k_cloud=k_cloud)
    assert fast.costs.latency_s == pytest.approx(
        min(latency_by_hand_s(option, WIFI, k_mobile, k_cloud) for option in table.options)
    )
    frugal = bottlenet(table, WIFI, objective="energy", k_mobile=k_mobile, k_cloud=k_cloud)
    assert frugal.costs.energy_j == pytest.approx(
        min(energy_by_hand_j(option, WIFI, k_mobile) for option in table.options)
    )


def two_ways():
    fields = {"device_energy_j": 0.1, "rate": "raw"}
    early = CutOption(point=PointName("early"), device_s=0.01, cluster_s=0.02, bytes=1000, **fields)
    late = CutOption(point=PointName("late"), device_s=0.04, cluster_s=0.001, bytes=1000, **fields)
    return CutTable((early, late))


def test_a_loaded_cluster_moves_bottlenets_cut_to_the_back_and_a_loaded_device_to_the_front():
    assert bottlenet(two_ways(), WIFI, objective="latency").option.point == "early"
    assert bottlenet(two_ways(), WIFI, objective="latency", k_cloud=4).option.point == "late"
    assert bottlenet(two_ways(), WIFI, objective="latency", k_cloud=4, k_mobile=4).option.point == "early"


def test_of_options_with_equal_energy_the_faster_one_is_chosen():
    assert neurosurgeon(two_ways(), WIFI, objective="energy").option.point == "early"


def test_load_factors_scale_seconds_and_joules_of_computation_and_never_the_link():
    option = CutOption(
        point=PointName("p"), rate="r", device_s=0.5, cluster_s=0.25, bytes=2360, device_energy_j=1.0
    )  # fmt: skip
    found = costs(option, WIFI, k_mobile=2, k_cloud=4)
    assert found.latency_s == pytest.approx(1.0 + 0.001 + 1.0)
    assert found.cluster_s == 1.0
    assert found.energy_j == pytest.approx(2.0 + WIFI.uplink_w * 0.001)


@pytest.mark.parametrize("factor", [-1.0, float("nan")])
def test_a_load_factor_below_zero_is_refused(factor):
    with pytest.raises(SettingError):
        bottlenet(two_ways(), WIFI, objective="latency", k_cloud=factor)


@pytest.mark.parametrize("most_drop", [-0.01, 0.0, 0.03, 0.07, 1.0])
@pytest.mark.parametrize("seed", SEEDS)
def test_jalads_integer_program_finds_what_trying_every_option_finds(seed, most_drop):
    table, link = drawn_table(np.random.default_rng(seed)), RADIOS["4g"]
    allowed = [option for option in table.options if option.drop <= most_drop]
    if not allowed:
        with pytest.raises(SettingError, match=f"least there is is {min(o.drop for o in table.options):.4g}"):
            jalad(table, link, most_drop=most_drop)
        return
    chosen = jalad(table, link, most_drop=most_drop)
    assert chosen.option in allowed
    assert chosen.costs.latency_s == pytest.approx(min(latency_by_hand_s(option, link) for option in allowed), rel=1e-9)
    assert chosen.costs.latency_s == pytest.approx(latency_by_hand_s(chosen.option, link))


def test_jalad_keeps_the_bound_however_close_a_faster_option_comes():
    fields = {"cluster_s": 0.0, "bytes": 10, "device_energy_j": 0.0, "point": PointName("p")}
    over = CutOption(rate="c2", device_s=0.01, drop=0.05 + 1e-12, **fields)
    within = CutOption(rate="c4", device_s=0.02, drop=0.05, **fields)
    assert jalad(CutTable((over, within)), WIFI, most_drop=0.05).option == within
