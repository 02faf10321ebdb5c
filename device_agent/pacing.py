"""Which frames of a clip are played, and when each is due: pure arithmetic on media time."""

import math


class Pacer:
    """Keeps at most ``fps`` frames for each second of a clip, and says when each is due.

    Time is cut into slots of 1 / fps seconds; the first frame in each slot is kept. With fps 0 every frame
    is kept and none has a due time.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._first_slot = 0
        self._last_slot = -1

    def due(self, media_s: float) -> float | None:
        """Say when a frame at ``media_s`` seconds of the clip is due, in seconds from the start.

        None for a frame that is left out.
        """
        if self._fps == 0:
            return 0.0
        # A frame at 0.3 s may come as 0.29999999: it belongs into the slot that begins there.
        slot = self._first_slot + math.floor(media_s * self._fps + 1e-6)
        if slot <= self._last_slot:
            return None
        self._last_slot = slot
        return slot / self._fps

    def restart(self) -> None:
        """Begin the clip again, in the slot after the last one."""
        self._first_slot = self._last_slot + 1
