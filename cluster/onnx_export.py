"""A network of PyTorch as an ONNX program, without the exporter's own talk."""

import contextlib
import io
import logging
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

OPSET = 18


def exported(
    module: nn.Module, example: Tensor, *, inputs: str, outputs: Sequence[str], batched: bool = False
) -> torch.onnx.ONNXProgram:
    """Export a module for tensors like ``example``, of any number of them where ``batched``.

    Raises torch.onnx.OnnxExporterError for a network that cannot be exported.
    """
    dynamic = ({0: torch.export.Dim.DYNAMIC},) if batched else None
    # The exporter talks to standard output and warns of its own internals; neither concerns our user.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            module.eval(),
            (example,),
            input_names=[inputs],
            output_names=list(outputs),
            opset_version=OPSET,
            dynamic_shapes=dynamic,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    return program
