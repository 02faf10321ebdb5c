"""What a source of frames is, and which one a user's text means; the kinds have files of their own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
import numpy.typing as npt

from wire.errors import SourceError
from wire.manifest import Input

Pixels = npt.NDArray[np.uint8]
"""One frame as a graph takes it: uint8 RGB, shape (1, height, width, 3)."""

SourceKind = Literal["file", "camera", "rtsp", "folder"]

_MEND: Final = "give a video file, a folder of pictures, a camera index such as 0, or an rtsp:// address"


@dataclass(frozen=True, slots=True)
class SourceFrame:
    """One frame to be answered.

    ``due_s`` is in seconds from the start for a recorded source, and on the monotonic clock for a live one.
    """

    due_s: float
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """Where frames come from; ``location`` is what opens it."""

    kind: SourceKind
    location: str

    @property
    def is_live(self) -> bool:
        """Tell whether frames come when they come, and not when they are asked for."""
        return self.kind in ("camera", "rtsp")


class Source(Protocol):
    """Something that yields frames until it ends; ``frames`` may be called again for a recorded one."""

    def frames(self, expected: Input) -> Iterator[SourceFrame]:
        """Yield the paced frames, scaled and cropped as ``expected`` says; raises SourceError."""


def parse_source(text: str) -> SourceSpec:
    """Tell what kind of source a text means; raises SourceError if there is no such file or folder."""
    if text.isdecimal():
        return _existing(SourceSpec("camera", f"/dev/video{int(text)}"))
    if text.startswith(("rtsp://", "rtsps://")):
        return SourceSpec("rtsp", text)
    return _existing(SourceSpec("folder" if Path(text).is_dir() else "file", text))


def open_source(spec: SourceSpec, *, fps: float, endless: bool) -> Source:
    """Make the source; nothing is opened before its first frame is asked for."""
    # Each kind brings a library with it, and only one is needed.
    if spec.kind == "folder":
        from device_agent.folder_source import FolderSource

        return FolderSource(Path(spec.location), fps=fps, endless=endless)
    from device_agent.video_source import VideoSource

    return VideoSource(spec, fps=fps, endless=endless)


def crop_centre(picture: Pixels, expected: Input) -> Pixels:
    """Cut the centre out of uint8 (rows, columns, 3), at least as large; gives (1, height, width, 3)."""
    top = (picture.shape[0] - expected.height) // 2
    left = (picture.shape[1] - expected.width) // 2
    centre = picture[top : top + expected.height, left : left + expected.width]
    return np.ascontiguousarray(centre)[None]


def scaled_size(width: int, height: int, expected: Input) -> tuple[int, int]:
    """Give (width, height) in pixels so that the shorter side is ``expected.resize``."""
    scale = expected.resize / min(width, height)
    return max(round(width * scale), expected.resize), max(round(height * scale), expected.resize)


def _existing(spec: SourceSpec) -> SourceSpec:
    if not Path(spec.location).exists():
        raise SourceError(f"there is no {spec.kind} {spec.location!r}", mend=_MEND)
    return spec
