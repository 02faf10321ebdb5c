"""A clip prepared once: the bitstreams of every option for each of its frames, to be sent again and again.

Owns the bitstreams and their file. The head runs here, and nowhere else in the light generator.
"""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

import msgpack  # type: ignore[import-untyped]  # it ships no stubs

from device_agent.head import HeadRuntime
from device_agent.sources import Pixels, open_source, parse_source
from device_agent.spatial_activity import spatial_activity
from wire.bundle import Bundle
from wire.errors import SettingError
from wire.ids import BundleDigest, OptionId
from wire.manifest import Option

FRAMES: Final = 20
FPS: Final = 5.0
"""Of the frames that are taken, so that they differ."""
_SCHEMA: Final = 2


@dataclass(frozen=True, slots=True)
class LightClip:
    """Bitstreams by option: of each frame, one for each look that there may be."""

    digest: BundleDigest
    bitstreams: dict[OptionId, tuple[tuple[bytes, ...], ...]]
    refine_s: dict[OptionId, float]
    """What coding a further look took on this machine, at least; 0 of an option that has none."""
    activity: tuple[float, ...]
    """The spatial activity of each frame."""

    @classmethod
    def prepare(cls, bundle: Bundle, clip: Path, *, frames: int = FRAMES) -> Self:
        """Run the heads and coders of all options over the first frames of a clip; takes some ten seconds.

        Raises:
            BundleError: a graph cannot be run.
            SourceError: the clip cannot be read.
        """
        pixels = clip_frames(bundle, clip, frames)
        head = HeadRuntime(bundle, threads=1)
        sending = [option for option in bundle.manifest.options if option.coder != "none"]
        coded, refine_s = {}, {}
        for option in sending:
            frames_looks = [_looks(head, option, frame) for frame in pixels]
            coded[option.id] = tuple(looks for looks, _ in frames_looks)
            refine_s[option.id] = min(seconds for _, seconds in frames_looks)
        return cls(bundle.digest, coded, refine_s, tuple(spatial_activity(frame) for frame in pixels))

    @classmethod
    def kept(cls, bundle: Bundle, clip: Path, file: Path) -> Self:
        """Give what ``file`` holds, where it is of this bundle; else prepare it, and write the file.

        Raises:
            SettingError: the file cannot be written.
        """
        try:
            plain = msgpack.unpackb(file.read_bytes(), strict_map_key=False)
            if (plain["schema"], plain["digest"], plain["clip"]) == (_SCHEMA, bundle.digest, clip.name):
                coded = {OptionId(key): tuple(tuple(looks) for looks in of) for key, of in plain["bitstreams"].items()}
                refine_s = {OptionId(key): of for key, of in plain["refine_s"].items()}
                return cls(bundle.digest, coded, refine_s, tuple(plain["activity"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass  # there is none, or of another time
        prepared = cls.prepare(bundle, clip)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(msgpack.packb(prepared._plain(clip)))
        except OSError as error:
            raise SettingError(f"{file} cannot be written: {error}", mend="give another folder with --out") from error
        return prepared

    @property
    def frames(self) -> int:
        """How many frames there are before the clip begins again."""
        return len(next(iter(self.bitstreams.values())))

    def look(self, option_id: OptionId, frame: int, look: int) -> bytes:
        """Give the bitstream of one look at a frame, both from 0."""
        of_option = self.bitstreams[option_id]
        return of_option[frame % len(of_option)][look]

    def _plain(self, clip: Path) -> dict[str, Any]:
        return {
            "schema": _SCHEMA, "digest": self.digest, "clip": clip.name, "bitstreams": self.bitstreams,
            "refine_s": self.refine_s, "activity": self.activity,
        }  # fmt: skip


def clip_frames(bundle: Bundle, clip: Path, frames: int, *, fps: float = FPS) -> tuple[Pixels, ...]:
    """Give the first frames of a clip as the bundle's graphs take them; a short clip is played again.

    Raises:
        SourceError: the clip cannot be read.
    """
    source = open_source(parse_source(str(clip)), fps=fps, endless=True)
    return tuple(frame.pixels for frame in islice(source.frames(bundle.manifest.input), frames))


def _looks(head: HeadRuntime, option: Option, pixels: Pixels) -> tuple[tuple[bytes, ...], float]:
    """Give all looks at a frame, and the seconds that the coder took for one further look, at least."""
    encoded = head.encode(option, pixels)
    looks, times_s = [encoded.bitstream], []
    for look in range(1, len(option.refinements) + 1):
        encoded = head.refine(option, encoded, look)
        looks.append(encoded.bitstream)
        times_s.append(encoded.code_s)
    return tuple(looks), min(times_s, default=0.0)
