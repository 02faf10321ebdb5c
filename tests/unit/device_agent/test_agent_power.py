from math import nan

import pytest

from device_agent.power import RADIOS, DevicePower, RadioPower
from wire.errors import SettingError

PI = DevicePower(idle_w=2.7, busy_w=6.4)


def test_computing_costs_what_the_device_draws_over_idle() -> None:
    assert PI.extra_w == pytest.approx(3.7)


def test_the_radios_are_those_of_the_papers() -> None:
    assert tuple(RADIOS) == ("3g", "4g", "wifi")
    assert RADIOS["3g"].alpha_up_w_per_mbps == pytest.approx(0.86898)
    assert RADIOS["3g"].beta_w == pytest.approx(0.81788)
    assert RADIOS["3g"].downlink_mbps == 2.0275
    assert RADIOS["4g"].alpha_up_w_per_mbps == pytest.approx(0.43839)
    assert RADIOS["4g"].beta_w == pytest.approx(1.28804)
    assert RADIOS["4g"].uplink_mbps == 5.85
    assert RADIOS["wifi"].alpha_down_w_per_mbps == pytest.approx(0.13701)
    assert RADIOS["wifi"].downlink_mbps == 54.97


@pytest.mark.parametrize(("idle_w", "busy_w"), [(3.0, 2.0), (-1.0, 2.0), (1.0, nan), (1.0, float("inf"))])
def test_a_power_that_cannot_be_is_refused(idle_w: float, busy_w: float) -> None:
    with pytest.raises(SettingError) as caught:
        DevicePower(idle_w=idle_w, busy_w=busy_w)
    assert caught.value.mend


def test_a_radio_below_zero_is_refused() -> None:
    with pytest.raises(SettingError, match="beta_w"):
        RadioPower(alpha_up_w_per_mbps=0.1, alpha_down_w_per_mbps=0.1, beta_w=-0.1)
