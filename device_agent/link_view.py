"""What is known about a link at one moment, as the planner and a profile file see it.

Owns the record alone; imports nothing of the agent.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class LinkView:
    """What is known about a link that is up: an exchange takes ``base_s`` + ``s_per_byte`` × its bytes, both ways.

    The standard deviations hold what is not known and what the next exchange will differ by: its own is the root of
    ``base_sd_s``² + (``s_per_byte_sd`` × bytes)². ``age_s`` is since something was last learnt about ``s_per_byte``,
    and infinite where it is only assumed.
    """

    base_s: float
    s_per_byte: float
    base_sd_s: float = 0.0
    s_per_byte_sd: float = 0.0
    age_s: float = 0.0

    @property
    def bandwidth_bytes_s(self) -> float:
        """Bytes a second once the base delay is paid."""
        return 1.0 / self.s_per_byte

    def as_plain(self) -> dict[str, float]:
        """Give what is worth keeping until the next run: the means; certainty does not outlive a run."""
        return {"base_s": self.base_s, "s_per_byte": self.s_per_byte}

    @classmethod
    def from_plain(cls, plain: Mapping[str, object]) -> Self:
        """Read what ``as_plain`` gave; raises ValueError where it is anything else."""
        base_s, s_per_byte = plain.get("base_s"), plain.get("s_per_byte")
        if not isinstance(base_s, int | float) or not isinstance(s_per_byte, int | float):
            raise ValueError("a link needs base_s and s_per_byte in seconds")
        if not (math.isfinite(base_s) and base_s >= 0 and math.isfinite(s_per_byte) and s_per_byte > 0):
            raise ValueError(f"there is no link of {base_s} s and {s_per_byte} s a byte")
        return cls(float(base_s), float(s_per_byte))
