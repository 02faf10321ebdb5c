"""The bundles that this device has fetched, by digest, and which cluster had which.

Owns the cache folder's ``bundles/`` and ``servers/``; how bytes come from the cluster is given to it.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

import structlog

from device_agent.addresses import ServerAddress
from device_agent.cluster_info import Fetch
from wire.bundle import Bundle
from wire.errors import BundleError
from wire.ids import BundleDigest
from wire.manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, FileEntry, digest_of, load_manifest

Progress = Callable[[int, int], None]
"""Hears the bytes fetched so far, and the bytes of the whole bundle for this side."""

_DIGEST_CHARS: Final = 64

log = structlog.get_logger()


class BundleCache:
    """Bundles under one folder; a bundle is there whole and checked, or not at all."""

    def __init__(self, folder: Path) -> None:
        self._bundles = folder / "bundles"
        self._servers = folder / "servers"

    def remembered(self, server: ServerAddress) -> BundleDigest | None:
        """Give the digest that this cluster had when it was last reached."""
        try:
            text = self._note_of(server).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return None
        is_digest = len(text) == _DIGEST_CHARS and not text.strip("0123456789abcdef")
        return BundleDigest(text) if is_digest else None

    def remember(self, server: ServerAddress, digest: BundleDigest) -> None:
        """Keep which bundle a cluster has, for a start without it; a full disk only costs that."""
        note = self._note_of(server)
        try:
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(f"{digest}\n", encoding="ascii")
        except OSError as error:
            log.warning("cache.note_failed", path=str(note), error=str(error))

    def open(self, digest: BundleDigest) -> Bundle | None:
        """Open a cached bundle, checked; None if it is not there, or is there damaged and was removed."""
        folder = self._bundles / digest
        if not folder.is_dir():
            return None
        try:
            bundle = Bundle.open(folder, "device")
            _check_digest(bundle.digest, digest)
        except BundleError as error:
            log.warning("bundle.damaged", bundle=digest[:12], error=error.message)
            shutil.rmtree(folder, ignore_errors=True)
            return None
        return bundle

    def fetch(self, digest: BundleDigest, fetch: Fetch, progress: Progress) -> Bundle:
        """Fetch the device's files of a bundle, check them, and only then put them into the cache.

        Raises:
            BundleError: what came is not the bundle asked for, or the cache cannot be written.
            ClusterUnreachable: it did not come.

        """
        try:
            self._bundles.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self._bundles, ignore_cleanup_errors=True) as new:
                folder = Path(new) / digest
                folder.mkdir()
                _download(folder, digest, fetch, progress)
                Bundle.open(folder, "device")
                self._move_in(folder, digest)
        except OSError as error:
            raise BundleError(
                f"the cache {self._bundles} cannot be written: {error}", mend="give another folder with --cache"
            ) from error
        return Bundle.open(self._bundles / digest, "device")

    def _move_in(self, folder: Path, digest: BundleDigest) -> None:
        try:
            folder.rename(self._bundles / digest)
        except OSError:
            # Another agent of this machine was first; what it put there is the same, and checked.
            if not (self._bundles / digest).is_dir():
                raise

    def _note_of(self, server: ServerAddress) -> Path:
        return self._servers / hashlib.sha256(server.http_base.encode()).hexdigest()[:16]


def fetch_manifest(digest: BundleDigest, fetch: Fetch) -> bytes:
    """Fetch the manifest of a bundle; raises BundleError if it is another's, and ClusterUnreachable."""
    data = fetch(f"/v1/bundle/{digest}/{MANIFEST_NAME}", MAX_MANIFEST_BYTES)
    _check_digest(digest_of(data), digest)
    return data


def _download(folder: Path, digest: BundleDigest, fetch: Fetch, progress: Progress) -> None:
    data = fetch_manifest(digest, fetch)
    (folder / MANIFEST_NAME).write_bytes(data)
    entries = [entry for entry in load_manifest(data).files if entry.side in ("device", "both")]
    total_bytes = sum(entry.size_bytes for entry in entries)
    done_bytes = 0
    for entry in entries:
        progress(done_bytes, total_bytes)
        _download_file(folder / entry.path, entry, digest, fetch)
        done_bytes += entry.size_bytes
    progress(done_bytes, total_bytes)


def _download_file(path: Path, entry: FileEntry, digest: BundleDigest, fetch: Fetch) -> None:
    data = fetch(f"/v1/bundle/{digest}/files/{quote(entry.path)}", entry.size_bytes)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        # A device may lose power at any time, and a renamed folder of empty files looks whole.
        os.fsync(file.fileno())


def _check_digest(found: BundleDigest, wanted: BundleDigest) -> None:
    if found != wanted:
        raise BundleError(
            f"the manifest of bundle {wanted[:12]} has the digest {found[:12]}", mend="fetch the bundle again"
        )
