"""What was measured of codecs: one JSON file beside a codec's weights, with a record for every rate.

Owns these files. Knows neither how anything is measured nor what the figures mean.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cluster.codecs.weights import CodecKey
from cluster.whole_file import write_whole
from wire.errors import CheckpointError, WireError
from wire.manifest import Measured
from wire.records import from_plain, to_plain

MEASURE: Final = "measure it: isthmus bundle build --measure DIR"


def save_measured(folder: Path, key: CodecKey, subject: str, rates: Mapping[str, Measured]) -> Path:
    """Write what was measured of a codec, by rate; ``subject`` is the SHA-256 of what was measured.

    Raises:
        CheckpointError: the file cannot be written.
    """
    path = _path(folder, key)
    record = {"subject_sha256": subject, "measured": {rate: to_plain(figures) for rate, figures in rates.items()}}
    return write_whole(path, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())


def load_measured(folder: Path, key: CodecKey, subject: str) -> dict[str, Measured]:
    """Read what was measured of a codec, by rate.

    Raises:
        CheckpointError: nothing was measured, or it was measured with other weights.
    """
    path = _path(folder, key)
    if not path.is_file():
        raise CheckpointError(f"nothing was measured of {key}", mend=MEASURE)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        rates = record["measured"].items()
        measured = {rate: from_plain(Measured, plain, where=f"{path.name} {rate}") for rate, plain in rates}
        belongs = record["subject_sha256"] == subject
    except (ValueError, KeyError, TypeError, AttributeError, WireError) as error:
        raise CheckpointError(f"{path} is no record of a measurement: {error!r}", mend=MEASURE) from error
    if not belongs:
        raise CheckpointError(f"{path.name} was measured with other weights than these", mend=MEASURE)
    return measured


def _path(folder: Path, key: CodecKey) -> Path:
    return key.path(folder).with_suffix(".json")
