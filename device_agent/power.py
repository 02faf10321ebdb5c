"""What a device draws while it computes, and its radio while it sends or receives; watts.

Owns the records of both and the radios' published figures; what a frame costs is ``energy``'s. Knows no device by name
and reads no sensor.
"""

from dataclasses import dataclass
from math import isfinite
from typing import Final

from wire.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePower:
    """The power of a whole device, without its radio.

    Raises:
        SettingError: a power is not finite or below 0, or the device draws less at work than idle.
    """

    idle_w: float
    busy_w: float
    """With the processor at work on its usual number of threads."""
    nominal: bool = False
    """``busy_w`` is the budget of a power mode, which bounds what is drawn from above; no measurement."""
    source: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.idle_w <= self.busy_w < float("inf"):
            raise SettingError(
                f"a device cannot draw {self.idle_w} W idle and {self.busy_w} W at work",
                mend="give finite watts, and no fewer at work than idle",
            )

    @property
    def extra_w(self) -> float:
        """What computing adds: the watts over idle while the processor is at work."""
        return self.busy_w - self.idle_w


@dataclass(frozen=True, slots=True, kw_only=True)
class RadioPower:
    """The power of a radio on the move, P = alpha × throughput + beta (Huang et al., MobiSys 2012, section 5).

    While the radio only waits, nothing is counted.

    Raises:
        SettingError: a number is not finite or below 0.
    """

    alpha_up_w_per_mbps: float
    alpha_down_w_per_mbps: float
    beta_w: float
    uplink_mbps: float = 0.0
    """The rate that papers compute this radio with; 0 where there is none. No formula here reads the rates."""
    downlink_mbps: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            amount = getattr(self, name)
            if not (isfinite(amount) and amount >= 0):
                raise SettingError(f"a radio has {amount} for {name}", mend="give a finite number that is not below 0")


# Last, since a radio is checked as it is made.
RADIOS: Final[dict[str, RadioPower]] = {
    name: RadioPower(
        alpha_up_w_per_mbps=alpha_up_mw / 1e3, alpha_down_w_per_mbps=alpha_down_mw / 1e3, beta_w=beta_mw / 1e3,
        uplink_mbps=up_mbps, downlink_mbps=down_mbps,
    )
    for name, alpha_up_mw, alpha_down_mw, beta_mw, up_mbps, down_mbps in (
        ("3g", 868.98, 122.12, 817.88, 1.1, 2.0275),
        ("4g", 438.39, 51.97, 1288.04, 5.85, 13.76),
        ("wifi", 283.17, 137.01, 132.86, 18.88, 54.97),
    )
}  # fmt: skip
"""By name. Power: Huang et al., MobiSys 2012; rates: the United States' averages that JointDNN and BottleNet use."""
