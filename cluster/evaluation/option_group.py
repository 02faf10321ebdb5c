"""Options whose frames come from one device graph, or from the frames themselves: the head runs once for all of them.

Owns how options are run: through the bundle's own graphs and real bitstreams, as an agent and a replica do.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from cluster.evaluation.accuracy import Answers
from cluster.evaluation.frames import Pixels
from cluster.onnx_graph import Graph
from wire.bundle import Bundle
from wire.codings import Coding
from wire.ids import OptionId
from wire.manifest import Option
from wire.tensor_form import Tensor


class OptionGroup:
    """Runs options that share ``device``, None where the frame's own pixels are coded.

    ``codings`` and ``clusters`` are those of the options that send and of their second looks, by option and by graph.
    """

    def __init__(
        self,
        options: Sequence[Option],
        device: Graph | None,
        codings: Mapping[OptionId, Coding],
        clusters: Mapping[str, Graph],
    ) -> None:
        self.options, self.device, self.codings, self.clusters = tuple(options), device, codings, clusters

    @classmethod
    def load(cls, options: Sequence[Option], device: Bundle, cluster: Bundle) -> "OptionGroup":
        """Load the graphs of options that share a device graph, from both sides of their bundle.

        Raises:
            BundleError: a file cannot be used.
        """
        head = options[0].device_graph
        seconds = (cluster.option(option.second.option) for option in options if option.second)
        graphs = dict.fromkeys(option.cluster_graph for option in options if option.cluster_graph)
        return cls(
            options,
            Graph(device.path(head)) if head else None,
            {option.id: cluster.coding(option) for option in (*options, *seconds) if option.cluster_graph},
            {graph: Graph(cluster.path(graph)) for graph in graphs},
        )

    def answers(self, chunk: Pixels) -> Iterator[Answers]:
        """Answer frames, uint8 (N, H, W, 3), with each option in turn.

        The device takes one frame at a time, and so do the codings; the cluster graphs take them all at once. What an
        option says is kept, for those that have it as their second look.
        """
        given = chunk if self.device is None else np.concatenate([self.device.run(frame[None]) for frame in chunk])
        said: dict[OptionId, Answers] = {}
        for option in self.options:
            if option.cluster_graph is None:
                yield Answers.of(given)
                continue
            graph = self.clusters[option.cluster_graph]
            for number in (option.id, *([option.second.option] if option.second else [])):
                if number not in said:
                    said[number] = _sent(self.codings[number], graph, given)
            first = said[option.id]
            yield first.asked_again(said[option.second.option], option.second.lead) if option.second else first


def _sent(coding: Coding, graph: Graph, given: Tensor) -> Answers:
    bitstreams = [coding.encode(tensor) for tensor in given]
    received = np.stack([coding.decode(bitstream) for bitstream in bitstreams])
    return Answers.of(graph.run(received), map(len, bitstreams))
