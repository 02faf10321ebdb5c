"""ONNX graphs of every run of groups of a chain, all cut out of one export of the whole backbone.

Owns the export and the files in one folder: the weights lie in one of them, which every graph refers to. Boundary i is
the tensor ``boundary_i`` in all of them: 0 the pixels, uint8 (1, H, W, 3), n the probabilities, float32 (1, classes).
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx.utils import Extractor
from torch import Tensor as TorchTensor
from torch import fx, nn
from torch.fx.experimental.optimization import fuse

from cluster.backbones.registry import Normalise
from cluster.onnx_export import exported
from cluster.profiling.chain import Chain
from cluster.profiling.sessions import open_session
from wire.errors import BackboneError
from wire.tensor_form import Tensor


class ChainGraphs:
    """The graphs of one chain in a folder; each is written when it is first asked for."""

    def __init__(self, chain: Chain, folder: Path) -> None:
        """Export the chain once.

        Raises:
            BackboneError: torch.onnx cannot export it.
        """
        self._folder = folder
        self._whole = folder / "chain.onnx"
        _export(chain, self._whole)
        self._extractor = Extractor(onnx.load(self._whole, load_external_data=False))

    def path(self, first: int, last: int) -> Path:
        """Give the graph of groups ``first`` to ``last``, both included."""
        path = self._folder / f"groups-{first}-{last}.onnx"
        if not path.is_file():
            onnx.save(self._extractor.extract_model([boundary(first)], [boundary(last + 1)]), path)
        return path

    def tensors(self, pixels: Tensor, threads: int) -> tuple[Tensor, ...]:
        """Give the n + 1 tensors at the boundaries for one frame, uint8 (1, H, W, 3)."""
        session = open_session(self._whole, threads)
        return (pixels, *session.run(None, {boundary(0): pixels}))


def boundary(index: int) -> str:
    """Name the tensor at a boundary."""
    return f"boundary_{index}"


def busy_picture(height: int, width: int) -> Tensor:
    """Make a frame of noise, uint8 (1, H, W, 3): no layer after it has only zeros to work on."""
    return np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)


class _EveryBoundary(nn.Module):
    """Pixels to the tensors at all boundaries behind them, probabilities last: what a bundle's graphs begin and end in.

    Batch norms are folded into the layers before them, as in a bundle.
    """

    def __init__(self, chain: Chain) -> None:
        super().__init__()
        self.normalise = Normalise(chain.backbone.frame)
        self.network: nn.Module = fuse(fx.GraphModule(chain.module, chain.module.graph))

    def forward(self, pixels: TorchTensor) -> tuple[TorchTensor, ...]:
        *inner, logits = self.network(self.normalise(pixels))
        return (*inner, logits.softmax(dim=1))


def _export(chain: Chain, path: Path) -> None:
    frame = chain.backbone.frame
    pixels = torch.from_numpy(busy_picture(frame.height, frame.width))
    names = [boundary(index) for index in range(chain.groups + 1)]
    try:
        program = exported(_EveryBoundary(chain), pixels, inputs=names[0], outputs=names[1:])
    except torch.onnx.OnnxExporterError as error:
        raise BackboneError(
            f"{chain.backbone.name} cannot be exported to ONNX: {error}", mend="give a network of plain layers"
        ) from error
    program.save(path, external_data=True)
