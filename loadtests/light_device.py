"""The device of a light agent: no graph is run, each job takes as long as the emulated device would.

Owns those times, and the one worker that does a device's jobs one after another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from device_agent.device_profile import ProfileStore
from device_agent.emulation import Emulation
from device_agent.head import local_option
from wire.bundle import Bundle
from wire.errors import SettingError
from wire.ids import OptionId


@dataclass(frozen=True, slots=True)
class LightDevice:
    """What each option's head and coder take on a device, in seconds; the whole network at the local option."""

    name: str
    slowdown: float
    option_s: Mapping[OptionId, float]
    local_id: OptionId

    @classmethod
    def of(cls, bundle: Bundle, cache: Path, name: str | None) -> "LightDevice":
        """Emulate a known device as the agent does; None is this machine as it is.

        Raises:
            SettingError: nobody knows the device, or this machine's own profile is not in ``cache``.
        """
        profile = ProfileStore(cache).load(bundle.digest, 1)
        if profile is None:
            raise SettingError(f"{cache} holds no profile of this machine", mend="run an agent with this --cache first")
        whole = local_option(bundle)
        emulated = Emulation(name).of(bundle.manifest.backbone, whole.macs.head, profile[whole.id])
        slowdown = emulated.slowdown if emulated is not None else 1.0
        times_s = {option_id: slowdown * seconds for option_id, seconds in profile.items()}
        return cls(name or "this machine", slowdown, times_s, whole.id)

    @property
    def local_s(self) -> float:
        """Seconds of the device's own answer."""
        return self.option_s[self.local_id]


class LightWorker:
    """The one thread of a device: a job begins when those before it have ended. Pure: times go in."""

    def __init__(self) -> None:
        self._begun_s = self._free_s = 0.0
        self.worked_s = 0.0

    def work(self, seconds: float, *, now_s: float) -> float:
        """Take a job of so many seconds; gives when it ends."""
        self._begun_s = max(self._free_s, now_s)
        self._free_s = self._begun_s + seconds
        self.worked_s += seconds
        return self._free_s

    def stop(self, *, now_s: float) -> None:
        """End the last job now: nobody waits for it any more."""
        ends_s = min(self._free_s, max(now_s, self._begun_s))
        self.worked_s -= self._free_s - ends_s
        self._free_s = ends_s
