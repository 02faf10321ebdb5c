"""What one side of a bundle's options takes on one machine: graph and coder apart, for each size of batch.

Owns the record and its file; measures nothing.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

from cluster.profiling.profile_file import read_profile, write_profile
from wire.errors import SettingError
from wire.ids import DigestField, OptionField, OptionId, PointField
from wire.manifest import Side
from wire.records import Length, Range

ONNX_RUNTIME: Final = "onnxruntime"
"""The engine in the process that measures, whose one thread is timed by its own processor time."""
_MEND: Final = "measure it: isthmus profile device BUNDLE, or isthmus profile cluster BUNDLE"

Name = Annotated[str, Length(256)]
Seconds = Annotated[float, Range(0.0, 1e6)]


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSeconds:
    """One execution of a graph with a batch of frames: the median and the interquartile range, of the whole batch."""

    batch: Annotated[int, Range(1, 2**16)]
    seconds: Seconds
    spread_s: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionTimes:
    """One option: on the device head and encoder, then the coder; on the cluster the coder, then decoder and tail."""

    id: OptionField
    point: PointField
    codec: Name
    rate: Name
    graph: Name | None
    """Options that name the same graph share its times; None where there is none, as where a frame is sent itself."""
    coder_s: Seconds
    """Median of coding, or decoding, the first look at one frame; 0 where nothing is sent."""
    coder_spread_s: Seconds
    """Its interquartile range."""
    batches: Annotated[tuple[GraphSeconds, ...], Length(64)]
    """By size, the smallest first; on the device a batch of one alone. Empty where there is no graph."""

    def seconds(self, batch: int = 1) -> float:
        """Give what one frame takes: its coder, and the graph run with the batch that it is in.

        Raises:
            SettingError: batches of this size were not measured.
        """
        if not self.batches:
            return self.coder_s
        sizes = {each.batch: each.seconds for each in self.batches}
        if batch not in sizes:
            raise SettingError(
                f"option {self.id} was not measured with a batch of {batch}",
                mend=f"one of: {', '.join(map(str, sizes))}; or measure again with --batch",
            )
        return self.coder_s + sizes[batch]


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionProfile:
    """One side of every option that has work there.

    Raises:
        SettingError: a factor without the name of what is emulated, or an option twice.
    """

    side: Side
    backbone: Name
    bundle: DigestField
    machine: Name
    """The processor that measured, and how many threads of it."""
    engine: Name
    """What ran the graphs."""
    threads: Annotated[int, Range(1, 4096)]
    repeats: Annotated[int, Range(1, 10**6)]
    emulated: Name | None
    """The device that the seconds stand for; None where they are the machine's own."""
    factor: Annotated[float, Range(1e-4, 1e4)]
    """What the measured seconds were multiplied by; 1 where nothing is emulated."""
    rows: Annotated[tuple[OptionTimes, ...], Length(1000)]

    def __post_init__(self) -> None:
        if self.emulated is None and self.factor != 1:
            raise SettingError(f"a factor of {self.factor} emulates no device that is named", mend=_MEND)
        if len({row.id for row in self.rows}) != len(self.rows):
            raise SettingError("an option is in the profile twice", mend=_MEND)

    @property
    def label(self) -> str:
        """The machine that the seconds are of: this one, or what is emulated and by which factor."""
        return self.machine if self.emulated is None else f"emulated: {self.emulated}, ×{self.factor:.3g}"

    @property
    def origin(self) -> str:
        """Where the seconds come from, in a line: what was measured, and what is emulated."""
        measured = f"{self.machine}, {self.engine}"
        return measured if self.emulated is None else f"{self.label} of {measured}"

    def option_s(self, batch: int = 1) -> dict[OptionId, float]:
        """Give what one frame takes on this side, by option.

        Raises:
            SettingError: batches of this size were not measured.
        """
        return {row.id: row.seconds(batch) for row in self.rows}

    def emulating(self, device: str, factor: float) -> "OptionProfile":
        """Give the profile of a device that takes ``factor`` times as long for everything, and say so in it."""
        assert self.emulated is None, "what is emulated is not emulated again"
        return replace(self, emulated=device, factor=factor, rows=tuple(_slowed(row, factor) for row in self.rows))

    def save(self, path: Path) -> Path:
        """Write the profile as JSON, and give the path back.

        Raises:
            CheckpointError: the file cannot be written.
        """
        return write_profile(self, path)

    @classmethod
    def load(cls, path: Path) -> "OptionProfile":
        """Read a profile.

        Raises:
            SettingError: there is none, or it is incomplete.
        """
        return read_profile(cls, path, mend=_MEND)


def _slowed(row: OptionTimes, factor: float) -> OptionTimes:
    batches = (replace(each, seconds=each.seconds * factor, spread_s=each.spread_s * factor) for each in row.batches)
    return replace(
        row, coder_s=row.coder_s * factor, coder_spread_s=row.coder_spread_s * factor, batches=tuple(batches)
    )
