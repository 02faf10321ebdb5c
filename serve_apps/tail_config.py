"""What runs the tails of a cluster, and in what batches.

Owns the settings, and what they come to for a bundle. Imports no Ray.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

from cluster.profiling.option_profile import OptionProfile
from cluster.triton.external import ExternalTriton
from cluster.triton.tuning import Tuning, tunings
from wire.bundle import Bundle
from wire.errors import SettingError
from wire.records import Length, Range

PathText = Annotated[str, Length(4096, least=1)]
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
    profile: PathText | None = None
    """What `isthmus profile cluster` measured on such a machine: each graph gets the batches that are best there."""
    address: Annotated[str, Length(261, least=1)] | None = None
    """Host and port of a Triton that is there already on every node, by gRPC; None: each node starts its own."""
    repository: PathText | None = None
    """The folder of that Triton's models, where replicas and Triton both see it."""
    key_file: PathText | None = None
    """Holds the key of that Triton's restricted protocols."""
    backend: Literal["python", "onnxruntime"] = "python"
    """What runs graphs inside Triton; only that of NVIDIA's container has ``onnxruntime``."""
    device: Literal["cpu", "gpu"] = "cpu"
    """What Triton computes on."""

    def beside(self, folder: Path) -> Self:
        """Give the same with its paths relative to a folder."""

        def below(path: str | None) -> str | None:
            return None if path is None else str(folder.absolute() / path)

        return replace(
            self, profile=below(self.profile), repository=below(self.repository), key_file=below(self.key_file)
        )

    def check(self, where: str) -> None:
        """See that the fields agree with each other.

        Raises:
            SettingError: they do not; it names the fields.
        """
        if self.address is None:
            for name, needs in (("repository", self.repository), ("key_file", self.key_file)):
                if needs is not None:
                    raise SettingError(f"{where}.{name} is of no Triton", mend=f"say where it is: {where}.address")
            if self.backend == "onnxruntime":
                raise SettingError(
                    f"{where}.backend is onnxruntime, which our own Triton has not",
                    mend=f"name NVIDIA's container by {where}.address, or leave the backend out",
                )
        elif self.kind in ("onnxruntime", "noop"):
            raise SettingError(f"{where}.address is of a Triton, and kind is {self.kind}", mend="make kind triton")
        elif self.repository is None:
            raise SettingError(f"{where}.repository is missing", mend="name the folder of that Triton's models")

    @property
    def external(self) -> ExternalTriton | None:
        """The Triton that is there already; None where each node starts its own."""
        if self.address is None:
            return None
        assert self.repository is not None, "check it first"
        key_file = None if self.key_file is None else Path(self.key_file)
        return ExternalTriton(address=self.address, repository=Path(self.repository), key_file=key_file)

    def tunings(self, bundle: Bundle) -> Mapping[str, Tuning]:
        """Say how each cluster graph of a bundle is run, by its name; those that no profile knows are left out.

        Raises:
            SettingError: the profile cannot be read, or is of another bundle or machine.
        """
        if self.profile is None:
            return {}
        found = tunings(OptionProfile.load(Path(self.profile)), bundle, cores=os.cpu_count() or 1)
        return {graph: tuning.within(self.max_batch) for graph, tuning in found.items()}
