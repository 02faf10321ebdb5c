"""Runs in Triton's Python backend and computes nothing: what is left is the cost of the path."""

import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # only there inside Triton


class TritonPythonModel:
    """What the Python backend looks for in ``model.py``."""

    def initialize(self, args: dict[str, Any]) -> None:
        """Note the tensors' names and the number of classes."""
        config = json.loads(args["model_config"])
        self._input = config["input"][0]["name"]
        self._classes = int(config["output"][0]["dims"][0])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer each batch with zeros."""
        responses = []
        for request in requests:
            frames = pb.get_input_tensor_by_name(request, self._input).as_numpy().shape[0]
            zeros = np.zeros((frames, self._classes), np.float32)
            responses.append(pb.InferenceResponse([pb.Tensor("probabilities", zeros)]))
        return responses
