"""A bundle's options with the profiles of its two sides: what the tables of a single cut are made of.

Owns the pairing. Measures nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from cluster.evaluation.selection import Selection
from cluster.planning.machines import Machines
from cluster.planning.table_maker import cut_table
from cluster.planning.tables import CutOption, CutTable
from cluster.profiling.option_profile import OptionProfile
from wire.bundle import Bundle
from wire.errors import SettingError
from wire.manifest import Option, Side

SIDES: Final[tuple[Side, Side]] = ("device", "cluster")


@dataclass(frozen=True, slots=True)
class TimedBundle:
    """Some options of one bundle, and what each side takes on the machine that was profiled."""

    backbone: str
    options: tuple[Option, ...]
    device: OptionProfile
    cluster: OptionProfile

    @property
    def whole_s(self) -> float | None:
        """Seconds of the whole backbone on the device's side; None where no option runs it there."""
        seconds = self.device.option_s()
        return next((seconds.get(option.id) for option in self.options if option.coder == "none"), None)

    @property
    def whole_macs(self) -> int:
        """Multiply-accumulates of the whole backbone."""
        return max(option.macs.head + option.macs.tail for option in self.options)

    @property
    def source(self) -> str:
        """Where the seconds come from, in words."""
        return f"device's half on {self.device.origin}; cluster's half on {self.cluster.origin}"

    def table(self, machines: Machines) -> CutTable:
        """Make the planners' table of these options on other machines.

        Raises:
            SettingError: an option was not measured.
        """
        return cut_table(self.options, self.device.option_s(), self.cluster.option_s(), machines)


def time_bundle(bundle: Bundle, profiles: Sequence[OptionProfile], *, keep: Callable[[Option], bool]) -> TimedBundle:
    """Pair the options that are to be kept with the profiles of this very bundle.

    The whole network on the device is always among them, if the bundle has it.

    Raises:
        SettingError: no option is left, or a side has no profile.
    """
    options = tuple(option for option in bundle.manifest.options if option.coder == "none" or keep(option))
    if not options:
        raise SettingError(
            f"the bundle {bundle.digest[:12]} has none of the options that are wanted", mend="give another bundle"
        )
    device, cluster = (_of_side(bundle, profiles, side) for side in SIDES)
    return TimedBundle(bundle.manifest.backbone, options, device, cluster)


def selected(bundle: Bundle, only: Sequence[str]) -> Callable[[Option], bool]:
    """Tell which options of a bundle are meant by texts, as ``Selection`` reads them.

    Raises:
        SettingError: a text means none.
    """
    selection = Selection(only)
    selection.check((option.point, option.codec, option.rate) for option in bundle.manifest.options)
    return lambda option: selection.takes(option.point, option.codec, option.rate)


def pooled(tables: Sequence[CutTable]) -> tuple[CutOption, ...]:
    """Give the options of several tables of one backbone; of those with one name the first."""
    named: dict[str, CutOption] = {}
    for table in tables:
        for option in table.options:
            named.setdefault(option.name, option)
    return tuple(named.values())


def _of_side(bundle: Bundle, profiles: Sequence[OptionProfile], side: Side) -> OptionProfile:
    for profile in profiles:
        if (profile.side, profile.bundle) == (side, bundle.digest):
            return profile
    raise SettingError(
        f"nobody has profiled the {side}'s half of the bundle {bundle.digest[:12]}",
        mend=f"measure it: isthmus profile {side} {bundle.directory}",
    )
