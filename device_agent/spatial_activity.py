"""How much there is to see in a picture, told in some ten microseconds: its size as a picture follows it.

Video coders call such a measure a picture's spatial activity. This one is the mean step between neighbours, and looks
at every eighth row and at every fourth pixel of those.
"""

from typing import Final

import numpy as np

from device_agent.sources import Pixels

ROWS: Final = 8
COLUMNS: Final = 4
_GREEN: Final = 1
"""Nearest to the luma, of which most of a JPEG's bytes are."""


def spatial_activity(pixels: Pixels) -> float:
    """Give the mean step to the next pixel and to the one below it, of uint8 (1, H, W, 3): 0 to 510."""
    green = pixels[0, :, :, _GREEN]
    below, beside = green[1::ROWS, :-1:COLUMNS], green[:-1:ROWS, 1::COLUMNS]
    here = green[:-1:ROWS, :-1:COLUMNS].astype(np.int16)
    return float(np.abs(here - below).mean() + np.abs(here - beside).mean())
