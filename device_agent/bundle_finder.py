"""Finds the bundle to begin with: the cluster's own, from the cache or fetched; or the last one, offline."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from device_agent.addresses import ServerAddress
from device_agent.bundle_cache import BundleCache, Progress
from device_agent.cluster_info import Fetch, fetch_loads, fetch_version
from wire.bundle import Bundle
from wire.errors import BundleError, ClusterUnreachable, Overloaded
from wire.ids import BundleDigest
from wire.messages import LoadSignal

Emit = Callable[[str, dict[str, Any]], None]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Found:
    """A bundle, and what the cluster said; ``reached`` is false for a start without it."""

    bundle: Bundle
    loads: tuple[LoadSignal, ...]
    reached: bool


class BundleFinder:
    """Looks for bundles at one cluster and in one cache."""

    def __init__(self, server: ServerAddress, cache: BundleCache, fetch: Fetch, emit: Emit) -> None:
        self._server = server
        self._cache = cache
        self._fetch = fetch
        self._emit = emit

    def first(self, progress: Progress) -> Found:
        """Give the bundle to begin with, blocking.

        Raises:
            ClusterUnreachable: nothing answers, and no bundle of that cluster is cached.
            BundleError: what the cluster gave is not its bundle.
            UnsupportedVersion: the cluster speaks another protocol.
            Unauthorized, Forbidden: the cluster does not let this device in.

        """
        try:
            bundle = self.current(progress)
        except ClusterUnreachable as error:
            return Found(self._last(error), (), reached=False)
        try:
            loads = fetch_loads(self._fetch)
        except (ClusterUnreachable, Overloaded) as error:
            log.info("load.unknown", error=error.message)
            loads = ()
        return Found(bundle, loads, reached=True)

    def current(self, progress: Progress) -> Bundle:
        """Give the bundle that the cluster has now, fetched if need be, blocking; raises what ``first`` does."""
        digest = fetch_version(self._fetch).bundle
        bundle = self._cache.open(digest)
        if bundle is None:
            bundle = self._fetched(digest, progress)
        self._cache.remember(self._server, digest)
        return bundle

    def _fetched(self, digest: BundleDigest, progress: Progress) -> Bundle:
        try:
            bundle = self._cache.fetch(digest, self._fetch, progress)
        except BundleError as error:
            log.warning("bundle.refused", bundle=digest[:12], error=error.message)
            raise
        size_bytes = sum(entry.size_bytes for entry in bundle.expected_files("device"))
        self._emit("bundle.fetched", {"bundle": digest, "bytes": size_bytes})
        return bundle

    def _last(self, error: ClusterUnreachable) -> Bundle:
        digest = self._cache.remembered(self._server)
        bundle = self._cache.open(digest) if digest is not None else None
        if bundle is None:
            raise ClusterUnreachable(
                f"{error.message}; and no bundle of this cluster is cached, so nothing can be answered without it",
                mend=error.mend or "start the cluster with `isthmus up`, or mend the address given with --server",
            ) from error
        self._emit("cluster.unreachable", {"bundle": bundle.digest, "error": error.message})
        return bundle
