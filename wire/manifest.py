"""The manifest of a bundle: which options there are, which files they need, and what was measured.

Kept as canonical JSON; the SHA-256 of its bytes is the digest of the whole bundle, since it lists the
SHA-256 of every file. Owns the manifest; opens no file.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from wire.bitstream import MAX_LOOKS
from wire.errors import BundleError, WireError
from wire.ids import BundleDigest, OptionField, PointField
from wire.option_faults import option_faults, sharing_faults
from wire.records import Hex, Length, Range, from_plain, to_plain
from wire.tensor_form import TensorForm

MANIFEST_SCHEMA: Final = 4
MANIFEST_NAME: Final = "manifest.json"
MAX_MANIFEST_BYTES: Final = 4 * 2**20

_REMAKE = "make the bundle again"

CoderName = Literal["huffman", "rans", "raw", "float32", "jpeg", "png", "webp", "none"]

_REAL_CODERS: Final = frozenset({"rans", "float32"})

Side = Literal["device", "cluster"]
FileSide = Literal["device", "cluster", "both"]
Pixels = Annotated[int, Range(1, 2**14)]
Fraction = Annotated[float, Range(0.0, 1.0)]
Drop = Annotated[float, Range(-1.0, 1.0)]
Bytes = Annotated[float, Range(0.0, 2.0**31)]
Operations = Annotated[int, Range(0, 2**53)]
Name = Annotated[str, Length(128)]
FileName = Annotated[str, Length(256, least=1)]


@dataclass(frozen=True, slots=True)
class Input:
    """How a frame becomes the backbone's picture, uint8 RGB, in pixels.

    It is scaled so that its shorter side is ``resize``, then cropped to its centre of height × width.
    """

    height: Pixels
    width: Pixels
    resize: Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one option did on a data set; fractions between 0 and 1, and bytes a frame.

    ``top1`` and ``top5`` are right answers among the first one and five; a drop is against the unsplit backbone.
    """

    dataset: Name
    pictures: Annotated[int, Range(0, 2**31)]
    top1: Fraction
    top1_drop: Drop
    top5: Fraction
    top5_drop: Drop
    agreement: Fraction
    bytes_mean: Bytes
    bytes_p95: Bytes
    looks_mean: Annotated[float, Range(1.0, float(MAX_LOOKS))] = 1.0
    """How many messages a frame took; the bytes are those of all of them."""


UNMEASURED: Final = Measured(
    dataset="none", pictures=0, top1=0.0, top1_drop=0.0, top5=0.0, top5_drop=0.0, agreement=0.0, bytes_mean=0.0,
    bytes_p95=0.0,
)  # fmt: skip
"""Of an option that nobody has measured."""


@dataclass(frozen=True, slots=True)
class Macs:
    """Multiply-accumulates a frame: head and encoder on the device, decoder and tail on the cluster."""

    head: Operations
    encoder: Operations
    decoder: Operations
    tail: Operations


@dataclass(frozen=True, slots=True)
class Refinement:
    """How an uncertain answer is asked again: with what a finer rate of the same symbols has over the look before.

    It is sent when the best class of the last answer leads the next one by less than ``lead``, a difference of
    probabilities. ``tables`` and ``gains`` are the finer rate's, the tables by the look before.
    """

    lead: Fraction
    tables: FileName
    gains: FileName


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One thing that a device can choose for one frame: a partition point, a codec and a rate.

    ``shape`` is (channels, height, width) of what the device graph gives; of the frame, where there is no device graph
    and its own pixels are coded, at the point ``input``; (1, 1, 1) for the coder none, where nothing is sent. Options
    may share graphs: on the device as different rates of one encoder, on the cluster if they give the graph the same.
    With ``refinements``, what was measured is of all looks together: answers, and the bytes of all bitstreams.
    """

    id: OptionField
    point: PointField
    codec: Name
    rate: Name
    coder: CoderName
    shape: Annotated[tuple[Annotated[int, Range(1, 2**16)], ...], Length(3, least=3)]
    device_graph: FileName | None
    cluster_graph: FileName | None
    tables: FileName | None
    gains: FileName | None
    quality: Annotated[int, Range(1, 100)] | None
    macs: Macs
    measured: Measured
    refinements: Annotated[tuple[Refinement, ...], Length(MAX_LOOKS - 1)] = ()
    """Of the coder rans: the further looks, each finer than the one before it."""

    @property
    def form(self) -> TensorForm:
        """The tensor that the device codes and the cluster graph takes, of an option that sends."""
        if self.device_graph is None:
            return TensorForm.pixels(self.shape[1], self.shape[2])
        return TensorForm.symbols(self.shape, "float32" if self.coder in _REAL_CODERS else "uint8")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of the bundle, and which side needs it."""

    path: FileName
    sha256: Annotated[str, Hex(64)]
    size_bytes: Annotated[int, Range(0, 2**31)]
    side: FileSide


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that both sides must agree on about one backbone; ``labels`` names a file, one a line."""

    schema: Annotated[int, Range(MANIFEST_SCHEMA, MANIFEST_SCHEMA)]
    backbone: Name
    created_by: Name
    input: Input
    labels: FileName
    baseline_top1: Fraction
    options: Annotated[tuple[Option, ...], Length(1000)]
    files: Annotated[tuple[FileEntry, ...], Length(4000)]


def dump_manifest(manifest: Manifest) -> bytes:
    """Write a manifest as canonical JSON: sorted keys, indent of one, a newline at the end.

    Raises BundleError for a manifest that ``load_manifest`` would refuse.
    """
    # Through the check, so that a 1 where 1.0 is meant does not give another digest.
    checked = _checked(to_plain(manifest))
    data = (json.dumps(to_plain(checked), sort_keys=True, indent=1, allow_nan=False) + "\n").encode()
    _check_size(len(data))
    return data


def load_manifest(data: bytes) -> Manifest:
    """Read a manifest, and check all of it that can be checked without the files.

    Raises BundleError for whatever is wrong with it.
    """
    _check_size(len(data))
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"the manifest is not JSON: {error}", mend="fetch the bundle again") from error
    return _checked(plain)


def digest_of(manifest_bytes: bytes) -> BundleDigest:
    """Give the digest of a bundle: the SHA-256 of its manifest's bytes, in hexadecimal."""
    return BundleDigest(hashlib.sha256(manifest_bytes).hexdigest())


def _check_size(size_bytes: int) -> None:
    if size_bytes > MAX_MANIFEST_BYTES:
        raise BundleError(
            f"the manifest has {size_bytes} bytes, and may have {MAX_MANIFEST_BYTES}",
            mend="make a bundle with fewer options",
        )


def _checked(plain: Any) -> Manifest:
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if type(schema) is int and schema != MANIFEST_SCHEMA:
        raise BundleError(
            f"the manifest has schema {schema} and this Isthmus reads schema {MANIFEST_SCHEMA}",
            mend="install the Isthmus that made the bundle, or make the bundle again with this one",
        )
    try:
        manifest = from_plain(Manifest, plain, where="manifest")
    except WireError as error:
        raise BundleError(str(error), mend=_REMAKE) from error
    for fault in _faults(manifest):
        raise BundleError(fault, mend=_REMAKE)
    return manifest


def _faults(manifest: Manifest) -> Iterator[str]:
    """Tell what is wrong with a manifest whose fields are each right."""
    sides = {entry.path: entry.side for entry in manifest.files}
    yield from _input_faults(manifest.input)
    yield from _file_faults(manifest.files)
    if manifest.labels not in sides:
        yield f"the labels {manifest.labels!r} are not among the files of the manifest"
    seen = set()
    for option in manifest.options:
        if option.id in seen:
            yield f"two options have the id {option.id}"
        seen.add(option.id)
        for fault in option_faults(option, manifest.input, sides):
            yield f"option {option.id} {fault}"
    yield from sharing_faults(manifest.options)


def _input_faults(expected: Input) -> Iterator[str]:
    if expected.resize < max(expected.height, expected.width):
        yield f"input.resize is {expected.resize}, too small to crop {expected.height}×{expected.width} from"


def _file_faults(files: tuple[FileEntry, ...]) -> Iterator[str]:
    seen = set()
    for entry in files:
        if not _is_safe(entry.path):
            yield f"the path {entry.path!r} is not a plain relative path"
        if entry.path == MANIFEST_NAME:
            yield f"{MANIFEST_NAME} lists itself"
        if entry.path in seen:
            yield f"the file {entry.path!r} is listed twice"
        seen.add(entry.path)


def _is_safe(path: str) -> bool:
    """Tell whether a path stays within the bundle on every platform."""
    plain = path.isprintable() and not any(mark in path for mark in "\\:")
    return plain and not any(part in ("", ".", "..") for part in path.split("/"))
