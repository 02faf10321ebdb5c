"""A bundle on disk, opened from one side and checked file by file.

Owns reading and checking; writes nothing, and loads no graph.
"""

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tokenize import TokenError
from typing import Any, Self, TypeVar

import numpy as np

from wire.bitstream import Coder
from wire.codings import Coding, Float32Coding, HuffmanCoding, RawCoding
from wire.errors import BundleError, UnknownOption
from wire.huffman import HuffmanCoder
from wire.ids import BundleDigest, OptionId, PointName
from wire.latent_codings import RansCoding, RefinementCoding, refinement_coder
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
from wire.picture_coding import PictureCoding
from wire.rans import RansCoder
from wire.refinement import RefinementCoder
from wire.tensor_form import Tensor

Made = TypeVar("Made")

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
        self._codings: dict[OptionId, Coding] = {}
        self._refinements: dict[OptionId, tuple[RefinementCoding, ...]] = {}
        self._coders: dict[tuple[object, ...], Any] = {}

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

    def coding(self, option: Option) -> Coding:
        """Give the coding of an option that sends, made once; raises BundleError if its files cannot be used."""
        if option.id not in self._codings:
            self._codings[option.id] = self._make_coding(option)
        return self._codings[option.id]

    def refinements(self, option: Option) -> tuple[RefinementCoding, ...]:
        """Give the codings of an option's further looks, made once; raises BundleError if files cannot be used."""
        if option.id not in self._refinements:
            self._refinements[option.id] = tuple(self._make_refinements(option))
        return self._refinements[option.id]

    def _make_refinements(self, option: Option) -> Iterator[RefinementCoding]:
        if not option.refinements:
            return
        before: Coding | RefinementCoding = self.coding(option)
        coarse = option.gains
        for look, refinement in enumerate(option.refinements, start=1):
            assert isinstance(before, RansCoding | RefinementCoding), "the manifest was checked"
            gains = self._array(refinement.gains)
            make = partial(refinement_coder, self._array(refinement.tables), gains, before)
            coder = self._coder((RefinementCoder, refinement.tables, refinement.gains, coarse), make)
            before = RefinementCoding(option.id, look, option.form, coder, gains, before)
            coarse = refinement.gains
            yield before

    def _make_coding(self, option: Option) -> Coding:
        match option.coder:
            case "huffman":
                return HuffmanCoding(option.id, option.form, self._table_coder(HuffmanCoder, option.tables))
            case "rans":
                coder = self._table_coder(RansCoder, option.tables)
                return RansCoding(option.id, option.form, coder, self._array(option.gains))
            case "raw":
                return RawCoding(option.id, option.form)
            case "float32":
                return Float32Coding(option.id, option.form)
            case "jpeg" | "png" | "webp":
                return PictureCoding(option.id, option.form, Coder[option.coder.upper()], option.quality)
            case "none":
                raise BundleError(f"option {option.id} sends nothing, and has no coding")

    def _table_coder(self, kind: Callable[[Tensor], Made], tables: str | None) -> Made:
        return self._coder((kind, tables), lambda: kind(self._array(tables)))

    def _coder(self, made_of: tuple[object, ...], make: Callable[[], Made]) -> Made:
        """Make a coder of its kind and files once: options may share it, and it is far larger than they are."""
        if made_of not in self._coders:
            self._coders[made_of] = make()
        made: Made = self._coders[made_of]
        return made

    def _array(self, name: str | None) -> Tensor:
        assert name is not None, "the manifest was checked"
        return _read_array(self.path(name))


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


def _read_array(path: Path) -> Tensor:
    try:
        # Mapped, not read: a header that promises more than the file holds then takes no memory.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, TypeError, SyntaxError, EOFError, OverflowError, TokenError) as error:
        raise BundleError(f"the array {path} cannot be read: {error}", mend=_MEND) from error
    if not isinstance(array, np.ndarray):
        array.close()
        raise BundleError(f"{path} is not one array", mend=_MEND)
    return array
