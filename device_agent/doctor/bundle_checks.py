"""Which bundle the cluster serves, and whether a device can have it; fetching and checking are the cache's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from device_agent.bundle_cache import BundleCache, Progress, fetch_manifest
from device_agent.cluster_info import Fetch
from device_agent.doctor.deployment import Deployment
from device_agent.doctor.finding import Finding
from wire.bundle import Bundle
from wire.ids import BundleDigest
from wire.manifest import load_manifest

SHORT: Final = 12
"""Digits of a digest that people are shown."""


class DigestCheck:
    """The cluster serves the bundle that is wanted, where one was named: by its folder, or by its first digits."""

    name = "digest"
    needs = ("cluster",)

    def __init__(self, deployment: Deployment, *, folder: Path | None = None, digest: str | None = None) -> None:
        self._deployment, self._folder, self._digest = deployment, folder, digest

    def run(self) -> Iterator[Finding]:
        """Compare; raises BundleError if the folder holds no bundle that can be used."""
        assert self._deployment.version is not None, "the check before this one was well"
        served = self._deployment.version.bundle
        wanted, named = self._wanted()
        figures = {"served": served, "wanted": wanted}
        if wanted is None:
            yield Finding(self.name, "ok", f"the cluster serves the bundle {served[:SHORT]}", figures=figures)
        elif served.startswith(wanted):
            yield Finding(self.name, "ok", f"the cluster serves the bundle {served[:SHORT]}, {named}", figures=figures)
        else:
            yield Finding(
                self.name,
                "fail",
                f"the cluster serves the bundle {served[:SHORT]}, and not {wanted[:SHORT]}, {named}",
                "give the cluster that bundle with `isthmus update`, or name the one that it should serve",
                figures=figures,
            )

    def _wanted(self) -> tuple[str | None, str]:
        if self._folder is not None:
            self._deployment.wanted = Bundle.open(self._folder, "device")
            return self._deployment.wanted.digest, f"which lies in {self._folder}"
        return self._digest, "which --digest names"


class BundleCheck:
    """The manifest is what its digest says, and every file that a device needs can be had, and is what that says.

    Files that lie in the cache, or in the user's own folder, are not fetched again, unless ``anew``.
    """

    name = "bundle"
    needs = ("cluster", "token")

    def __init__(
        self, deployment: Deployment, fetch: Fetch, cache: BundleCache, progress: Progress, *, anew: bool
    ) -> None:
        self._deployment, self._fetch, self._cache = deployment, fetch, cache
        self._progress, self._anew = progress, anew

    def run(self) -> Iterator[Finding]:
        """Fetch and check; raises BundleError and ClusterUnreachable, which say what is wrong."""
        assert self._deployment.version is not None, "the check before this one was well"
        digest = self._deployment.version.bundle
        manifest = load_manifest(fetch_manifest(digest, self._fetch))
        bundle, where = self._at_hand(digest)
        if bundle is None:
            bundle = self._cache.fetch(digest, self._fetch, self._progress)
        self._deployment.bundle = bundle
        files = bundle.expected_files("device")
        size_bytes = sum(entry.size_bytes for entry in files)
        what = f"its {len(files)} files for devices ({size_bytes / 1e6:.1f} MB)"
        yield Finding(
            self.name,
            "ok",
            f"the manifest is what its digest says, and {what} {where or 'were fetched, and are what it says'}",
            figures={
                "backbone": manifest.backbone, "files": len(files), "bytes": size_bytes, "fetched": not where
            },
        )  # fmt: skip

    def _at_hand(self, digest: BundleDigest) -> tuple[Bundle | None, str]:
        wanted = self._deployment.wanted
        if self._anew:
            return None, ""
        if wanted is not None and wanted.digest == digest:
            return wanted, f"lie in {wanted.directory}"
        bundle = self._cache.open(digest)
        return bundle, "lie in the cache" if bundle is not None else ""
