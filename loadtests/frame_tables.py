"""What every option of a bundle cost on every frame of a clip, as measured with the real agent and the real cluster.

Owns the record and its JSON. Measures nothing: that is ``table_sweep``'s.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from wire.bitstream import MAX_LOOKS
from wire.errors import SettingError, WireError
from wire.manifest import Option
from wire.records import from_plain, to_plain

TABLES_SCHEMA: Final = 3
_MEND: Final = "measure the tables again"


@dataclass(frozen=True, slots=True, eq=False)
class FrameTables:
    """What every option cost on every frame of a clip, measured with the real agent and cluster."""

    options: tuple[Option, ...]
    """Those that take part, one of them with the coder none."""
    device_s: NDArray[np.float64]
    """(options,) head and coder of a first look on the (emulated) device; the whole network at none."""
    refine_s: NDArray[np.float64]
    """(options,) coder of one further look."""
    cluster_s: NDArray[np.float64]
    """(options,) one exchange on an unloaded cluster."""
    looks: NDArray[np.intp]
    """(options, frames) how many looks the frame took; 0 at none."""
    sent_bytes: NDArray[np.float64]
    """(options, frames, MAX_LOOKS) of each look's message; 0 where there is none."""
    activity: NDArray[np.float64]
    """(frames,) the spatial activity of each."""
    reply_bytes: float
    """Of one reply."""
    own_s: float
    """What the agent takes for a frame beside all this: to come to it, and to write its answer."""
    overhead_s: float
    """What one exchange takes beside device, link, cluster and agent, measured on a link without limits."""
    device: str
    """Such as "raspberry-pi-3b+ (emulated, ×17.3)", or "this machine"."""

    @property
    def frames(self) -> int:
        """The number of frames of the clip."""
        return int(self.looks.shape[1])

    def still(self, frame: int) -> Self:
        """Give the tables of a clip that shows one of the frames and no other."""
        one = slice(frame, frame + 1)
        return replace(self, looks=self.looks[:, one], sent_bytes=self.sent_bytes[:, one], activity=self.activity[one])

    def as_plain(self) -> dict[str, Any]:
        """Give the tables as JSON values."""
        return {
            "schema": TABLES_SCHEMA,
            "device": self.device,
            "reply_bytes": self.reply_bytes,
            "own_s": self.own_s,
            "overhead_s": self.overhead_s,
            "options": [to_plain(option) for option in self.options],
            "device_s": self.device_s.tolist(),
            "refine_s": self.refine_s.tolist(),
            "cluster_s": self.cluster_s.tolist(),
            "looks": self.looks.tolist(),
            "sent_bytes": self.sent_bytes.tolist(),
            "activity": self.activity.tolist(),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Self:
        """Read what ``as_plain`` gave.

        Raises:
            SettingError: it is something else.
        """
        try:
            if plain["schema"] != TABLES_SCHEMA:
                raise ValueError(f"they have schema {plain['schema']}, and this Isthmus reads schema {TABLES_SCHEMA}")
            tables = cls(
                options=tuple(from_plain(Option, option, "option") for option in plain["options"]),
                device_s=np.asarray(plain["device_s"], np.float64),
                refine_s=np.asarray(plain["refine_s"], np.float64),
                cluster_s=np.asarray(plain["cluster_s"], np.float64),
                looks=np.asarray(plain["looks"], np.intp),
                sent_bytes=np.asarray(plain["sent_bytes"], np.float64),
                activity=np.asarray(plain["activity"], np.float64),
                reply_bytes=float(plain["reply_bytes"]),
                own_s=float(plain["own_s"]),
                overhead_s=float(plain["overhead_s"]),
                device=str(plain["device"]),
            )
        except (KeyError, TypeError, ValueError, WireError) as error:
            raise SettingError(f"these are no tables of frames: {error!r}", mend=_MEND) from error
        tables._check()
        return tables

    def save(self, path: Path) -> None:
        """Write the tables as JSON.

        Raises:
            SettingError: the file cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.as_plain()) + "\n", encoding="utf-8")
        except OSError as error:
            raise SettingError(f"{path} cannot be written: {error}", mend="give another file") from error

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the tables that ``save`` wrote.

        Raises:
            SettingError: the file cannot be read, or is something else.
        """
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise SettingError(f"{path} cannot be read: {error}", mend=_MEND) from error
        return cls.from_plain(plain)

    def _check(self) -> None:
        count, frames = len(self.options), self.frames if self.looks.ndim == 2 else 0
        expected = {
            "device_s": (count,),
            "refine_s": (count,),
            "cluster_s": (count,),
            "looks": (count, frames),
            "sent_bytes": (count, frames, MAX_LOOKS),
            "activity": (frames,),
        }
        for name, shape in expected.items():
            column = getattr(self, name)
            if column.shape != shape or not frames or not np.all(np.isfinite(column)) or (column < 0).any():
                raise SettingError(
                    f"{name} of the tables should be finite numbers of shape {shape}, and has {column.shape}",
                    mend=_MEND,
                )
        if sum(option.coder == "none" for option in self.options) != 1:
            raise SettingError("the tables need one option with which the device answers alone", mend=_MEND)
