"""What was measured of one backbone's options, kept beside the weights of their codecs.

Owns what a record belongs to: these codec weights behind this backbone. Measures nothing.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from cluster.backbones.registry import Backbone
from cluster.bundles.draft import Draft
from cluster.codecs.measured_rates import MEASURE, load_measured, save_measured
from cluster.codecs.weights import CodecKey
from cluster.tensor_digest import tensor_digest
from wire.errors import CheckpointError
from wire.manifest import Measured


class Records:
    """The records of one backbone in a weights folder."""

    def __init__(self, weights: Path, backbone: Backbone) -> None:
        self._weights = weights
        self._backbone_digest = tensor_digest(backbone.module.state_dict())

    def rates(self, key: CodecKey, digest: str, wanted: Iterable[str]) -> list[str]:
        """Tell which of the wanted rates were measured; ``digest`` is of the codec's weights.

        Raises:
            CheckpointError: none was, or only with other weights or behind another backbone.
        """
        wanted = list(wanted)
        recorded = load_measured(self._weights, key, self._subject(digest))
        found = [rate for rate in wanted if rate in recorded]
        if not found:
            raise CheckpointError(f"nothing was measured of {key} at the rate {' or '.join(wanted)}", mend=MEASURE)
        return found

    def figures(self, draft: Draft) -> Measured:
        """Give what was measured of an option.

        Raises:
            CheckpointError: nothing was.
        """
        self.rates(draft.key, draft.digest, [draft.rate])
        return load_measured(self._weights, draft.key, self._subject(draft.digest))[draft.rate]

    def keep(self, drafts: Sequence[Draft], figures: Sequence[Measured]) -> None:
        """Write what was measured, beside what was measured before of other rates of the same weights.

        Raises:
            CheckpointError: a file cannot be written.
        """
        for key, digest in dict.fromkeys((draft.key, draft.digest) for draft in drafts):
            subject = self._subject(digest)
            try:
                rates = load_measured(self._weights, key, subject)
            except CheckpointError:  # there is none, or it is of other weights
                rates = {}
            rates |= {draft.rate: own for draft, own in zip(drafts, figures, strict=True) if draft.key == key}
            save_measured(self._weights, key, subject, rates)

    def _subject(self, codec: str) -> str:
        return sha256(f"{self._backbone_digest} {codec}".encode()).hexdigest()
