"""Measuring the codecs that a grid has trained, and no others that lie in the same folder.

Owns the way there and back: a bundle of these codecs alone is built and thrown away, and its records are kept beside
the weights.
"""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from cluster.backbones.backbone import Backbone
from cluster.bundles.builder import BundleBuilder
from cluster.codecs.measured_rates import load_measured
from cluster.codecs.weights import CodecKey
from cluster.whole_file import write_whole
from wire.manifest import Measured


def measure_codecs(
    backbone: Backbone,
    keys: Iterable[CodecKey],
    *,
    weights: Path,
    data: Path,
    listener: Callable[[str, str, int], None],
) -> dict[CodecKey, dict[str, Measured]]:
    """Measure codecs on the labelled pictures of ``data``, record the figures in ``weights``, and give them by rate.

    A codec of which a bundle makes no option is left out.

    Raises:
        CheckpointError: a codec is not there or does not fit, or a record cannot be written.
        DataError: ``data`` is no evaluation set.
    """
    with tempfile.TemporaryDirectory(prefix="isthmus-") as folder:
        alone = Path(folder) / "weights"
        (alone / backbone.name).mkdir(parents=True)
        wanted = list(keys)
        for key in wanted:
            shutil.copy(key.path(weights), key.path(alone))
        BundleBuilder(backbone, alone, listener=listener).build(Path(folder) / "bundle", data=data)
        # Those of the unsplit backbone too, which lie beside its codecs'.
        for record in sorted((alone / backbone.name).glob("*.json")):
            write_whole(weights / backbone.name / record.name, record.read_bytes())
        records = {key: key.path(alone).with_suffix(".json") for key in wanted}
        return {key: load_measured(alone, key, _subject(record)) for key, record in records.items() if record.is_file()}


def _subject(record: Path) -> str:
    """Read what a record says it is of; nothing else can be meant, since it was made from this folder just now."""
    return str(json.loads(record.read_text(encoding="utf-8"))["subject_sha256"])
