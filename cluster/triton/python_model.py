"""Runs in Triton's Python backend: one ONNX Runtime session a model. Copied into the repository beside its graph."""

import os
from pathlib import Path
from typing import Any

import onnxruntime
import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # only there inside Triton


class TritonPythonModel:
    """What the Python backend looks for in ``model.py``."""

    def initialize(self, args: dict[str, Any]) -> None:
        """Load the graph that lies beside this file."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("ISTHMUS_TAIL_THREADS", "1"))
        options.inter_op_num_threads = 1
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        providers = ["CPUExecutionProvider"]
        if args["model_instance_kind"] == "GPU":
            providers.insert(0, "CUDAExecutionProvider")
        self._session = onnxruntime.InferenceSession(str(graph), options, providers=providers)
        self._input = self._session.get_inputs()[0].name

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run each request, which is a whole batch already."""
        responses = []
        for request in requests:
            batch = pb.get_input_tensor_by_name(request, self._input).as_numpy()
            (probabilities,) = self._session.run(["probabilities"], {self._input: batch})
            responses.append(pb.InferenceResponse([pb.Tensor("probabilities", probabilities)]))
        return responses
