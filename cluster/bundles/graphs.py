"""The graphs of a bundle: what the device runs and what the cluster runs, as ONNX.

Owns the export. Device graphs take ``pixels``, uint8 (1, H, W, 3), and give ``symbols`` (1, C, h, w), of the dtype that
``wire.tensor_form`` says, or ``probabilities``, float32 (1, classes). Cluster graphs take ``symbols`` (N, C, h, w) or
``pixels`` (N, H, W, 3) and give ``probabilities`` (N, classes).
"""

from pathlib import Path

import onnx
import torch
from torch import Tensor, fx, nn
from torch.fx.experimental.optimization import fuse

from cluster.backbones.registry import Backbone, Normalise
from cluster.bundles.adapted_tail import adapted_tail
from cluster.codecs.codec import Codec
from cluster.onnx_export import exported


class Classifier(nn.Module):
    """Whatever gives logits, followed by the softmax that makes them probabilities."""

    def __init__(self, *stages: nn.Module) -> None:
        super().__init__()
        self.stages = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> Tensor:
        """Map a batch to probabilities (N, classes), float32."""
        return self.stages(x).softmax(dim=1)


def export_head(backbone: Backbone, head: fx.GraphModule, codec: Codec, path: Path) -> None:
    """Write the device graph of a codec: pixels to symbols."""
    stages = nn.Sequential(Normalise(backbone.frame), _fused(head), codec.encoder)
    _export(stages, _pixels(backbone), path, inputs="pixels", outputs="symbols", batched=False)


def export_tail(codec: Codec, tail: fx.GraphModule, path: Path) -> None:
    """Write the cluster graph of a codec: symbols to probabilities.

    Raises:
        CheckpointError: the codec brings weights for the tail that do not fit it.
    """
    symbols = torch.zeros(2, *codec.symbol_shape, dtype=codec.symbol_dtype)
    stages = Classifier(codec.decoder, adapted_tail(codec, tail))
    _export(stages, symbols, path, inputs="symbols", outputs="probabilities", batched=True)


def export_whole(backbone: Backbone, path: Path, *, batched: bool) -> None:
    """Write the whole backbone: pixels to probabilities, for one frame or for a batch."""
    pixels = _pixels(backbone, 2 if batched else 1)
    whole = Classifier(Normalise(backbone.frame), _fused(fx.symbolic_trace(backbone.module)))
    _export(whole, pixels, path, inputs="pixels", outputs="probabilities", batched=batched)


def _pixels(backbone: Backbone, batch: int = 1) -> Tensor:
    return torch.zeros(batch, backbone.frame.height, backbone.frame.width, 3, dtype=torch.uint8)


def _fused(module: fx.GraphModule) -> nn.Module:
    return fuse(module)


def _export(module: nn.Module, example: Tensor, path: Path, *, inputs: str, outputs: str, batched: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    program = exported(module, example, inputs=inputs, outputs=[outputs], batched=batched)
    onnx.save(_bare(program.model_proto), path)


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what the exporter notes about this machine's files, so that the digest depends on the graph alone."""
    model.ClearField("metadata_props")
    model.ClearField("doc_string")
    model.graph.ClearField("metadata_props")
    for part in (
        *model.graph.node,
        *model.graph.input,
        *model.graph.output,
        *model.graph.initializer,
        *model.graph.value_info,
    ):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model
