"""How right an option is: its answers against the truth and against the unsplit backbone, and the bytes it sent.

Owns the arithmetic. Runs nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wire.manifest import Measured
from wire.tensor_form import Tensor

TOP: Final = 5

Indices = NDArray[np.int_]


@dataclass(frozen=True, slots=True)
class Answers:
    """What an option says of some frames.

    ``best`` is (frames, up to ``TOP``), the classes, best first; the others are (frames,): ``bytes`` those of whole
    bitstreams, ``leads`` how far the best class's score is before the next one's, ``looks`` how many messages
    there were.
    """

    best: Indices
    bytes: Indices
    leads: NDArray[np.float32]
    looks: Indices

    @classmethod
    def of(cls, scores: Tensor, sent_bytes: Iterable[int] = ()) -> "Answers":
        """Rank scores (frames, classes); without ``sent_bytes`` nothing was sent."""
        best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
        ranked = np.take_along_axis(scores, best, axis=1)
        # One class alone leads by all.
        leads = ranked[:, 0] - ranked[:, 1] if ranked.shape[1] > 1 else np.ones(len(ranked), np.float32)
        return cls(best, np.array(list(sent_bytes) or [0] * len(best)), leads, np.ones(len(best), np.int_))

    @classmethod
    def joined(cls, parts: Iterable["Answers"]) -> "Answers":
        """Join the answers to several chunks."""
        every = list(parts)
        return cls(*(np.concatenate([getattr(part, name) for part in every]) for name in cls.__slots__))

    def refined(self, finer: "Answers", lead: float) -> "Answers":
        """Take the answers of ``finer`` where these lead by less than ``lead``, as a device does, and its bytes too.

        A frame whose answer stood has a lead that leaves no doubt: 1.
        """
        again = self.leads < lead
        return Answers(
            np.where(again[:, None], finer.best, self.best),
            self.bytes + again * finer.bytes,
            np.where(again, finer.leads, np.float32(1)),
            self.looks + again,
        )


def right_shares(answers: Answers, labels: Indices) -> tuple[float, float]:
    """Give the shares of frames whose class is the first answer, and among the first ``TOP``."""
    hits = answers.best == labels[:, None]
    return float(hits[:, 0].mean()), float(hits.any(axis=1).mean())


def measured(answers: Answers, unsplit: Answers, labels: Indices, *, dataset: str) -> Measured:
    """Compare an option with the truth and with what the unsplit backbone says of the same frames."""
    top1, top5 = right_shares(answers, labels)
    hits, unsplit_hits = (each.best == labels[:, None] for each in (answers, unsplit))
    lost = unsplit_hits.astype(int) - hits
    return Measured(
        dataset=dataset,
        pictures=len(labels),
        top1=top1,
        top1_drop=float(lost[:, 0].mean()),
        top5=top5,
        top5_drop=float(lost.sum(axis=1).mean()),
        agreement=float((answers.best[:, 0] == unsplit.best[:, 0]).mean()),
        bytes_mean=float(answers.bytes.mean()),
        bytes_p95=float(np.percentile(answers.bytes, 95)),
        looks_mean=float(answers.looks.mean()),
    )
