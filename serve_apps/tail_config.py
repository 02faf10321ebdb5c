"""What runs the tails of a cluster, and in what batches.

Owns the settings, and what they come to for a bundle. Imports no Ray.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

from cluster.profiling.option_profile import OptionProfile
from cluster.triton.tuning import Tuning, tunings
from wire.bundle import Bundle
from wire.records import Length, Range

TailChoice = Literal["auto", "triton", "onnxruntime", "noop", "triton-noop"]
"""The kinds of tail, or ``auto``: Triton where there is one, ONNX Runtime inside the replicas elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TailConfig:
    """What runs the tails, and how."""

    kind: TailChoice = "auto"
    max_batch: Annotated[int, Range(1, 1024)] = 16
    """Frames that one Triton call may carry."""
    streams: Annotated[int, Range(1, 100_000)] = 1000
    """Agents that one replica may hold."""
    profile: Annotated[str, Length(4096, least=1)] | None = None
    """What `isthmus profile cluster` measured on such a machine: each graph gets the batches that are best there."""

    def beside(self, folder: Path) -> Self:
        """Give the same with the profile's path relative to a folder."""
        return self if self.profile is None else replace(self, profile=str(folder.absolute() / self.profile))

    def tunings(self, bundle: Bundle) -> Mapping[str, Tuning]:
        """Say how each cluster graph of a bundle is run, by its name; those that no profile knows are left out.

        Raises:
            SettingError: the profile cannot be read, or is of another bundle or machine.
        """
        if self.profile is None:
            return {}
        found = tunings(OptionProfile.load(Path(self.profile)), bundle, cores=os.cpu_count() or 1)
        return {graph: tuning.within(self.max_batch) for graph, tuning in found.items()}
