"""A bundle made ready on this device: its head runtime, its labels, and what its options cost here."""

from pathlib import Path

import structlog

from device_agent.device_profile import ProfileStore, measure_profile
from device_agent.emulation import Emulated, Emulation
from device_agent.head import HeadRuntime, local_option
from device_agent.option_costs import OptionCosts
from wire.bundle import Bundle

log = structlog.get_logger()


class LoadedBundle:
    """What is swapped as one when the cluster has another bundle."""

    def __init__(self, bundle: Bundle, head: HeadRuntime, costs: OptionCosts, emulated: Emulated | None = None) -> None:
        self.bundle = bundle
        self.head = head
        self.costs = costs
        self.emulated = emulated
        self._labels = bundle.labels()

    @classmethod
    def load(cls, bundle: Bundle, *, cache: Path, threads: int, emulation: Emulation) -> "LoadedBundle":
        """Make a bundle ready; the first time this measures its options, which takes a second or so.

        Raises BundleError if a graph cannot be run or the bundle cannot answer without the cluster, and SettingError if
        this machine cannot play the device that it should.
        """
        optimised = cache / "optimised" / bundle.digest
        store = ProfileStore(cache)
        profile = store.load(bundle.digest, threads)
        if profile is None or any(option.id not in profile for option in bundle.manifest.options):
            # On a runtime of its own, so that the memory of options that are never chosen is not kept.
            profile = measure_profile(HeadRuntime(bundle, threads=threads, optimised=optimised))
            store.save(bundle.digest, threads, profile)
            log.info("profile.measured", bundle=bundle.digest[:12], options=len(profile))
        whole = local_option(bundle)
        emulated = emulation.of(bundle.manifest.backbone, whole.macs.head, profile[whole.id])
        slowdown = emulated.slowdown if emulated is not None else 1.0
        head = HeadRuntime(bundle, threads=threads, slowdown=slowdown, optimised=optimised)
        head.profile_s = profile
        slowed = {option_id: slowdown * device_s for option_id, device_s in profile.items()}
        return cls(bundle, head, OptionCosts(bundle.manifest.options, slowed), emulated)

    def name_top(self, labels: tuple[int, ...], scores: tuple[float, ...]) -> tuple[tuple[str, float], ...]:
        """Put names to class indices, best first; an index without a name keeps its number."""
        known = self._labels
        return tuple(
            (known[index] if index < len(known) else str(index), score)
            for index, score in zip(labels, scores, strict=False)
        )
