"""The bundles that the control application hands out: the newest, and older ones that agents still hold.

Owns which they are. Imports no Ray.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from wire.bundle import Bundle
from wire.errors import WrongBundle
from wire.ids import PointName


class BundleShelf:
    """Opened bundles by their digest."""

    def __init__(self, bundles: Sequence[Bundle]) -> None:
        """Take the bundles, the newest first."""
        self._bundles = tuple(bundles)

    async def use(self, folders: Sequence[str]) -> None:
        """Hand out the bundles in these folders, the newest first; raises BundleError for one that is not whole."""
        self._bundles = tuple([await asyncio.to_thread(Bundle.open, Path(folder), "device") for folder in folders])

    @property
    def bundles(self) -> tuple[Bundle, ...]:
        """All of them, the newest first."""
        return self._bundles

    @property
    def newest(self) -> Bundle:
        """The bundle that agents should hold."""
        return self._bundles[0]

    def of(self, digest: str) -> Bundle:
        """Give the bundle of a digest.

        Raises:
            WrongBundle: it is not here.
        """
        for bundle in self._bundles:
            if bundle.digest == digest:
                return bundle
        raise WrongBundle(
            f"this cluster serves bundle {self.newest.digest}, not {digest[:64]}", mend="ask /v1/version first"
        )


def served_points(bundles: Sequence[Bundle], only: Sequence[str] = ()) -> list[PointName]:
    """Give the points at which a cluster answers frames of any of these bundles, each once; ``only`` some, or all."""
    return list(
        dict.fromkeys(
            option.point
            for bundle in bundles
            for option in bundle.manifest.options
            if option.cluster_graph and (not only or option.point in only)
        )
    )
