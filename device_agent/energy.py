"""What a frame costs the device in joules: its processor while it works, its radio while bytes are on the way."""

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, TypeVar

from device_agent.known_devices import known_device
from device_agent.power import RADIOS
from wire.errors import SettingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Amount = TypeVar("Amount", float, "NDArray[np.float64]")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyModel:
    """Powers in watts; all 0 where nothing is known of the device, and then every frame is free.

    While it sends, a radio draws P = alpha × throughput + beta (Huang et al., MobiSys 2012; JointDNN and BottleNet use
    the same). So the bytes cost alpha each, whatever the rate, and beta runs for as long as they take. Replies, of some
    hundred bytes, count as if they were sent. What the device draws while it waits is not a frame's.

    Raises:
        SettingError: a power is not finite, or below 0.
    """

    extra_w: float = 0.0
    """Of the processor at work, over idle."""
    alpha_w_per_mbps: float = 0.0
    beta_w: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not 0 <= getattr(self, name) < inf:
                raise SettingError(f"{name} is {getattr(self, name)}", mend="give a finite number that is not below 0")

    def frame_j(self, device_s: Amount, moved_bytes: Amount, transfer_s: Amount) -> Amount:
        """Give the joules of frames: seconds at work, bytes both ways, and the seconds that these take on the link."""
        return self.extra_w * device_s + self.alpha_w_per_mbps * 8e-6 * moved_bytes + self.beta_w * transfer_s


def energy_of(device: str | None, radio: str, extra_w: float | None) -> EnergyModel:
    """Put together what is known: a known device's processor, a radio by name or "none", and what the user says.

    Raises SettingError for a device that nobody knows.
    """
    if extra_w is None:
        extra_w = known_device(device).power.extra_w if device is not None else 0.0
    if radio == "none":
        return EnergyModel(extra_w=extra_w)
    drawn = RADIOS[radio]
    return EnergyModel(extra_w=extra_w, alpha_w_per_mbps=drawn.alpha_up_w_per_mbps, beta_w=drawn.beta_w)
