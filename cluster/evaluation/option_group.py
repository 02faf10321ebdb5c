"""Options whose frames come from one device graph, or from the frames themselves: the head runs once for all of them.

Owns how options are run: through the bundle's own graphs and real bitstreams, as an agent and a replica do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cluster.evaluation.accuracy import Answers
from cluster.evaluation.frames import Pixels
from cluster.onnx_graph import Graph
from wire.bundle import Bundle
from wire.codings import Coding
from wire.ids import OptionId
from wire.latent_codings import RefinementCoding
from wire.manifest import Option
from wire.tensor_form import Tensor


class OptionGroup:
    """Runs options that share ``device``, None where the frame's own pixels are coded.

    ``codings`` and ``refinements`` are those of the options that send, by option, and ``clusters`` by graph.
    """

    def __init__(
        self,
        options: Sequence[Option],
        device: Graph | None,
        codings: Mapping[OptionId, Coding],
        refinements: Mapping[OptionId, Sequence[RefinementCoding]],
        clusters: Mapping[str, Graph],
    ) -> None:
        self.options, self.device = tuple(options), device
        self.codings, self.refinements, self.clusters = codings, refinements, clusters

    @classmethod
    def load(cls, options: Sequence[Option], device: Bundle, cluster: Bundle) -> "OptionGroup":
        """Load the graphs of options that share a device graph, from both sides of their bundle.

        Raises:
            BundleError: a file cannot be used.
        """
        head = options[0].device_graph
        sending = [option for option in options if option.cluster_graph]
        graphs = dict.fromkeys(option.cluster_graph for option in sending if option.cluster_graph)
        return cls(
            options,
            Graph(device.path(head)) if head else None,
            {option.id: cluster.coding(option) for option in sending},
            {option.id: cluster.refinements(option) for option in sending},
            {graph: Graph(cluster.path(graph)) for graph in graphs},
        )

    def answers(self, chunk: Pixels) -> Iterator[Answers]:
        """Answer frames, uint8 (N, H, W, 3), with each option in turn.

        The device takes one frame at a time, and so do the codings; the cluster graphs take them all at once. What a
        look comes to is kept, for the options that begin with the same looks.
        """
        given = chunk if self.device is None else np.concatenate([self.device.run(frame[None]) for frame in chunk])
        kept: dict[tuple[object, ...], _Look] = {}
        for option in self.options:
            if option.cluster_graph is None:
                yield Answers.of(given)
                continue
            looks = self._looks(option, option.cluster_graph, given, kept)
            answers = looks[0].answers
            for refinement, look in zip(option.refinements, looks[1:], strict=True):
                answers = answers.refined(look.answers, refinement.lead)
            yield answers

    def _looks(
        self, option: Option, graph: str, given: Tensor, kept: "dict[tuple[object, ...], _Look]"
    ) -> "list[_Look]":
        """Take every look of an option at all frames."""
        made: tuple[object, ...] = (graph, option.coder, option.quality, option.tables, option.gains)
        if made not in kept:
            coding = self.codings[option.id]
            bitstreams = [coding.encode(tensor) for tensor in given]
            received = np.stack([coding.decode(bitstream) for bitstream in bitstreams])
            kept[made] = self._look(graph, bitstreams, received)
        looks = [kept[made]]
        for finer, refinement in zip(self.refinements[option.id], option.refinements, strict=True):
            made = (*made, refinement.tables, refinement.gains)
            if made not in kept:
                bitstreams = [finer.encode(tensor) for tensor in given]
                pairs = zip(bitstreams, looks[-1].received, strict=True)
                kept[made] = self._look(graph, bitstreams, np.stack([finer.decode(*pair) for pair in pairs]))
            looks.append(kept[made])
        return looks

    def _look(self, graph: str, bitstreams: Sequence[bytes], received: Tensor) -> "_Look":
        return _Look(received, Answers.of(self.clusters[graph].run(received), map(len, bitstreams)))


@dataclass(frozen=True, slots=True)
class _Look:
    """One look at every frame of a chunk: what the cluster had of them, and what it said."""

    received: Tensor
    answers: Answers
