"""What a Jetson draws now, from the INA3221 monitors on its board as the kernel shows them under /sys.

Owns where the files are and what they mean; reads when asked, and keeps no thread.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Final

INPUT_RAILS: Final = (
    ("VDD_IN",),
    ("POM_5V_IN",),
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
)
"""The rails that feed everything together, by board: TX2, Xavier NX, Orin Nano and NX; Nano; AGX Orin; AGX Xavier.

What else a board shows, such as VDD_CPU_GPU_CV beside VDD_IN, is a part of these.
"""
_HWMON: Final = "bus/i2c/drivers/ina3221*/*/hwmon/hwmon*/in[123]_label"
"""The kernel's driver, since JetPack 5: millivolts and milliamperes of each channel."""
_IIO: Final = "bus/i2c/drivers/ina3221*/*/iio:device*/rail_name_[012]"
"""NVIDIA's driver, up to JetPack 4: milliwatts of each channel."""


@dataclass(frozen=True, slots=True)
class PowerSensor:
    """The rails that feed this board; ``files`` has, for each, what its power in watts is the product of."""

    rails: tuple[str, ...]
    files: tuple[tuple[Path, ...], ...]

    @classmethod
    def find(cls, root: Path = Path("/sys")) -> "PowerSensor | None":
        """Give the sensor of this board; None where there is none, it is of no board above, or may not be read."""
        found = dict(_rails(root))
        for rails in INPUT_RAILS:
            if all(rail in found for rail in rails):
                sensor = cls(rails, tuple(found[rail] for rail in rails))
                return sensor if sensor.read_w() is not None else None
        return None

    def read_w(self) -> float | None:
        """Give the watts of the whole board, as the monitors averaged them last; None once they cannot be read."""
        try:
            return sum(prod(_thousandth(file) for file in factors) for factors in self.files)
        except (OSError, ValueError):
            return None


def _rails(root: Path) -> Iterator[tuple[str, tuple[Path, ...]]]:
    for label in root.glob(_IIO):
        yield _name(label), (label.with_name(f"in_power{label.name[-1]}_input"),)
    for label in root.glob(_HWMON):
        channel = label.name[2]
        yield _name(label), (label.with_name(f"in{channel}_input"), label.with_name(f"curr{channel}_input"))


def _name(label: Path) -> str:
    try:
        return label.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""


def _thousandth(file: Path) -> float:
    return float(file.read_text(encoding="ascii")) / 1e3
