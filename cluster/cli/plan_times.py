"""Bundles with profiles of both their sides, for ``isthmus plan``: those that are stored, and the others measured now.

Owns the measuring of what is missing, which is short; ``isthmus profile`` takes its time.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cluster.cli.device_timing import time_device
from cluster.cli.screen import notes
from wire.errors import SettingError

if TYPE_CHECKING:
    from cluster.profiling.option_profile import OptionProfile
    from wire.bundle import Bundle

THREADS: Final = 1
REPEATS: Final = 8


def profiled_bundles(folders: Sequence[Path], stored: Sequence[Path]) -> "list[tuple[Bundle, list[OptionProfile]]]":
    """Open bundles, by default the one that ships, each with the profiles of its device's and its cluster's half.

    Raises:
        BundleError: there is no bundle, or it cannot be used.
        SettingError: a file is no profile, or of a bundle that is not among them.
    """
    from cluster.bundles.shipped import shipped_bundle
    from cluster.profiling.option_profile import OptionProfile
    from wire.bundle import Bundle

    profiles = [OptionProfile.load(file) for file in stored]
    with notes().status("opening the bundle") as status:
        bundles = [Bundle.open(folder, "cluster") for folder in folders or [shipped_bundle(status.update)]]
        _refuse_strangers(profiles, bundles)
        found = []
        for bundle in bundles:
            own = [profile for profile in profiles if profile.bundle == bundle.digest]
            sides = {profile.side for profile in own}
            if "device" not in sides:
                status.update(f"timing the device's half of {bundle.directory}")
                own.append(time_device(bundle.directory, threads=THREADS, repeats=REPEATS, listener=_unheard))
            if "cluster" not in sides:
                status.update(f"timing the cluster's half of {bundle.directory}")
                own.append(_cluster_now(bundle.directory))
            found.append((bundle, own))
    return found


def _refuse_strangers(profiles: "Sequence[OptionProfile]", bundles: "Sequence[Bundle]") -> None:
    there = {bundle.digest for bundle in bundles}
    for profile in profiles:
        if profile.bundle not in there:
            raise SettingError(
                f"the profile of the {profile.side}'s half is of a bundle {profile.bundle[:12]}, which is not given",
                mend=f"profile this bundle: isthmus profile {profile.side} BUNDLE",
            )


def _cluster_now(folder: Path) -> "OptionProfile":
    from cluster.profiling.cluster_options import OnnxEngine, measure_cluster
    from device_agent.device_profile import picture_for
    from wire.bundle import Bundle

    picture = picture_for(Bundle.open(folder, "cluster").manifest.input)[0]
    return measure_cluster(folder, picture, OnnxEngine(THREADS), batches=[1], repeats=REPEATS, listener=_unheard)


def _unheard(_what: str, _done: int, _total: int) -> None:
    """Take what a measurement says of how far it is; it takes seconds."""
