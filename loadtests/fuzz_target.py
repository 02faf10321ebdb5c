"""What is fuzzed: a function that takes any bytes, and says what became of them.

Owns the shape of a target and the list of them all. A target is named by its module, which is imported in the process
that fuzzes it and nowhere else: a fuzzer has to see the import to watch the code, and some need the cluster's packages.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from wire.errors import SettingError

Run = Callable[[bytes], str]
"""Takes one input, and gives ``ACCEPTED`` or the code of the typed error it was refused with.

Whatever else it raises is a finding.
"""
ACCEPTED: Final = "accepted"
MAX_INPUT_BYTES: Final = 2**14
"""Room for a short manifest; the bundle that is fuzzed has no frame of a kilobyte."""


@dataclass(frozen=True, slots=True)
class TreeForm:
    """How inputs of a target are maps and lists as bytes, so that whole values can be changed and not just bytes."""

    load: Callable[[bytes], Any]
    dump: Callable[[Any], bytes]


@dataclass(frozen=True, slots=True)
class Target:
    """One thing that is fuzzed, ready to run."""

    run: Run
    seeds: tuple[bytes, ...]
    """Inputs that it accepts, to begin with."""
    tree: TreeForm | None = None
    close: Callable[[], None] = lambda: None
    """Gives back what it took, where it does not end with its process."""


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """How a target is made, and what share of all inputs it gets."""

    name: str
    says: str
    make: str
    """``module:function``; the function takes a folder of its own, and gives the ``Target``."""
    share: float
    sanitized: bool = False
    """With the C loops compiled to check every access to memory; without the coverage that guides."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Of its processes, beside their own."""

    @property
    def corpus(self) -> str:
        """The name of its folder in the corpus."""
        return self.name.removesuffix("-sanitized")

    @property
    def folder(self) -> str:
        """The name of its folder in a run."""
        return self.name.replace(":", "-")

    def made(self, folder: Path) -> Target:
        """Import what it needs and make it."""
        module, function = self.make.split(":")
        target: Target = getattr(import_module(module), function)(folder)
        return target


GIVE_BACK: Final = {"MALLOC_MMAP_THRESHOLD_": "131072"}
"""Has the allocator give back at once what is freed and large, which tells what is kept from what it only retains."""
PLANS: Final = (
    TargetPlan("messages", "messages, and back", "loadtests.fuzz_messages:messages", 0.17),
    TargetPlan("manifest", "the manifest of a bundle", "loadtests.fuzz_bundle_reader:manifest", 0.06),
    TargetPlan("bundle", "a bundle's manifest, tables and gains", "loadtests.fuzz_bundle_reader:bundle", 0.02),
    TargetPlan("plain", "raw and float32 bitstreams", "loadtests.fuzz_decoders:plain", 0.15),
    TargetPlan("huffman", "Huffman bitstreams", "loadtests.fuzz_decoders:huffman", 0.12),
    TargetPlan("pictures", "JPEG, PNG and WebP, of pixels and in tiles", "loadtests.fuzz_decoders:pictures", 0.11),
    TargetPlan("rans", "rANS bitstreams", "loadtests.fuzz_decoders:rans", 0.1),
    TargetPlan("refinement", "further looks at a frame", "loadtests.fuzz_decoders:refinement", 0.08),
    TargetPlan("lanes", "the loops of rANS, in C and in numpy", "loadtests.fuzz_lanes:lanes", 0.06),
    TargetPlan("rans-sanitized", "rANS, C checked", "loadtests.fuzz_decoders:rans", 0.02, sanitized=True),
    TargetPlan("refinement-sanitized", "looks, C checked", "loadtests.fuzz_decoders:refinement", 0.01, sanitized=True),
    TargetPlan("lanes-sanitized", "the loops, C checked", "loadtests.fuzz_lanes:lanes", 0.02, sanitized=True),
    TargetPlan("replica", "streams and posts to a replica", "cluster.cli.fuzz_replica:replica", 0.05),
    TargetPlan("posted", "pictures that people post", "cluster.cli.fuzz_replica:posted", 0.05, environment=GIVE_BACK),
    TargetPlan("tokens", "tokens of devices", "cluster.cli.fuzz_replica:tokens", 0.02),
)  # fmt: skip


def plans(names: tuple[str, ...]) -> tuple[TargetPlan, ...]:
    """Give the plans of these names, all without any; ``module:function`` is a target that is in no list.

    Raises:
        SettingError: there is no such target.
    """
    known = {plan.name: plan for plan in PLANS}
    known.update((name, TargetPlan(name, "of its own", name, 1.0)) for name in names if ":" in name)
    for name in names:
        if name not in known:
            raise SettingError(f"there is no target {name!r}", mend=f"one of: {', '.join(known)}")
    return tuple(known[name] for name in names) or PLANS
