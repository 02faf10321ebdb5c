"""A clip as a folder of pictures, as the agent sees its frames.

A frame of a folder costs one picture to decode; of a clip that is played slowly, all the frames between as well. Twenty
agents on one machine would do little else.
"""

from itertools import islice
from pathlib import Path
from typing import Final

from PIL import Image

from device_agent.sources import open_source, parse_source
from wire.errors import SettingError
from wire.manifest import Input

FPS: Final = 5.0
"""Of the pictures that are taken."""
PICTURES: Final = 20


def write_pictures(clip: Path, expected: Input, folder: Path) -> Path:
    """Write the first ``PICTURES`` frames of a clip as PNG files, scaled and cropped; gives the folder.

    Raises:
        SourceError: the clip cannot be read.
        SettingError: the folder cannot be written.
    """
    source = open_source(parse_source(str(clip)), fps=FPS, endless=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(islice(source.frames(expected), PICTURES)):
            Image.fromarray(frame.pixels[0]).save(folder / f"frame-{number:03d}.png")
    except OSError as error:
        raise SettingError(f"{folder} cannot be written: {error}", mend="give another folder with --out") from error
    return folder
