"""What can be wrong with the options of a manifest whose fields are each right.

Owns the rules of which coder needs what. Opens no file.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from wire.bitstream import HEADER_BYTES
from wire.messages import MAX_BITSTREAM_BYTES

if TYPE_CHECKING:
    from wire.manifest import FileSide, Input, Option

MAX_SYMBOLS: Final = 2**22
"""The most that one frame may be coded as, so that no decoder takes more memory than 16 MiB of float32."""

_PLAIN_CODERS: Final = frozenset({"raw", "float32"})
_PIXELS_POINT: Final = "input"

# What an option must have, and what it cannot have, by its coder.
_NEEDS: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "huffman": (("device_graph", "cluster_graph", "tables"), ("quality", "gains")),
    "rans": (("device_graph", "cluster_graph", "tables", "gains"), ("quality",)),
    "raw": (("cluster_graph",), ("tables", "quality", "gains")),
    "float32": (("device_graph", "cluster_graph"), ("tables", "quality", "gains")),
    "jpeg": (("cluster_graph", "quality"), ("tables", "gains")),
    "png": (("cluster_graph",), ("tables", "quality", "gains")),
    "webp": (("cluster_graph", "quality"), ("tables", "gains")),
    "none": (("device_graph",), ("cluster_graph", "tables", "quality", "gains")),
}


def option_faults(option: "Option", frame: "Input", sides: "Mapping[str, FileSide]") -> Iterator[str]:
    """Tell what is wrong with one option; ``sides`` says of every file which side needs it."""
    yield from _coder_faults(option)
    yield from _refinement_faults(option)
    yield from _size_faults(option)
    if option.device_graph is None:
        yield from _pixel_faults(option, frame)
    yield from _reference_faults(option, sides)


def sharing_faults(options: "tuple[Option, ...]") -> Iterator[str]:
    """Tell which options share a cluster graph that cannot take what both send; their frames may meet in one batch."""
    first: dict[str, Option] = {}
    for option in options:
        if option.cluster_graph is None:
            continue
        other = first.setdefault(option.cluster_graph, option)
        if option.form != other.form:
            yield (
                f"options {other.id} and {option.id} share {option.cluster_graph!r}, and send "
                f"{other.form.name} {other.form.dtype} {other.form.shape} and "
                f"{option.form.name} {option.form.dtype} {option.form.shape}"
            )


def _refinement_faults(option: "Option") -> Iterator[str]:
    """Tell what is wrong with the further looks of an option."""
    if option.refinements and option.coder != "rans":
        yield f"has the coder {option.coder} and cannot have refinements"
    if any(refinement.lead == 0 for refinement in option.refinements):
        yield "has a refinement with the lead 0, which no answer falls short of"


def _coder_faults(option: "Option") -> Iterator[str]:
    """Tell what an option lacks, or has in vain, for its coder."""
    if option.coder == "none" and option.shape != (1, 1, 1):
        yield "sends nothing, and must have the shape (1, 1, 1)"
    required, forbidden = _NEEDS[option.coder]
    for name in required:
        if getattr(option, name) is None:
            yield f"has the coder {option.coder} and needs {name}"
    for name in forbidden:
        if getattr(option, name) is not None:
            yield f"has the coder {option.coder} and cannot have {name}"


def _size_faults(option: "Option") -> Iterator[str]:
    channels, height, width = option.shape
    if channels * height * width > MAX_SYMBOLS:
        yield f"has {channels * height * width} symbols a frame, and may have {MAX_SYMBOLS}"
    sent_bytes = HEADER_BYTES + option.form.size_bytes
    if option.coder in _PLAIN_CODERS and sent_bytes > MAX_BITSTREAM_BYTES:
        yield f"sends {sent_bytes} bytes a frame, and a message holds up to {MAX_BITSTREAM_BYTES}"


def _pixel_faults(option: "Option", frame: "Input") -> Iterator[str]:
    """Tell what is wrong with an option that sends the frame's own pixels."""
    if option.shape != (3, frame.height, frame.width):
        yield f"has no device graph, and must have the shape {(3, frame.height, frame.width)} of the frame"
    if option.point != _PIXELS_POINT:
        yield f"has no device graph, and must be at the point {_PIXELS_POINT!r}"


def _reference_faults(option: "Option", sides: "Mapping[str, FileSide]") -> Iterator[str]:
    """Tell which file of an option is not listed, or is not given to the side that needs it."""
    wanted: tuple[tuple[str | None, tuple[FileSide, ...]], ...] = (
        (option.device_graph, ("device", "both")),
        (option.cluster_graph, ("cluster", "both")),
        (option.tables, ("both",)),
        (option.gains, ("both",)),
        *((path, ("both",)) for refinement in option.refinements for path in (refinement.tables, refinement.gains)),
    )
    for path, allowed in wanted:
        if path is None:
            continue
        if path not in sides:
            yield f"needs {path!r}, which is not among the files of the manifest"
        elif sides[path] not in allowed:
            yield f"needs {path!r} on the side {allowed[-1]!r}, and the manifest gives it to {sides[path]!r}"
