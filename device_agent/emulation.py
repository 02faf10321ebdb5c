"""A device that is not at hand, played by this machine: which one, and how much slower it is."""

from dataclasses import dataclass

from wire.errors import SettingError


@dataclass(frozen=True, slots=True)
class Emulated:
    """What this machine plays; ``device`` is None for a slower machine of no name."""

    device: str | None
    slowdown: float


@dataclass(frozen=True, slots=True)
class Emulation:
    """What the user asks for: a known device by its name, or a factor, or neither."""

    device: str | None = None
    slowdown: float = 1.0

    def __post_init__(self) -> None:
        if self.device is not None and self.slowdown != 1:
            raise SettingError(
                "a device profile and a slowdown say two things", mend="give --device-profile or --device-slowdown"
            )

    def of(self, backbone: str, macs: int, own_whole_s: float) -> Emulated | None:
        """Say how much slower the device runs ``backbone`` than this machine, which takes ``own_whole_s`` for it.

        ``macs`` are the whole network's, for a backbone that is in no published table.

        Raises SettingError for a device that nobody knows, or one that is faster than this machine.
        """
        if self.device is not None:
            from device_agent.device_prediction import emulated_slowdown
            from device_agent.known_devices import known_device

            slowdown = emulated_slowdown(known_device(self.device), backbone, own_whole_s, macs)
            return Emulated(self.device, slowdown)
        return Emulated(None, self.slowdown) if self.slowdown != 1 else None
