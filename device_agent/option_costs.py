"""What each option costs on this device, as measured so far: seconds of device time, and bytes a frame."""

from collections.abc import Mapping
from typing import Final

from wire.ids import OptionId
from wire.manifest import Option

WEIGHT: Final = 0.2
"""Weight of the newest sample in the moving means."""
OUTLIER: Final = 3.0
"""A sample counts as at most this many times the mean: one stall must not banish an option for good."""
MESSAGE_BYTES: Final = 90
"""What a ``Frame`` adds to its bitstream on the link, WebSocket and TCP headers included."""


class OptionCosts:
    """Exponentially weighted means, begun from the device profile and from the bundle's own measurements."""

    def __init__(self, options: tuple[Option, ...], device_s: Mapping[OptionId, float]) -> None:
        self._device_s = {option.id: device_s.get(option.id, 0.0) for option in options}
        self._sent_bytes = {
            option.id: 0.0 if option.coder == "none" else option.measured.bytes_mean + MESSAGE_BYTES
            for option in options
        }

    def device_s(self, option_id: OptionId) -> float:
        """Give the mean seconds of head and entropy coder (of the whole network for ``output``)."""
        return self._device_s[option_id]

    def sent_bytes(self, option_id: OptionId) -> float:
        """Give the mean bytes of a message; 0 for the option that sends nothing."""
        return self._sent_bytes[option_id]

    def note_device(self, option_id: OptionId, device_s: float) -> None:
        """Take the seconds that one warm run took."""
        _blend(self._device_s, option_id, device_s)

    def note_sent(self, option_id: OptionId, sent_bytes: int) -> None:
        """Take the bytes of one message."""
        _blend(self._sent_bytes, option_id, float(sent_bytes))


def _blend(means: dict[OptionId, float], option_id: OptionId, sample: float) -> None:
    mean = means[option_id]
    if mean <= 0:
        means[option_id] = sample
        return
    means[option_id] = mean + WEIGHT * (min(sample, OUTLIER * mean) - mean)
