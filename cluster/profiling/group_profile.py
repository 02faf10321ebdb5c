"""What JointDNN's planner is told of a backbone: how long every run of consecutive groups takes when executed as one.

Owns the record and its file; measures nothing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cluster.profiling.profile_file import read_profile, write_profile
from wire.errors import SettingError
from wire.records import Length, Range

MOST_GROUPS: Final = 256
_MEND: Final = "measure it: isthmus profile groups BACKBONE --out FILE"

Name = Annotated[str, Length(256)]
Names = Annotated[tuple[Name, ...], Length(MOST_GROUPS + 1)]
Sizes = Annotated[tuple[Annotated[float, Range(0.0, 2.0**40)], ...], Length(MOST_GROUPS + 1)]
Works = Annotated[tuple[Annotated[int, Range(0, 2**53)], ...], Length(MOST_GROUPS)]
Seconds = Annotated[float, Range(0.0, 1e6)]
Square = Annotated[tuple[Annotated[tuple[Seconds, ...], Length(MOST_GROUPS)], ...], Length(MOST_GROUPS)]
"""(n, n): row i, column j is of groups i to j, both included, executed together; 0 below the diagonal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupProfile:
    """Grouped executions of a backbone on one machine, for one frame (Eshratifar et al. 2019, section on profiling).

    A backbone of n groups has n + 1 boundaries: ``input``, the partition points between the groups, and ``output``.
    Group i lies between boundaries i and i + 1; a residual block is never divided. The first group takes pixels and
    scales them, the last gives probabilities. The seconds of one thread are those of the processor's time, which on a
    machine that does nothing else are those that passed (``samples.own_clock``).

    Raises:
        SettingError: a field is of another number of groups.
    """

    backbone: Name
    machine: Name
    """The processor and how many threads of it."""
    threads: Annotated[int, Range(1, 4096)]
    repeats: Annotated[int, Range(1, 10**6)]
    boundaries: Names
    tensor_bytes: Sizes
    """(n + 1,) of the tensor at each boundary as float32; of ``input`` the frame's own pixels, H × W × 3."""
    macs: Works
    """(n,) multiply-accumulates of each group."""
    seconds: Square
    """Medians of the forward pass."""
    spread_s: Square
    """Interquartile ranges of the same."""
    backward_s: Square | None = None
    """Medians of the backward pass of training: from the gradient at the end of groups i to j to those of their weights
    and, but for i = 0, of what they were given. None where it was not measured."""

    def __post_init__(self) -> None:
        groups = len(self.macs)
        if not groups:
            raise SettingError("a profile without groups says nothing", mend=_MEND)
        for name in ("boundaries", "tensor_bytes"):
            if len(getattr(self, name)) != groups + 1:
                raise SettingError(f"{name} has {len(getattr(self, name))} entries for {groups} groups", mend=_MEND)
        for name in ("seconds", "spread_s", "backward_s"):
            square = getattr(self, name)
            if square is not None and [len(row) for row in square] != [groups] * groups:
                raise SettingError(f"{name} is not {groups} × {groups}", mend=_MEND)

    @property
    def groups(self) -> int:
        """How many there are: n."""
        return len(self.macs)

    @property
    def whole_s(self) -> float:
        """Seconds of all groups executed as one."""
        return self.seconds[0][-1]

    @property
    def singles_s(self) -> float:
        """Seconds of all groups executed one by one, added up."""
        return sum(self.seconds[group][group] for group in range(self.groups))

    @property
    def grouped_share(self) -> float:
        """What executing all groups as one takes of what they take one by one: below 1 where grouping pays."""
        return self.whole_s / self.singles_s if self.singles_s else 1.0

    def save(self, path: Path) -> Path:
        """Write the profile as JSON, and give the path back.

        Raises:
            CheckpointError: the file cannot be written.
        """
        return write_profile(self, path)

    @classmethod
    def load(cls, path: Path) -> "GroupProfile":
        """Read a profile.

        Raises:
            SettingError: there is none, or it is incomplete or of other shapes.
        """
        return read_profile(cls, path, mend=_MEND)
