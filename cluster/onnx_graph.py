"""An ONNX graph on this machine's processor, for measuring a bundle and for trying a cluster. Imports no torch."""

from pathlib import Path

import onnxruntime

from wire.tensor_form import Tensor


class Graph:
    """An ONNX graph of one input and one output, on the processor."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def run(self, batch: Tensor) -> Tensor:
        """Run a batch (N, …)."""
        return self._session.run(None, {self._input: batch})[0]
