import numpy as np
import pytest

from device_agent.energy import EnergyModel, energy_of
from device_agent.known_devices import known_device
from device_agent.power import RADIOS
from wire.errors import SettingError


def test_a_frame_costs_the_processor_at_work_the_bytes_and_the_radio_while_they_are_on_the_way() -> None:
    model = EnergyModel(extra_w=3.0, alpha_w_per_mbps=0.5, beta_w=0.8)
    assert model.frame_j(0.1, 0.0, 0.0) == pytest.approx(0.3)
    assert model.frame_j(0.0, 0.0, 2.0) == pytest.approx(1.6)
    # 125 kB in a second are 1 Mbit/s, at which the radio draws 0.5 + 0.8 W.
    assert model.frame_j(0.0, 125_000.0, 1.0) == pytest.approx(1.3)


def test_bytes_cost_the_same_at_any_rate_but_for_the_time_they_take() -> None:
    model = EnergyModel(alpha_w_per_mbps=0.5, beta_w=0.8)
    fast, slow = model.frame_j(0.0, 5000.0, 0.01), model.frame_j(0.0, 5000.0, 1.0)
    assert slow - fast == pytest.approx(0.8 * 0.99)


def test_frames_are_counted_in_columns_too() -> None:
    model = EnergyModel(extra_w=3.0, alpha_w_per_mbps=0.5, beta_w=0.8)
    joules = model.frame_j(np.array([0.1, 0.0]), np.array([0.0, 125_000.0]), np.array([0.0, 1.0]))
    assert joules == pytest.approx([0.3, 1.3])


def test_where_nothing_is_known_a_frame_is_free() -> None:
    assert energy_of(None, "none", None) == EnergyModel()
    assert EnergyModel().frame_j(1.0, 1e6, 1.0) == 0.0


def test_a_known_device_brings_what_its_processor_draws_over_idle_unless_the_user_knows_better() -> None:
    known_w = known_device("raspberry-pi-4b").power.extra_w
    assert energy_of("raspberry-pi-4b", "none", None) == EnergyModel(extra_w=known_w)
    assert energy_of("raspberry-pi-4b", "none", 2.5) == EnergyModel(extra_w=2.5)
    assert energy_of(None, "none", 2.5) == EnergyModel(extra_w=2.5)


@pytest.mark.parametrize("name", sorted(RADIOS))
def test_a_radio_brings_its_published_figures_for_sending(name: str) -> None:
    radio = RADIOS[name]
    model = energy_of(None, name, None)
    assert model == EnergyModel(alpha_w_per_mbps=radio.alpha_up_w_per_mbps, beta_w=radio.beta_w)


def test_a_device_that_nobody_knows_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(SettingError) as caught:
        energy_of("raspberry-pi-9z", "wifi", None)
    assert "raspberry-pi-4b" in caught.value.mend


@pytest.mark.parametrize("watts", [-5.0, float("nan"), float("inf")])
def test_a_power_that_cannot_be_is_refused(watts: float) -> None:
    with pytest.raises(SettingError, match="extra_w"):
        energy_of(None, "none", watts)
