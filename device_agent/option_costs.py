"""What each option costs on this device, as measured so far: seconds of device time, bytes and looks a frame."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from device_agent.option_table import Floats
from wire.ids import OptionId
from wire.manifest import Option

WEIGHT: Final = 0.2
"""Weight of the newest sample in what moves fast: the device's load, and an option's bytes."""
STALL_S: Final = 0.005
"""A run may be held up so long by what is not the device's speed: of a short one it is most, and tells little."""
OWN_WEIGHT: Final = 0.05
"""Of an option's own deviation from its profile, which should not take up what the device's load does."""
OUTLIER: Final = 3.0
"""A sample counts as at most this many times what was expected: one stall must not banish an option for good."""
SIZE_WEIGHT: Final = 0.8
"""Of a picture's size, which differs much between scenes and little between two frames of one."""
LOOKS_WEIGHT: Final = 0.05
"""The same for the number of looks: a frame has one or two or three, so a mean of few frames would jump about."""
ACTIVITY_EXPONENT: Final = 0.6
"""A JPEG's bytes follow its spatial activity to about the power of this: frames of clips 0.56, photographs 0.61."""
MOST_SCALED: Final = 4.0
"""But no frame is taken to be more or less than so many times as large as the last one that was coded."""
MESSAGE_BYTES: Final = 90
"""What a ``Frame`` adds to its bitstream on the link, WebSocket and TCP headers included."""
_P95_SDS: Final = 1.645
REPLY_BYTES: Final = 400
"""What a ``Result`` takes on the link."""
_PICTURE_CODERS: Final = ("jpeg", "png", "webp")


def is_picture(option: Option) -> bool:
    """Tell whether an option sends the frame itself as a picture, the bytes of which depend on what is to be seen."""
    return option.device_graph is None and option.coder in _PICTURE_CODERS


class OptionCosts:
    """Columns over the options of a bundle, begun from the device profile and the bundle's own measurements.

    Device times are profile × ``k_mobile`` × a factor of the option's own. ``k_mobile`` is what every run says of the
    whole device: throttled, or busy with other work (BottleNet's K_mobile). A slow frame at one point warns of all, the
    more so the longer it should have taken.
    """

    def __init__(self, options: tuple[Option, ...], device_s: Mapping[OptionId, float]) -> None:
        self._row = {option.id: row for row, option in enumerate(options)}
        sends = np.array([option.coder != "none" for option in options])
        self._pictures = [row for row, option in enumerate(options) if is_picture(option)]
        self._profile_s: Floats = np.array([device_s.get(option.id, 0.0) for option in options], float)
        self._own: Floats = np.ones(len(options))
        self.k_mobile = 1.0
        self.looks: Floats = np.where(sends, [option.measured.looks_mean for option in options], 0.0)
        """The mean number of a frame's messages."""
        means = np.array([option.measured.bytes_mean for option in options], float)
        self._sent_bytes: Floats = np.where(sends, means + self.looks * MESSAGE_BYTES, 0.0)
        most = np.array([option.measured.bytes_p95 for option in options], float)
        spread = np.maximum(most - means, 0.0) / _P95_SDS
        self._activity = 0.0
        self._coded: dict[int, tuple[float, float]] = {}
        """Of a row: its bytes when a frame was coded so last, and the activity of that frame."""
        self._spread: Floats = np.divide(spread, means, out=np.zeros(len(options)), where=means > 0)

    @property
    def device_s(self) -> Floats:
        """The seconds of head and entropy coder, or of the whole network."""
        return self._profile_s * (self._own * self.k_mobile)

    @property
    def moved_bytes(self) -> Floats:
        """The mean bytes of a frame's messages, both ways."""
        return self._sent_bytes + self.looks * REPLY_BYTES

    @property
    def bytes_sd(self) -> Floats:
        """The standard deviation of ``moved_bytes`` from frame to frame."""
        return self._spread * np.maximum(self._sent_bytes - self.looks * MESSAGE_BYTES, 0.0)

    def row(self, option_id: OptionId) -> int:
        """Give the row of an option."""
        return self._row[option_id]

    def note_device(self, option_id: OptionId, device_s: float) -> None:
        """Take the seconds that one warm run took."""
        row = self._row[option_id]
        profile_s = self._profile_s[row]
        if profile_s <= 0:
            self._profile_s[row] = device_s / self.k_mobile
            return
        ratio = min(device_s / (profile_s * self._own[row] * self.k_mobile), OUTLIER)
        told = profile_s / (profile_s + STALL_S)
        self.k_mobile *= 1 + WEIGHT * told * (ratio - 1)
        self._own[row] *= 1 + OWN_WEIGHT * told * (ratio - 1)

    def note_sent(self, option_id: OptionId, sent_bytes: int, looks: int) -> None:
        """Take the bytes and the number of one frame's messages."""
        row = self._row[option_id]
        self._blend_bytes(row, float(sent_bytes), SIZE_WEIGHT if row in self._pictures else WEIGHT)
        self.looks[row] += LOOKS_WEIGHT * (looks - self.looks[row])

    def note_activity(self, activity: float) -> None:
        """Take the spatial activity of the frame to come: what is known of pictures' sizes becomes that of its own."""
        self._activity = activity
        for row in self._pictures:
            # Where none was coded yet, the first frame is taken to be as large as the bundle's pictures.
            coded_bytes, of = self._coded.setdefault(row, (float(self._sent_bytes[row]), activity))
            scale = (activity / of) ** ACTIVITY_EXPONENT if of > 0 else 1.0
            self._sent_bytes[row] = coded_bytes * min(max(scale, 1 / MOST_SCALED), MOST_SCALED)

    def note_size(self, option_id: OptionId, bitstream_bytes: int) -> None:
        """Take the bytes that an option's one message would have had, for a frame that was not sent so."""
        self._blend_bytes(self._row[option_id], float(bitstream_bytes + MESSAGE_BYTES), SIZE_WEIGHT)

    def _blend_bytes(self, row: int, sent_bytes: float, weight: float) -> None:
        mean = self._sent_bytes[row]
        counted = min(sent_bytes, OUTLIER * mean) if mean > 0 else sent_bytes
        self._sent_bytes[row] += (weight if mean > 0 else 1.0) * (counted - mean)
        self._coded[row] = (float(self._sent_bytes[row]), self._activity)
