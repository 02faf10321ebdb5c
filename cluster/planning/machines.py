"""The two machines of a plan, as factors on the seconds that were measured on one.

Owns what a measured second becomes on the device and on the cluster, and how that is said.
"""

from dataclasses import dataclass

from wire.errors import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """The device and the cluster that a plan is for.

    A factor of 1 is the machine that measured; any other stands for a machine that is not here, which then is emulated:
    all that it computes takes the same factor, whatever it is.

    Raises:
        SettingError: a factor is not above 0, or the power is below 0.
    """

    device: str = "this machine"
    device_factor: float = 1.0
    """How many seconds the device takes for one measured second."""
    device_w: float | None = None
    """What the device draws while it computes, over what it draws idle; None where nobody has said."""
    cluster_factor: float = 1.0
    """How many measured seconds the cluster does in one of its own."""
    basis: str = ""
    """What the device's factor rests on."""

    def __post_init__(self) -> None:
        for name, factor in (("device", self.device_factor), ("cluster", self.cluster_factor)):
            if not 0 < factor < float("inf"):
                raise SettingError(f"a {name} with a factor of {factor} makes no sense", mend="give one above 0")
        if self.device_w is not None and not 0 <= self.device_w < float("inf"):
            raise SettingError(f"a device does not draw {self.device_w} W", mend="give watts of 0 or more")

    def device_s(self, measured_s: float) -> float:
        """Give the device's seconds for what took so many."""
        return measured_s * self.device_factor

    def device_j(self, measured_s: float) -> float:
        """Give the device's joules for what took so many seconds; none where its power is not known."""
        return self.device_s(measured_s) * (self.device_w or 0.0)

    def cluster_s(self, measured_s: float) -> float:
        """Give the cluster's seconds for what took so many."""
        return measured_s / self.cluster_factor

    def said(self) -> str:
        """Say in a line what is measured and what is emulated."""
        power = "its computing's joules not counted" if self.device_w is None else f"{self.device_w:g} W over idle"
        basis = f" ({self.basis})" if self.basis else ""
        device = f"device: {self.device}, {_share(self.device_factor)}{basis}, {power}"
        return f"{device}; cluster: {_share(1 / self.cluster_factor)}"


def _share(factor: float) -> str:
    return "the seconds measured" if factor == 1 else f"emulated by {factor:.3g} × the seconds measured"
