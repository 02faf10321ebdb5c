"""A bundle on disk, opened from one side and checked file by file.

Owns reading and checking; writes nothing, and loads no graph.
"""

import hashlib
from pathlib import Path
from tokenize import TokenError
from typing import Self

import numpy as np

from wire.errors import BundleError, UnknownOption
from wire.huffman import HuffmanCoder
from wire.ids import BundleDigest, OptionId, PointName
from wire.manifest import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    FileEntry,
    Manifest,
    Option,
    Side,
    digest_of,
    load_manifest,
)

_MEND = "fetch or build the bundle again"


class Bundle:
    """One backbone's options and the files that one side needs for them."""

    def __init__(self, directory: Path, manifest: Manifest, digest: BundleDigest, side: Side) -> None:
        self.directory = directory
        self.manifest = manifest
        self.digest = digest
        self.side = side
        self._entries = {entry.path: entry for entry in self.expected_files(side)}
        self._options = {option.id: option for option in manifest.options}
        self._coders: dict[str, HuffmanCoder] = {}

    @classmethod
    def open(cls, directory: Path, side: Side) -> Self:
        """Read the manifest, and check size and SHA-256 of every file that ``side`` needs.

        Raises BundleError, which names the file, if one is missing or changed.
        """
        data = _read_manifest(directory / MANIFEST_NAME)
        bundle = cls(directory, load_manifest(data), digest_of(data), side)
        for entry in bundle.expected_files(side):
            verify_file(directory / entry.path, entry)
        return bundle

    @property
    def points(self) -> tuple[PointName, ...]:
        """The partition points that have options, in the order of the manifest."""
        return tuple(dict.fromkeys(option.point for option in self.manifest.options))

    def option(self, option_id: OptionId) -> Option:
        """Give the option with this id; raises UnknownOption if there is none."""
        try:
            return self._options[option_id]
        except KeyError:
            raise UnknownOption(f"the bundle {self.digest[:12]} has no option {option_id}") from None

    def options_at(self, point: PointName) -> tuple[Option, ...]:
        """Give the options of a partition point, in the order of the manifest; none for an unknown point."""
        return tuple(option for option in self.manifest.options if option.point == point)

    def expected_files(self, side: Side) -> tuple[FileEntry, ...]:
        """Give the files that a side needs."""
        return tuple(entry for entry in self.manifest.files if entry.side in (side, "both"))

    def path(self, name: str) -> Path:
        """Give where a file of this side lies; raises BundleError for any other file."""
        if name not in self._entries:
            raise BundleError(f"the bundle has no file {name!r} for the {self.side}", mend=_MEND)
        return self.directory / name

    def labels(self) -> tuple[str, ...]:
        """Give the labels, by class index; raises BundleError if their file cannot be read."""
        path = self.path(self.manifest.labels)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"the labels {path} cannot be read: {error}", mend=_MEND) from error
        return tuple(text.removesuffix("\n").split("\n")) if text else ()

    def coder(self, option: Option) -> HuffmanCoder:
        """Give the coder of an option, made once; raises BundleError if its tables do not fit."""
        if option.tables is None:
            raise BundleError(f"option {option.id} has the coder {option.coder} and no tables", mend=_MEND)
        if option.tables not in self._coders:
            self._coders[option.tables] = _read_coder(self.path(option.tables))
        coder = self._coders[option.tables]
        if coder.tables not in (1, option.shape[0]):
            raise BundleError(
                f"{option.tables} has {coder.tables} tables, and {option.id} has {option.shape[0]} channels",
                mend=_MEND,
            )
        return coder


def verify_file(path: Path, entry: FileEntry) -> None:
    """Check the size and the SHA-256 of one file; raises BundleError that names it."""
    try:
        if not path.is_file():
            raise BundleError(f"{path} is missing", mend=_MEND)
        # First, so that a file that has grown is not read to its end.
        size_bytes = path.stat().st_size
        if size_bytes != entry.size_bytes:
            raise BundleError(f"{path} has {size_bytes} bytes instead of {entry.size_bytes}", mend=_MEND)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error}", mend=_MEND) from error
    if sha256 != entry.sha256:
        raise BundleError(f"{path} has changed: its SHA-256 is not the manifest's", mend=_MEND)


def _read_manifest(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            # One byte more than allowed: load_manifest refuses it, and no more is ever read.
            return file.read(MAX_MANIFEST_BYTES + 1)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error}", mend=_MEND) from error


def _read_coder(path: Path) -> HuffmanCoder:
    try:
        # Mapped, not read: a header that promises more than the file holds then takes no memory.
        frequencies = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, TypeError, SyntaxError, EOFError, OverflowError, TokenError) as error:
        raise BundleError(f"the coder tables {path} cannot be read: {error}", mend=_MEND) from error
    if not isinstance(frequencies, np.ndarray):
        frequencies.close()
        raise BundleError(f"the coder tables {path} are not one array", mend=_MEND)
    return HuffmanCoder(frequencies)
