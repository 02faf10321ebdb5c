"""What each option costs on this device, as measured so far: seconds of device time, bytes and looks a frame."""

from collections.abc import Mapping
from typing import Final

from wire.ids import OptionId
from wire.manifest import Option

WEIGHT: Final = 0.2
"""Weight of the newest sample in the moving means."""
OUTLIER: Final = 3.0
"""A sample counts as at most this many times the mean: one stall must not banish an option for good."""
LOOKS_WEIGHT: Final = 0.05
"""The same for the number of looks: a frame has one or two or three, so a mean of few frames would jump about."""
MESSAGE_BYTES: Final = 90
"""What a ``Frame`` adds to its bitstream on the link, WebSocket and TCP headers included."""


class OptionCosts:
    """Exponentially weighted means, begun from the device profile and from the bundle's own measurements."""

    def __init__(self, options: tuple[Option, ...], device_s: Mapping[OptionId, float]) -> None:
        self._device_s = {option.id: device_s.get(option.id, 0.0) for option in options}
        self._looks = {option.id: 0.0 if option.coder == "none" else option.measured.looks_mean for option in options}
        self._sent_bytes = {
            option.id: option.measured.bytes_mean + self._looks[option.id] * MESSAGE_BYTES
            if option.coder != "none"
            else 0.0
            for option in options
        }

    def device_s(self, option_id: OptionId) -> float:
        """Give the mean seconds of head and entropy coder (of the whole network for ``output``)."""
        return self._device_s[option_id]

    def sent_bytes(self, option_id: OptionId) -> float:
        """Give the mean bytes of a frame's messages; 0 for the option that sends nothing."""
        return self._sent_bytes[option_id]

    def looks(self, option_id: OptionId) -> float:
        """Give the mean number of a frame's messages; 0 for the option that sends nothing."""
        return self._looks[option_id]

    def note_device(self, option_id: OptionId, device_s: float) -> None:
        """Take the seconds that one warm run took."""
        _blend(self._device_s, option_id, device_s)

    def note_sent(self, option_id: OptionId, sent_bytes: int, looks: int) -> None:
        """Take the bytes and the number of one frame's messages."""
        _blend(self._sent_bytes, option_id, float(sent_bytes))
        self._looks[option_id] += LOOKS_WEIGHT * (looks - self._looks[option_id])


def _blend(means: dict[OptionId, float], option_id: OptionId, sample: float) -> None:
    mean = means[option_id]
    if mean <= 0:
        means[option_id] = sample
        return
    means[option_id] = mean + WEIGHT * (min(sample, OUTLIER * mean) - mean)
